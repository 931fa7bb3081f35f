// RUN: unisparse-opt %s --transform-preload-library=transform-library-paths=%src_root/examples/transform/tune.mlir --transform-interpreter \
// RUN:   | FileCheck %s

// Policies and schedules that transform.annotate sets: of every layer, each by its function's passes.
// CHECK-LABEL: func.func @layers(
// CHECK:         unisparse.block_score {{.*}} block <64x128> {{.*}} {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>}
// CHECK:         unisparse.block_select {{.*}} block <64x128> rule <top_p = 0.8, last = 1> causal
// CHECK:         unisparse.block_sparse_attention {{.*}} block <64x128> causal {unitile.schedule = #unitile.schedule<stages = 2, reference = running>}
// CHECK:         unisparse.block_score {{.*}} {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>}
// CHECK:         unisparse.block_sparse_attention {{.*}} {unitile.schedule = #unitile.schedule<stages = 2, reference = running>}
!q = tensor<1x8x4096x128xf16>
!k = tensor<1x2x4096x128xf16>
func.func @layers(%q: !q, %k: !k, %v: !k) -> !q {
  %0 = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal : (!q, !k, !k) -> !q
  %1 = unisparse.block_sparse_attention %0, %k, %v block <128x128> causal : (!q, !k, !k) -> !q
  return %1 : !q
}
