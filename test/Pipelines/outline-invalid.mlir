// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unisparse-outline=chips=sm_80
// RUN: not unisparse-opt %s --split-input-file --unisparse-outline 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not unisparse-opt %s --split-input-file --unisparse-outline=chips=sm_1 2>&1 | FileCheck %s --check-prefix=CHIP

// NONE: unisparse-outline: expected at least one chip, got none
// CHIP: expected a chip among sm_80

func.func @head_dim(%q: tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 256 at the tile level, got 36}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16>
  return %o : tensor<1x4x512x36xf16>
}
