// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unisparse-to-gpu-pipeline=chip=sm_90

func.func @element(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> {
  // expected-error@+1 {{expected f16 or bf16 at the tile level, got 'f32'}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}

// -----

func.func @head_dim(%q: tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 256 at the tile level, got 36}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>, tensor<1x4x512x36xf16>) -> tensor<1x4x512x36xf16>
  return %o : tensor<1x4x512x36xf16>
}
