// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_90a --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s --check-prefix=OWN

!q = tensor<1x4x64x64xbf16>
!k = tensor<1x2x80x64xbf16>

// A tile is four query blocks of 16 composites by eight key blocks: one walk for
// each head of a group, whose masses are added (S6).
// CHECK-LABEL: gpu.func @score(
// CHECK-SAME:    %{{.*}}: memref<1x4x64x64xbf16, strided<[?, ?, ?, 1], offset: ?>>, %[[K:.*]]: memref<1x2x80x64xbf16, strided<[?, ?, ?, 1], offset: ?>>, %[[MASS:.*]]: memref<1x2x4x5xf32>, %[[SUMS:.*]]: memref<?x?x64x8xf32>, %[[TOPS:.*]]: memref<?x?x64xf32>
// CHECK-SAME:    kernel attributes {unitile.schedule = #unitile.tiles<rows = 64, keys = 128>}
// CHECK:         %[[WORKER:.*]] = unitile.worker of %[[SUMS]]
// CHECK:         scf.for %[[H:.*]] = %{{.*}} to %{{.*}} step
// CHECK:           %[[LATER:.*]] = arith.cmpi sgt, %[[H]], %{{.*}} : i32
// CHECK:           %[[Q:.*]] = unitile.fetch %{{.*}} -> !unitile.tile<64x64xbf16>
// CHECK:           unitile.walk to %[[COUNT:[0-9a-z_]*]] from
// CHECK:           } score {
// CHECK:             %[[KT:.*]] = unitile.fetch %[[K]]{{.*}} -> !unitile.tile<128x64xbf16>
// CHECK:             unitile.dot %[[Q]], %[[KT]]
// A composite key is hidden from rows none of whose tokens sees it (S2), and the
// last one weighs by its tokens (S1).
// CHECK:           } mask {
// CHECK:             %[[BOUNDS:.*]] = unitile.map indices -> !unitile.rows<64xf32>
// CHECK:             math.log2
// CHECK:             unitile.mask %{{.*}} by %[[BOUNDS]] last %{{.*}} : !unitile.fragment<64x128xf32>
// Sums of exponentials over key blocks (S3, S4) and what they are relative to.
// CHECK:           } update {
// CHECK:             %[[PARTS:.*]], %[[TOP:.*]], %{{.*}} = unitile.softmax_sums %{{.*}} columns 16 scale 1.250000e-01 from
// CHECK:             unitile.put %[[PARTS]] to %[[SUMS]][%[[WORKER]]
// CHECK:             unitile.put %[[TOP]] to %[[TOPS]][%[[WORKER]]
// CHECK:           } finish {
// CHECK:             %[[BIAS:.*]] = unitile.map indices ins(
// CHECK:             unitile.put %[[BIAS]] to %[[TOPS]][%[[WORKER]], %[[COUNT]]]
// Of a block's rows the largest share (S5); blocks that nobody sees have mass 0.
// CHECK:             scf.parallel
// CHECK:               scf.for
// CHECK:                 math.exp2
// CHECK:                 arith.maxnumf
// CHECK:               scf.if %[[LATER]]
// CHECK:                 memref.load %[[MASS]]
// CHECK:               memref.store %{{.*}}, %[[MASS]]

// Memory for as many CTAs as there are tiles, 2.
// CHECK-LABEL: func.func @group(
// CHECK-DAG:     gpu.alloc () : memref<1x2x4x5xf32>
// CHECK-DAG:     gpu.alloc (%[[PARTS:.*]], %{{.*}}) : memref<?x?x64x8xf32>
// CHECK-DAG:     gpu.alloc (%[[PARTS]], %{{.*}}) : memref<?x?x64xf32>
// CHECK:         gpu.launch_func @unisparse_kernels::@score blocks in (%c1{{.*}}, %c2{{.*}}, %c1
// Heads that share a mass have the portable kernel on Hopper too.
// OWN-LABEL:   gpu.func @score(
// OWN:         {unitile.schedule = #unitile.tiles<rows = 64, keys = 128>}
func.func @group(%q: !q, %k: !k) -> tensor<1x2x4x5xf32> {
  %0 = unisparse.block_score %q, %k lengths [512, 640] block <128x128> pooling <8x8> share group causal : (!q, !k) -> tensor<1x2x4x5xf32>
  return %0 : tensor<1x2x4x5xf32>
}

// -----

!q = tensor<1x4x64x64xbf16>
!k = tensor<1x2x80x64xbf16>

// CHECK-LABEL: gpu.func @score(
// CHECK-NOT:     scf.for
// CHECK:         unitile.walk
// CHECK:         memref.store
// CHECK-NOT:     accumulate
// OWN-LABEL:   gpu.func @score(
// OWN:         {unitile.schedule = #unitile.schedule<stages = 4, keys = 128, ctas = 1, cluster = 1, producer_registers = 40, consumer_registers = 232>}
// OWN:         unitile.fetch {{.*}} -> !unitile.tile<128x64xbf16>
func.func @heads(%q: !q, %k: !k) -> tensor<1x4x4x5xf32> {
  %0 = unisparse.block_score %q, %k lengths [512, 640] block <128x128> pooling <8x8> causal : (!q, !k) -> tensor<1x4x4x5xf32>
  return %0 : tensor<1x4x4x5xf32>
}

// -----

// 10 and 6 composites in a block: rows in sixteens, keys in eights. Padded keys
// have to be masked always.
// CHECK-LABEL: gpu.func @score(
// CHECK:         unitile.fetch {{.*}} take 10 of 16 : {{.*}} -> !unitile.tile<64x80xf16>
// CHECK:         unitile.fetch {{.*}} take 6 of 8 : {{.*}} -> !unitile.tile<128x80xf16>
// CHECK:         mask {
// CHECK-NOT:       unitile.mask
// CHECK:           unitile.map indices
// CHECK:         unitile.softmax_sums {{.*}} columns 8 scale {{.*}} -> !unitile.fragment<64x16xf32>
// Rows are weighted by their tokens under agg sum (S5), and added.
// CHECK:         arith.divf
// CHECK:         scf.parallel
// CHECK-NOT:       arith.maxnumf
// CHECK:           arith.addf
// A copy by TMA takes rows as they lie.
// OWN-LABEL:   gpu.func @score(
// OWN-SAME:    #unitile.tiles
func.func @uneven(%q: tensor<1x4x40x72xf16>, %k: tensor<1x4x100x72xf16>) -> tensor<1x4x4x17xf32> {
  %0 = unisparse.block_score %q, %k lengths [400, 400] block <100x24> pooling <10x4> agg sum
    : (tensor<1x4x40x72xf16>, tensor<1x4x100x72xf16>) -> tensor<1x4x4x17xf32>
  return %0 : tensor<1x4x4x17xf32>
}

// -----

// Query blocks of a packed batch are cut into tiles as tokens are into blocks: a
// tile is one sequence's, 256 tokens.
// CHECK-LABEL: gpu.func @score(
// CHECK:         unitile.locate %{{.*}} by 512 in
// CHECK:         unitile.walk
// OWN-LABEL:   gpu.func @score(
// OWN-SAME:    #unitile.tiles
func.func @packed(%q: tensor<1x4x40x64xbf16>, %cu: tensor<4xi32>) -> tensor<1x4x7x5xf32> {
  %0 = unisparse.block_score %q, %q lengths [300, 300] cu_seqlens(%cu, %cu) block <64x64> pooling <8x8> causal
    : (tensor<1x4x40x64xbf16>, tensor<1x4x40x64xbf16>, tensor<4xi32>, tensor<4xi32>) -> tensor<1x4x7x5xf32>
  return %0 : tensor<1x4x7x5xf32>
}

// -----

// 16 means and 16 representatives of a query block are 32 rows, four blocks a
// tile. What a representative sees is its own row's to say (P5, S2); spread makes
// the product longer (P6).
// CHECK-LABEL: gpu.func @score(
// CHECK-SAME:    memref<1x4x4x16xi32>
// OWN-LABEL:   gpu.func @score(
// OWN-SAME:    %[[ROWS:[^ ]*]]: memref<1x4x4x16xi32>
// OWN-SAME:    #unitile.schedule
// OWN:         unitile.fetch {{.*}} -> !unitile.tile<128x160xbf16>
// OWN:         unitile.map indices -> !unitile.rows<128xf32>
// OWN:           memref.load %[[ROWS]]
// OWN:         unitile.softmax_sums {{.*}} scale 0.088388
func.func @representatives(%q: tensor<1x4x128x160xbf16>, %k: tensor<1x4x64x160xbf16>, %rows: tensor<1x4x4x16xi32>) -> tensor<1x4x4x4xf32> {
  %0 = unisparse.block_score %q, %k rows(%rows) lengths [512, 512] block <128x128>
    pooling <8x8, representatives = 16, spread = 4> causal
    : (tensor<1x4x128x160xbf16>, tensor<1x4x64x160xbf16>, tensor<1x4x4x16xi32>) -> tensor<1x4x4x4xf32>
  return %0 : tensor<1x4x4x4xf32>
}
