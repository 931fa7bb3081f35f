// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unisparse-select-schedule=chip=sm_86

// A tile of 256 composite keys of 256 elements, twice.
func.func @too_large(%q: tensor<1x4x64x256xbf16>, %k: tensor<1x4x512x256xbf16>) -> tensor<1x4x4x2xf32> {
  // expected-error@+1 {{expected tiles that fit sm_86, with 101376 bytes of shared memory, got head_dim 256}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x256> pooling <8x1>
    : (tensor<1x4x64x256xbf16>, tensor<1x4x512x256xbf16>) -> tensor<1x4x4x2xf32>
  return %0 : tensor<1x4x4x2xf32>
}

// -----

func.func @no_schedule(%q: tensor<1x4x512x64xbf16>) -> tensor<1x4x512x64xbf16> {
  // expected-error@+1 {{expected unitile.schedule to be a #unitile.tiles or a #unitile.schedule, got 128 : i64}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = 128}
    : (tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>) -> tensor<1x4x512x64xbf16>
  return %o : tensor<1x4x512x64xbf16>
}

// -----

// f32 is split as it is multiplied: an output of 256 columns leaves no room.
func.func @wide_f32(%q: tensor<1x4x512x64xf32>, %v: tensor<1x4x512x256xf32>) -> tensor<1x4x512x256xf32> {
  // expected-error@+1 {{expected a head_dim of v that is a multiple of 4 up to 128 at the tile level, got 256}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <128x128>
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x256xf32>) -> tensor<1x4x512x256xf32>
  return %o : tensor<1x4x512x256xf32>
}

// -----

// The warp-specialised kernel needs a chip that has what it uses.
func.func @chip(%q: tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16> {
  // expected-error@+1 {{expected a chip with wgmma for #unitile.schedule<stages = 2>, got sm_86}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<stages = 2>}
    : (tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>, tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
  return %o : tensor<1x4x512x64xf16>
}

// -----

func.func @score(%q: tensor<1x4x64x64xbf16>) -> tensor<1x4x4x4xf32> {
  // expected-error@+1 {{expected a chip with wgmma for #unitile.schedule<stages = 2>, got sm_86}}
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <128x128> pooling <8x8> {unitile.schedule = #unitile.schedule<stages = 2>}
    : (tensor<1x4x64x64xbf16>, tensor<1x4x64x64xbf16>) -> tensor<1x4x4x4xf32>
  return %0 : tensor<1x4x4x4xf32>
}
