// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unisparse-to-gpu-pipeline=chip=sm_90

func.func @head_dim(%q: tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 256 at the tile level, got 36}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16>
  return %o : tensor<1x4x512x36xf16>
}

// -----

// A row of f32 is copied in pieces of 4.
func.func @value_dim(%q: tensor<1x4x512x64xf32>, %v: tensor<1x4x512x6xf32>) -> tensor<1x4x512x6xf32> {
  // expected-error@+1 {{expected a head_dim of v that is a multiple of 4 up to 256 at the tile level, got 6}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x6xf32>) -> tensor<1x4x512x6xf32>
  return %o : tensor<1x4x512x6xf32>
}
