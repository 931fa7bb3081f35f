// RUN: unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(convert-unisparse-to-unitile,unitile-pipeline,gpu.module(unitile-decompose-softmax),canonicalize)' | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(convert-unisparse-to-unitile,unitile-pipeline,gpu.module(unitile-allocate-shared))' | FileCheck %s --check-prefix=SHARED

!q = tensor<1x8x1000x64xbf16>
!k = tensor<1x2x1000x64xbf16>
!c = tensor<1x4x8xi32>
!i = tensor<1x4x8x8xi32>

// 8 warps for 128 query rows; K and V one stage each.
// CHECK:       gpu.module @unisparse_kernels
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    known_block_size = array<i32: 256, 1, 1>
// CHECK-SAME:    unitile.schedule = #unitile.tiles<rows = 128, keys = 128>
// CHECK-DAG:     unitile.alloc : !unitile.shared<128x64xbf16>
// CHECK:         %[[Q:.*]] = unitile.load %{{.*}} -> !unitile.fragment<128x64xbf16>
// CHECK:         scf.for
// V is on its way while S is multiplied; the next K while the softmax runs.
// CHECK:           unitile.copy_async
// CHECK-NEXT:      unitile.commit
// CHECK-NEXT:      unitile.wait 1
// CHECK-NEXT:      unitile.barrier
// CHECK:           %[[S:.*]] = unitile.mma %[[Q]], %{{.*}} : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<128x128xf32>
// CHECK-NEXT:      unitile.barrier
// CHECK:           unitile.copy_async
// CHECK-NEXT:      unitile.commit
// Only blocks that have keys to hide are masked.
// CHECK:           scf.if
// CHECK:             unitile.map indices ins(%[[S]]
// CHECK:           unitile.reduce max
// CHECK:           unitile.fold add
// CHECK:           unitile.wait 1
// CHECK-NEXT:      unitile.barrier
// CHECK-NEXT:      unitile.mma {{.*}} by_rows
// CHECK-NEXT:      unitile.barrier
// Sums by columns are added up once.
// CHECK:         unitile.wait 0
// CHECK:         unitile.reduce add
// CHECK:         unitile.store {{.*}} : !unitile.fragment<128x64xbf16>
// CHECK:         unitile.store {{.*}} : !unitile.rows<128xf32>

// 1000 queries are 8 query blocks.
// CHECK-LABEL: func.func @selected(
// CHECK-NOT:     unisparse.
// CHECK-DAG:     %[[BYTES:.*]] = arith.constant 49152 : i32
// CHECK-DAG:     gpu.alloc () : memref<1x8x1000x64xbf16>
// CHECK-DAG:     gpu.alloc () : memref<1x8x1000xf32>
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%c8, %c8, %c1) threads in (%c256, %c1, %c1) dynamic_shared_memory_size %[[BYTES]]
// The launch says which kernel it is, for artifacts and reports.
// CHECK-SAME:    {unitile.schedule = #unitile.tiles<rows = 128, keys = 128>}

// The launch asks for what the allocation takes.
// SHARED:      gpu.func @attend({{.*}} unitile.shared_bytes = 49152 : i64
func.func @selected(%q: !q, %k: !k, %c: !c, %i: !i) -> (!q, tensor<1x8x1000xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal return_lse
    : (!q, !k, !k, !c, !i) -> (!q, tensor<1x8x1000xf32>)
  return %o, %lse : !q, tensor<1x8x1000xf32>
}

// -----

// Without a selection no index is read: block n is block n. Not causal, only
// the end of the keys is masked.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    known_block_size = array<i32: 128, 1, 1>
// CHECK-NOT:     llvm.load
// CHECK:         unitile.map indices
// CHECK:         arith.cmpi slt
// CHECK-NOT:     arith.minsi
// CHECK:         unitile.yield
// CHECK:         gpu.return
func.func @dense(%q: tensor<2x4x?x32xf16>, %k: tensor<2x4x?x32xf16>, %v: tensor<2x4x?x96xf16>) -> tensor<2x4x?x96xf16> {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x112>
    : (tensor<2x4x?x32xf16>, tensor<2x4x?x32xf16>, tensor<2x4x?x96xf16>) -> tensor<2x4x?x96xf16>
  return %o : tensor<2x4x?x96xf16>
}

// -----

// A packed batch looks for its sequence; spare slots do nothing.
// CHECK-LABEL: gpu.func @attend(
// CHECK:         scf.while
// CHECK:         scf.if
// CHECK:           unitile.copy_async
// Two attentions, two kernels.
// CHECK:       gpu.func @attend_0(
// CHECK-LABEL: func.func @packed(
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks
// CHECK:         gpu.launch_func @unisparse_kernels::@attend_0 blocks
func.func @packed(%q: tensor<1x4x300x64xbf16>, %cu: tensor<4xi32>) -> tensor<1x4x300x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q cu_seqlens(%cu, %cu) block <64x64> causal
    : (tensor<1x4x300x64xbf16>, tensor<1x4x300x64xbf16>, tensor<1x4x300x64xbf16>, tensor<4xi32>, tensor<4xi32>) -> tensor<1x4x300x64xbf16>
  %p = unisparse.block_sparse_attention %o, %q, %q cu_seqlens(%cu, %cu) block <32x64> causal
    : (tensor<1x4x300x64xbf16>, tensor<1x4x300x64xbf16>, tensor<1x4x300x64xbf16>, tensor<4xi32>, tensor<4xi32>) -> tensor<1x4x300x64xbf16>
  return %p : tensor<1x4x300x64xbf16>
}
