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

// -----

// expected-remark @below {{expected unisparse.attention or unisparse.block_sparse_attention to outline, found none; unisparse-raise-attention makes it of linalg}}
module {
  func.func @none(%x: tensor<8xf32>) -> tensor<8xf32> {
    return %x : tensor<8xf32>
  }
}

// -----

// Lengths that are not those of tensors.
func.func @lengths(%q: tensor<1x4x512x64xf16>, %qc: tensor<1x4x64x64xf16>, %n: index) -> tensor<1x4x512x64xf16> {
  %m = unisparse.block_score %qc, %qc lengths [%n, 512] block <64x64> pooling <8x8>
    : (tensor<1x4x64x64xf16>, tensor<1x4x64x64xf16>, index) -> tensor<1x4x?x8xf32>
  %c, %i, %d = unisparse.block_select %m lengths [%n, 512] block <64x64> rule <top_p = 0.9>
    : (tensor<1x4x?x8xf32>, index) -> (tensor<1x4x?xi32>, tensor<1x4x?x8xi32>, tensor<1x4xf32>)
  // expected-error@+1 {{expected an attention that takes tensors to be outlined, got one that takes 'index'}}
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <64x64>
    : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x?xi32>, tensor<1x4x?x8xi32>) -> tensor<1x4x512x64xf16>
  return %o : tensor<1x4x512x64xf16>
}
