// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --convert-unisparse-to-unitile

func.func @head_dim(%q: tensor<1x4x512x256xf16>) -> tensor<1x4x512x256xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 16 up to 128 at the tile level, got 256}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x256xf16>, tensor<1x4x512x256xf16>, tensor<1x4x512x256xf16>) -> tensor<1x4x512x256xf16>
  return %o : tensor<1x4x512x256xf16>
}

// -----

func.func @value_dim(%q: tensor<1x4x512x64xf16>, %v: tensor<1x4x512x72xf16>) -> tensor<1x4x512x72xf16> {
  // expected-error@+1 {{expected a head_dim of v that is a multiple of 16 up to 128 at the tile level, got 72}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x72xf16>) -> tensor<1x4x512x72xf16>
  return %o : tensor<1x4x512x72xf16>
}

// -----

func.func @block(%q: tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16> {
  // expected-error@+1 {{expected a query block that is a multiple of 16 up to 128 at the tile level, got 100}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <100x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
  return %o : tensor<1x4x512x64xf16>
}

// -----

func.func @heads(%q: tensor<1x?x512x64xf16>) -> tensor<1x?x512x64xf16> {
  // expected-error@+1 {{expected a static number of heads at the tile level, got 'tensor<1x?x512x64xf16>'}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x?x512x64xf16>, tensor<1x?x512x64xf16>, tensor<1x?x512x64xf16>) -> tensor<1x?x512x64xf16>
  return %o : tensor<1x?x512x64xf16>
}
