// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(convert-unisparse-to-unitile,gpu.module(unitile-verify-tile-contract))' | FileCheck %s --check-prefix=CONTRACT

// CONTRACT: gpu.func @score
// CONTRACT: gpu.func @score
// CONTRACT: gpu.func @score
// CONTRACT: gpu.func @score
// CONTRACT: gpu.func @score

!q = tensor<1x4x64x64xbf16>
!k = tensor<1x2x80x64xbf16>

// A tile is four query blocks of 16 composites by four key blocks. The key
// composites come in two stages.
// CHECK-LABEL: gpu.func @score(
// CHECK-SAME:    known_block_size = array<i32: 128, 1, 1>, nvvm.minctasm = 1 : i32, unitile.schedule = #unitile.tiles<rows = 64, keys = 64>
// CHECK-DAG:     %[[QT:.*]] = unitile.alloc : !unitile.shared<64x64xbf16>
// CHECK-DAG:     %[[KT:.*]] = unitile.alloc : !unitile.shared<64x64xbf16, 2>
// Blocks that nobody here sees have mass 0 (L1).
// CHECK:         scf.for
// CHECK:           scf.for
// CHECK:             llvm.store %{{.*}} : f32, !llvm.ptr<1>
// A group's heads share a mass: one after another, the second one adds (S6).
// CHECK:         scf.for %[[H:.*]] = %{{.*}} to %{{.*}} step
// CHECK:           %[[LATER:.*]] = arith.cmpi sgt, %[[H]], %{{.*}} : i32
// The last head is done with the tiles before they are overwritten.
// CHECK:           unitile.barrier
// CHECK-NEXT:      unitile.copy_async %{{.*}} to %[[QT]]
// CHECK-NEXT:      unitile.copy_async %{{.*}} to %[[KT]]
// CHECK-NEXT:      unitile.commit
// CHECK-NEXT:      unitile.wait 0
// CHECK-NEXT:      unitile.barrier
// CHECK-NEXT:      %[[Q:.*]] = unitile.load %[[QT]]
// First pass: maximum and sum of every row; the next keys arrive meanwhile.
// CHECK:           %[[N:.*]]:2 = scf.for {{.*}} -> (!unitile.rows<64xf32>, !unitile.rows<64xf32>)
// CHECK:             unitile.wait 0
// CHECK-NEXT:        unitile.barrier
// CHECK:             unitile.copy_async %{{.*}} to %[[KT]]
// CHECK-NEXT:        unitile.commit
// CHECK:             %[[S:.*]] = unitile.mma %[[Q]], %[[KT]]
// Masked where keys are to be hidden, or the last composite has its own weight
// (S1, S2).
// CHECK:             %[[MASKED:.*]] = scf.if
// CHECK:               math.log2
// CHECK:               unitile.map indices ins(%[[S]]
// CHECK:             unitile.reduce max %[[MASKED]]
// CHECK:             unitile.reduce add
// CHECK-NOT:         unitile.store
// CHECK:             scf.yield
// CHECK:           %[[BIAS:.*]] = unitile.map indices ins(%[[N]]#0, %[[N]]#1
// Second pass: shares of the normaliser, summed over key blocks, of whose rows
// the maximum is kept (S4, S5).
// CHECK:           scf.for
// CHECK:             unitile.mma %[[Q]], %[[KT]]
// CHECK:             %[[P:.*]] = unitile.map ins(%{{.*}}, %[[BIAS]]
// CHECK:               math.fma
// CHECK-NEXT:          math.exp2
// CHECK:             unitile.store_blocks max %[[P]] blocks 16x16 to {{.*}} accumulate %[[LATER]] : !unitile.fragment<64x64xf32>
// CHECK:           unitile.wait 0
// CHECK-NOT:     unitile.mma
// CHECK:         gpu.return

// CHECK-LABEL: func.func @group(
// CHECK-DAG:     %[[BYTES:.*]] = arith.constant 24576 : i32
// CHECK-DAG:     %[[HEADS:.*]] = arith.constant 2 : index
// CHECK-DAG:     %[[ONE:.*]] = arith.constant 1 : index
// CHECK:         gpu.alloc () : memref<1x2x4x5xf32>
// CHECK:         gpu.launch_func @unisparse_kernels::@score blocks in (%[[ONE]], %[[HEADS]], %[[ONE]]) {{.*}} dynamic_shared_memory_size %[[BYTES]]
// CHECK-SAME:    {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>}
func.func @group(%q: !q, %k: !k) -> tensor<1x2x4x5xf32> {
  %0 = unisparse.block_score %q, %k lengths [512, 640] block <128x128> pooling <8x8> share group causal : (!q, !k) -> tensor<1x2x4x5xf32>
  return %0 : tensor<1x2x4x5xf32>
}

// -----

// 10 and 6 composites in a block: rows in sixteens, keys in eights, the copy
// leaves rows between blocks zero. Padded keys have to be masked always.
// CHECK-LABEL: gpu.func @score(
// CHECK:         unitile.copy_async %{{.*}} width 72 take 10 of 16 to %{{.*}} : !unitile.shared<64x80xf16>
// CHECK:         unitile.copy_async %{{.*}} width 72 take 6 of 8 to %{{.*}} : !unitile.shared<64x80xf16, 2>
// CHECK:         unitile.mma
// CHECK-NOT:     scf.if
// CHECK:         unitile.map indices
// Rows are weighted by their tokens under agg sum (S5), and added.
// CHECK:         unitile.store_blocks add %{{.*}} blocks 16x8 to
// CHECK-NOT:     accumulate
// CHECK:         gpu.return
func.func @uneven(%q: tensor<1x4x40x72xf16>, %k: tensor<1x4x100x72xf16>) -> tensor<1x4x4x17xf32> {
  %0 = unisparse.block_score %q, %k lengths [400, 400] block <100x24> pooling <10x4> agg sum
    : (tensor<1x4x40x72xf16>, tensor<1x4x100x72xf16>) -> tensor<1x4x4x17xf32>
  return %0 : tensor<1x4x4x17xf32>
}

// -----

// 64 composites of a query block lie in 4 warps, which meet in a scratch tile.
// Rows of 192 elements are not held: they are loaded with every tile of keys.
// CHECK-LABEL: gpu.func @score(
// CHECK:         %[[SCRATCH:.*]] = unitile.alloc : !unitile.shared<8x64xbf16>
// CHECK:         scf.for
// CHECK:           %[[A:.*]] = unitile.load
// CHECK:           unitile.mma %[[A]]
// CHECK:         scf.for
// CHECK:           %[[B:.*]] = unitile.load
// CHECK:           unitile.mma %[[B]]
// CHECK:           unitile.store_blocks max %{{.*}} blocks 64x8 to %{{.*}} scratch %[[SCRATCH]]
func.func @fine(%q: tensor<1x4x256x192xbf16>, %k: tensor<1x4x32x192xbf16>) -> tensor<1x4x4x4xf32> {
  %0 = unisparse.block_score %q, %k lengths [256, 256] block <64x64> pooling <1x8> causal
    : (tensor<1x4x256x192xbf16>, tensor<1x4x32x192xbf16>) -> tensor<1x4x4x4xf32>
  return %0 : tensor<1x4x4x4xf32>
}

// -----

// A tile of a packed batch may hold the ends of several sequences: one after
// another.
// CHECK-LABEL: gpu.func @score(
// CHECK:         scf.while
// CHECK:           arith.cmpi slt
// CHECK:           scf.condition
// CHECK:           scf.while
// CHECK:           unitile.mma
// CHECK:           unitile.store_blocks
func.func @packed(%q: tensor<1x4x40x64xbf16>, %cu: tensor<4xi32>) -> tensor<1x4x7x5xf32> {
  %0 = unisparse.block_score %q, %q lengths [300, 300] cu_seqlens(%cu, %cu) block <64x64> pooling <8x8> causal
    : (tensor<1x4x40x64xbf16>, tensor<1x4x40x64xbf16>, tensor<4xi32>, tensor<4xi32>) -> tensor<1x4x7x5xf32>
  return %0 : tensor<1x4x7x5xf32>
}

// -----

// One pass, asked for: sums of every row in every key block and the maxima that
// they are relative to are kept; at a row's end they become masses. Blocks of
// threads take one tile of rows after another.
// CHECK-LABEL: gpu.func @score(
// CHECK-SAME:    unitile.schedule = #unitile.tiles<rows = 64, keys = 128, passes = 1>
// CHECK-NOT:     unitile.alloc : !unitile.shared<8x64xbf16>
// CHECK:         gpu.grid_dim x
// CHECK:         scf.while
// CHECK:           %[[N:.*]]:2 = scf.for {{.*}} -> (!unitile.rows<64xf32>, !unitile.fragment<64x8xf32>)
// CHECK:             unitile.mma
// CHECK:             %[[TOP:.*]] = unitile.reduce max
// CHECK:             %[[P:[0-9]*]] = unitile.map ins(%{{.*}}, %{{.*}} : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>)
// CHECK:               math.exp2
// CHECK:             unitile.fold add
// CHECK:             unitile.store_blocks add %[[P]] blocks 1x16 to
// CHECK:             unitile.store %[[TOP]] to
// CHECK-NOT:       unitile.mma
// CHECK:           unitile.reduce add %[[N]]#1
// CHECK:           %[[BIAS:.*]] = unitile.map indices
// CHECK:           unitile.store %[[BIAS]] to
// CHECK-NEXT:      unitile.barrier
// Eight rows of a query block at a time.
// CHECK:           scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}) -> (f32)
// CHECK-COUNT-8:     arith.maxnumf
// CHECK:           llvm.store %{{.*}} : f32, !llvm.ptr<1>
// CHECK-LABEL: func.func @one_pass(
// 4096 / 128 rows of blocks, 4 a tile, of 4 heads. 32 blocks of threads keep 64
// rows of 32 key blocks each, and of 4 tiles of keys and the bias.
// CHECK-DAG:     gpu.alloc ({{.*}}) : memref<?xf32>
// CHECK:         gpu.launch_func {{.*}} blocks in (%{{.*}}, %{{.*}}, %{{.*}}) threads in (%c128
func.func @one_pass(%q: tensor<1x4x512x64xbf16>) -> tensor<1x4x32x32xf32> {
  %0 = unisparse.block_score %q, %q lengths [4096, 4096] block <128x128> pooling <8x8> causal
    {unitile.schedule = #unitile.tiles<rows = 64, keys = 128, passes = 1>}
    : (tensor<1x4x512x64xbf16>, tensor<1x4x512x64xbf16>) -> tensor<1x4x32x32xf32>
  return %0 : tensor<1x4x32x32xf32>
}
