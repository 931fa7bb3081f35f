// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --convert-unisparse-to-unitile
func.func @attend_head_dim(%q: tensor<1x4x512x264xf16>) -> tensor<1x4x512x264xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 256 at the tile level, got 264}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x264xf16>, tensor<1x4x512x264xf16>, tensor<1x4x512x264xf16>) -> tensor<1x4x512x264xf16>
  return %o : tensor<1x4x512x264xf16>
}

// -----

func.func @attend_value_dim(%q: tensor<1x4x512x64xf16>, %v: tensor<1x4x512x20xf16>) -> tensor<1x4x512x20xf16> {
  // expected-error@+1 {{expected a head_dim of v that is a multiple of 8 up to 256 at the tile level, got 20}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x20xf16>) -> tensor<1x4x512x20xf16>
  return %o : tensor<1x4x512x20xf16>
}

// -----

func.func @score_head_dim(%q: tensor<1x4x64x12xbf16>) -> tensor<1x4x8x8xf32> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 1024 at the tile level, got 12}}
  %m = unisparse.block_score %q, %q lengths [512, 512] block <64x64> pooling <8x8> : (tensor<1x4x64x12xbf16>, tensor<1x4x64x12xbf16>) -> tensor<1x4x8x8xf32>
  return %m : tensor<1x4x8x8xf32>
}

// -----

func.func @pool_head_dim(%q: tensor<1x4x512x4xf16>) -> tensor<1x4x64x4xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 8 up to 2048 at the tile level, got 4}}
  %c = unisparse.pool %q by 8 : (tensor<1x4x512x4xf16>) -> tensor<1x4x64x4xf16>
  return %c : tensor<1x4x64x4xf16>
}

// -----

// A block of 256 threads makes at least one composite: 4 floats a thread.
func.func @pool_f32(%q: tensor<1x4x512x2048xf32>) -> tensor<1x4x64x2048xf32> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 4 up to 1024 at the tile level, got 2048}}
  %c = unisparse.pool %q by 8 : (tensor<1x4x512x2048xf32>) -> tensor<1x4x64x2048xf32>
  return %c : tensor<1x4x64x2048xf32>
}

// -----

func.func @attend_heads(%q: tensor<1x?x512x64xf16>) -> tensor<1x?x512x64xf16> {
  // expected-error@+1 {{expected a static number of heads to be lowered, got 'tensor<1x?x512x64xf16>'}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x?x512x64xf16>, tensor<1x?x512x64xf16>, tensor<1x?x512x64xf16>) -> tensor<1x?x512x64xf16>
  return %o : tensor<1x?x512x64xf16>
}

// -----

func.func @attend_dynamic_head_dim(%q: tensor<1x4x512x?xf16>) -> tensor<1x4x512x?xf16> {
  // expected-error@+1 {{expected a static head_dim to be lowered, got 'tensor<1x4x512x?xf16>'}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x512x?xf16>, tensor<1x4x512x?xf16>, tensor<1x4x512x?xf16>) -> tensor<1x4x512x?xf16>
  return %o : tensor<1x4x512x?xf16>
}

// -----

func.func @score_query_composites(%q: tensor<1x4x512x64xf16>, %k: tensor<1x4x64x64xf16>) -> tensor<1x4x2x8xf32> {
  // expected-error@+1 {{expected at most 128 composites in a query block at the tile level, got 256}}
  %m = unisparse.block_score %q, %k lengths [512, 512] block <256x64> pooling <1x8> : (tensor<1x4x512x64xf16>, tensor<1x4x64x64xf16>) -> tensor<1x4x2x8xf32>
  return %m : tensor<1x4x2x8xf32>
}

// -----

func.func @score_key_composites(%q: tensor<1x4x64x64xf16>, %k: tensor<1x4x512x64xf16>) -> tensor<1x4x8x1xf32> {
  // expected-error@+1 {{expected at most 256 composites in a key block at the tile level, got 512}}
  %m = unisparse.block_score %q, %k lengths [512, 512] block <64x512> pooling <8x1> : (tensor<1x4x64x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x8x1xf32>
  return %m : tensor<1x4x8x1xf32>
}
