// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --mlir-use-nameloc-as-prefix | FileCheck %s

!q = tensor<1x8x1000x64xbf16>
!k = tensor<1x2x1000x64xbf16>
!c = tensor<1x4x8xi32>
!i = tensor<1x4x8x8xi32>

// One page, in which nothing is said of stages, barriers or addresses.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    %q: memref<1x8x1000x64xbf16, strided<[?, ?, ?, 1], offset: ?>>, %k: memref<1x2x1000x64xbf16, strided<[?, ?, ?, 1], offset: ?>>, %v: memref<1x2x1000x64xbf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK-SAME:    %o: memref<1x8x1000x64xbf16>, %lse: memref<1x8x1000xf32>, %counts: memref<1x4x8xi32>, %indices: memref<1x4x8x8xi32>
// CHECK-SAME:    unitile.schedule = #unitile.tiles<rows = 128, keys = 128>
// CHECK-NOT:     unitile.{{alloc|barrier|copy_async}}
// The last query blocks first: they see the most keys.
// CHECK:         %[[SLOT:.*]] = arith.subi
// CHECK:         %[[COUNT:.*]] = memref.load %counts
// CHECK:         %[[Q:.*]] = unitile.fetch %q[%{{.*}}, %{{.*}}] rows %{{.*}} to %lq : {{.*}} -> !unitile.tile<128x64xbf16>
// CHECK:         unitile.walk to %[[COUNT]] group 4 from({{.*}} : !unitile.fragment<128x64xf32>, !unitile.rows<128xf32>, !unitile.rows<128xf32>) block {
// CHECK:           memref.load %indices
// CHECK:           unitile.yield %{{.*}}, %lk : i32, i32
// CHECK:         } score {
// CHECK-NEXT:    ^bb0(%[[KEY:.*]]: i32, %[[LIMIT:.*]]: i32):
// CHECK:           %[[K:.*]] = unitile.fetch %k[%{{.*}}, %{{.*}}] rows %[[KEY]] to %[[LIMIT]]
// CHECK-NEXT:      %[[S:.*]] = unitile.dot %[[Q]], %[[K]]
// CHECK-NEXT:      unitile.yield %[[S]]
// CHECK:         } mask {
// CHECK:           unitile.mask %{{.*}} keys %{{.*}} to %{{.*}} diagonal %{{.*}}
// CHECK:         } update {
// CHECK:           %[[P:.*]], %{{.*}}, %{{.*}}, %[[O:.*]] = unitile.softmax %{{.*}} scale 1.250000e-01 from
// CHECK:           %[[V:.*]] = unitile.fetch %v
// CHECK-NEXT:      unitile.dot %[[P]], %[[V]], %[[O]] by_rows
// CHECK:         } finish {
// CHECK:           %[[INVERSE:.*]] = unitile.inverse
// A row that saw nothing is 0 whatever its V held (A5).
// CHECK:           unitile.map ins(%{{.*}}, %[[INVERSE]]
// CHECK:             arith.select
// CHECK:           unitile.put %{{.*}} to %o[%{{.*}}, %{{.*}}] rows %{{.*}} to %lq
// CHECK:           unitile.lse
// CHECK-NEXT:      unitile.put %{{.*}} to %lse
// CHECK-NOT:     unitile.{{alloc|barrier|copy_async}}
// CHECK:         gpu.return

// 1000 queries are 8 query tiles; threads and shared memory come with the
// schedule.
// CHECK-LABEL: func.func @selected(
// CHECK-NOT:     unisparse.
// CHECK-DAG:     gpu.alloc () : memref<1x8x1000x64xbf16>
// CHECK-DAG:     gpu.alloc () : memref<1x8x1000xf32>
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%c8, %c8, %c1) threads in (%c1, %c1, %c1) dynamic_shared_memory_size %c0_i32
// The launch says which kernel it is, for artifacts and reports.
// CHECK-SAME:    {unitile.schedule = #unitile.tiles<rows = 128, keys = 128>}
func.func @selected(%q: !q, %k: !k, %c: !c, %i: !i) -> (!q, tensor<1x8x1000xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal return_lse
    : (!q, !k, !k, !c, !i) -> (!q, tensor<1x8x1000xf32>)
  return %o, %lse : !q, tensor<1x8x1000xf32>
}

// -----

!q = tensor<1x8x1000x64xbf16>

// The same page for a warp-specialised kernel: only the tiles' sizes are others.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    unitile.schedule = #unitile.schedule<
// CHECK-NOT:     unitile.{{roles|tensor_copy|await}}
// CHECK:         unitile.walk
// CHECK:           unitile.fetch {{.*}} -> !unitile.tile<32x64xbf16>
// CHECK:         } finish {
func.func @specialised(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x64> causal {unitile.schedule = #unitile.schedule<keys = 32>}
    : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

// Without a selection no index is read: block n is block n. Not causal, only
// the end of the keys is masked.
// CHECK-LABEL: gpu.func @attend(
// CHECK-NOT:     memref.load
// CHECK:         unitile.mask %{{.*}} keys %{{.*}} to %{{[a-z0-9]+}} : !unitile.fragment
// CHECK-NOT:     memref.load
// CHECK:         gpu.return
func.func @dense(%q: tensor<2x4x?x32xf16>, %k: tensor<2x4x?x32xf16>, %v: tensor<2x4x?x96xf16>) -> tensor<2x4x?x96xf16> {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x112>
    : (tensor<2x4x?x32xf16>, tensor<2x4x?x32xf16>, tensor<2x4x?x96xf16>) -> tensor<2x4x?x96xf16>
  return %o : tensor<2x4x?x96xf16>
}

// -----

!q = tensor<1x4x300x64xbf16>

// A packed batch looks for its sequence; spare slots do nothing.
// CHECK-LABEL: gpu.func @attend(
// CHECK:         %[[BLOCK:.*]], %{{.*}}, %[[LENGTH:.*]], %{{.*}}, %{{.*}} = unitile.locate %{{.*}} by 64 in %cu_q, %cu_q of %sequences
// CHECK:         %[[FIRST:.*]] = arith.muli %[[BLOCK]]
// CHECK:         %[[SOME:.*]] = arith.cmpi slt, %[[FIRST]], %[[LENGTH]]
// CHECK:         scf.if %[[SOME]]
// CHECK:           unitile.walk
// Two attentions, two kernels.
// CHECK:       gpu.func @attend_0(
// CHECK-LABEL: func.func @packed(
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks
// CHECK:         gpu.launch_func @unisparse_kernels::@attend_0 blocks
func.func @packed(%q: !q, %cu: tensor<4xi32>) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q cu_seqlens(%cu, %cu) block <64x64> causal
    : (!q, !q, !q, tensor<4xi32>, tensor<4xi32>) -> !q
  %p = unisparse.block_sparse_attention %o, %q, %q cu_seqlens(%cu, %cu) block <32x64> causal
    : (!q, !q, !q, tensor<4xi32>, tensor<4xi32>) -> !q
  return %p : !q
}

// -----

// A scale that turns order round is applied before the maximum.
// CHECK-LABEL: gpu.func @attend(
// CHECK:           unitile.dot
// CHECK-NEXT:      unitile.map
// CHECK-NEXT:      ^bb0
// CHECK-NEXT:        arith.mulf
// CHECK:           unitile.softmax %{{.*}} scale 1.000000e+00
func.func @negative(%q: tensor<1x4x128x64xbf16>) -> tensor<1x4x128x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> scale -1.250000e-01
    : (tensor<1x4x128x64xbf16>, tensor<1x4x128x64xbf16>, tensor<1x4x128x64xbf16>) -> tensor<1x4x128x64xbf16>
  return %o : tensor<1x4x128x64xbf16>
}
