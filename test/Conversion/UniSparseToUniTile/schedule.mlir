// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_90 | FileCheck %s --check-prefixes=CHECK,SM90
// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_90a | FileCheck %s --check-prefixes=CHECK,SM90A
// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_90a --remarks-filter=unisparse-select-schedule -o /dev/null 2>&1 | FileCheck %s --check-prefix=WHY
// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_86 | FileCheck %s --check-prefixes=CHECK,SM86
// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_120 | FileCheck %s --check-prefixes=CHECK,SM120
// RUN: not unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_70 2>&1 | FileCheck %s --check-prefix=CHIP
// RUN: not unisparse-opt %s -split-input-file --convert-unisparse-to-unitile 2>&1 | FileCheck %s --check-prefix=CONVERT

// CHIP: error: expected a chip among sm_80, {{.*}}, got 'sm_70'

// Registers, not shared memory, decide on sm_120. Hopper's own chip has a
// warp-specialised kernel, whose schedule leaves no number open.
// CHECK-LABEL: func.func @d128(
// SM90:          #unitile.tiles<rows = 128, keys = 128>
// SM90A:         #unitile.schedule<stages = 3, keys = 128, ctas = 1, cluster = 1, producer_registers = 40, consumer_registers = 232, ping_pong = true>
// SM86:          #unitile.tiles<rows = 128, keys = 128>
// SM120:         #unitile.tiles<rows = 128, keys = 64>
func.func @d128(%q: tensor<1x4x512x128xbf16>) -> tensor<1x4x512x128xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal
    : (tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>) -> tensor<1x4x512x128xbf16>
  return %o : tensor<1x4x512x128xbf16>
}

// -----

// 99 KiB of shared memory hold 128 rows of 256 elements with 32 keys. Half a key
// block at a time has two stages on Hopper.
// CHECK-LABEL: func.func @d256(
// SM90A:         #unitile.schedule<stages = 2, keys = 64, ctas = 1, cluster = 1, producer_registers = 56, consumer_registers = 224>
// SM90:          #unitile.tiles<rows = 128, keys = 64>
// SM86:          #unitile.tiles<rows = 128, keys = 32>
// SM120:         #unitile.tiles<rows = 128, keys = 32>
func.func @d256(%q: tensor<1x4x512x256xbf16>) -> tensor<1x4x512x256xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal
    : (tensor<1x4x512x256xbf16>, tensor<1x4x512x256xbf16>, tensor<1x4x512x256xbf16>) -> tensor<1x4x512x256xbf16>
  return %o : tensor<1x4x512x256xbf16>
}

// -----

// A tile is no larger than a block, in sixteens; and one warp copies few keys.
// CHECK-LABEL: func.func @small(
// CHECK:         #unitile.tiles<rows = 112, keys = 32>
// CHECK:         #unitile.tiles<rows = 16, keys = 32>
func.func @small(%q: tensor<1x4x512x128xbf16>) -> (tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>) {
  %o = unisparse.block_sparse_attention %q, %q, %q block <100x24> causal
    : (tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>) -> tensor<1x4x512x128xbf16>
  %p = unisparse.block_sparse_attention %q, %q, %q block <16x128> causal
    : (tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>) -> tensor<1x4x512x128xbf16>
  return %o, %p : tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>
}

// -----

// Score takes whole blocks: 4 of 16 composites, 2 of 25 that take 32 rows, one
// of 128; and as many keys. Padded blocks have no warp-specialised kernel.
// CHECK-LABEL: func.func @score(
// SM90:          #unitile.tiles<rows = 64, keys = 128>
// SM90A:         #unitile.schedule<stages = 4, keys = 128, ctas = 1,
// CHECK:         block <200x128> {{.*}} #unitile.tiles<rows = 64, keys = 128>
// SM90:          #unitile.tiles<rows = 128, keys = 128>
// SM90A:         #unitile.schedule<stages = 4, keys = 128, ctas = 1,
func.func @score(%q: tensor<1x4x64x64xbf16>, %p: tensor<1x4x512x64xbf16>) -> (tensor<1x4x4x4xf32>, tensor<1x4x3x4xf32>, tensor<1x4x4x4xf32>) {
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <128x128> pooling <8x8> causal
    : (tensor<1x4x64x64xbf16>, tensor<1x4x64x64xbf16>) -> tensor<1x4x4x4xf32>
  %1 = unisparse.block_score %q, %q lengths [512, 512] block <200x128> pooling <8x8> causal
    : (tensor<1x4x64x64xbf16>, tensor<1x4x64x64xbf16>) -> tensor<1x4x3x4xf32>
  %2 = unisparse.block_score %p, %q lengths [512, 512] block <128x128> pooling <1x8> causal
    : (tensor<1x4x512x64xbf16>, tensor<1x4x64x64xbf16>) -> tensor<1x4x4x4xf32>
  return %0, %1, %2 : tensor<1x4x4x4xf32>, tensor<1x4x3x4xf32>, tensor<1x4x4x4xf32>
}

// -----

// Columns for groups of dims make long rows (P6): a step has as many keys as
// leave two stages a place.
// CHECK-LABEL: func.func @long_composites(
// SM90A:         #unitile.schedule<stages = 3, keys = 64,
// SM90A:         #unitile.schedule<stages = 3, keys = 32,
func.func @long_composites(%q: tensor<1x4x64x320xbf16>, %p: tensor<1x4x64x512xbf16>) -> (tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>) {
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <128x128> pooling <8x8, spread = 4> causal
    : (tensor<1x4x64x320xbf16>, tensor<1x4x64x320xbf16>) -> tensor<1x4x4x4xf32>
  %1 = unisparse.block_score %p, %p lengths [512, 512] block <128x128> pooling <8x8, spread = 1> causal
    : (tensor<1x4x64x512xbf16>, tensor<1x4x64x512xbf16>) -> tensor<1x4x4x4xf32>
  return %0, %1 : tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>
}

// -----

// Registers are planned with room to spare. Where no tiles have that room, those
// that ask for least: long rows of f32 where shared memory is short, and blocks
// that one warp has to copy.
// CHECK-LABEL: func.func @least(
// SM86:          #unitile.tiles<rows = 64, keys = 16>
// SM120:         #unitile.tiles<rows = 64, keys = 16>
// CHECK:         #unitile.tiles<rows = 16, keys = 16>
func.func @least(%q: tensor<1x4x512x256xf32>, %v: tensor<1x4x512x128xf32>) {
  %0 = unisparse.block_sparse_attention %q, %q, %v block <128x128>
    : (tensor<1x4x512x256xf32>, tensor<1x4x512x256xf32>, tensor<1x4x512x128xf32>) -> tensor<1x4x512x128xf32>
  %1 = unisparse.block_sparse_attention %v, %v, %v block <16x16>
    : (tensor<1x4x512x128xf32>, tensor<1x4x512x128xf32>, tensor<1x4x512x128xf32>) -> tensor<1x4x512x128xf32>
  return
}

// -----

// What the warp-specialised kernel does not do keeps portable tiles on every
// chip: a scale that is not above 0, f32, head_dims and key blocks that are no
// multiples of 16, query blocks that are not 64 or 128. Who asks for remarks is
// told why; where the chip is not Hopper's there is nothing to tell.
// WHY:           PortableKernel{{.*}}"expected a scale above 0, got -1.250000e-01"
// WHY:           PortableKernel{{.*}}"expected f16 or bf16, got 'f32'"
// WHY:           PortableKernel{{.*}}"expected a head_dim that is a multiple of 16 up to 256, got 72"
// WHY:           PortableKernel{{.*}}"expected a key block that is a multiple of 16, got 40"
// WHY:           PortableKernel{{.*}}"expected query blocks of 64 or 128 rows, got 48"
// WHY-NOT:       PortableKernel
// CHECK-LABEL: func.func @portable(
// CHECK-COUNT-5: #unitile.tiles<
// CHECK-NOT:     #unitile.schedule<
func.func @portable(%q: tensor<1x4x512x64xbf16>, %f: tensor<1x4x512x64xf32>, %d: tensor<1x4x512x72xbf16>) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> scale -1.250000e-01
    : (tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>) -> tensor<1x4x512x64xbf16>
  %1 = unisparse.block_sparse_attention %f, %f, %f block <128x128>
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  %2 = unisparse.block_sparse_attention %d, %d, %d block <128x128>
    : (tensor<1x4x512x72xbf16>, tensor<1x4x512x72xbf16>, tensor<1x4x512x72xbf16>) -> tensor<1x4x512x72xbf16>
  %3 = unisparse.block_sparse_attention %q, %q, %q block <128x40>
    : (tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>) -> tensor<1x4x512x64xbf16>
  %4 = unisparse.block_sparse_attention %q, %q, %q block <48x128>
    : (tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>) -> tensor<1x4x512x64xbf16>
  return
}

// -----

// CHECK-LABEL: func.func @packed(
// SM90:          #unitile.tiles<
// SM90A:         #unitile.schedule<
func.func @packed(%q: tensor<1x4x512x64xbf16>, %cu: tensor<3xi32>) {
  %5 = unisparse.block_sparse_attention %q, %q, %q cu_seqlens(%cu, %cu) block <128x128>
    : (tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x4x512x64xbf16>
  return
}

// -----

// What is there already stays.
// CHECK-LABEL: func.func @given(
// CHECK:         #unitile.tiles<rows = 32, keys = 16>
func.func @given(%q: tensor<1x4x512x128xbf16>) -> tensor<1x4x512x128xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal {unitile.schedule = #unitile.tiles<rows = 32, keys = 16>}
    : (tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>, tensor<1x4x512x128xbf16>) -> tensor<1x4x512x128xbf16>
  return %o : tensor<1x4x512x128xbf16>
}

// -----

// CONVERT: error: 'unisparse.block_score' op expected a schedule of whole blocks, of 32 rows and 16 keys, got #unitile.tiles<rows = 48, keys = 64>
func.func @not_whole(%q: tensor<1x4x64x64xbf16>) -> tensor<1x4x3x4xf32> {
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <200x128> pooling <8x8> {unitile.schedule = #unitile.tiles<rows = 48, keys = 64>}
    : (tensor<1x4x64x64xbf16>, tensor<1x4x64x64xbf16>) -> tensor<1x4x3x4xf32>
  return %0 : tensor<1x4x3x4xf32>
}
