// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts,convert-unitile-to-nvvm))' | FileCheck %s

// A lane has 4 of a block's 16 columns in each of two rows. Of 8 blocks the four
// lanes that share a row end up with two neighbours each, in 6 shuffles: of the
// halves with the lane 2 away, then of the pairs with the neighbour.
gpu.module @m {
  // CHECK-LABEL: gpu.func @eight(
  // CHECK-COUNT-4:  nvvm.shfl.sync bfly {{.*}} %{{.*}}, %c2_i32
  // CHECK-COUNT-2:  nvvm.shfl.sync bfly {{.*}} %{{.*}}, %c1_i32
  // CHECK-COUNT-4:  nvvm.shfl.sync bfly {{.*}} %{{.*}}, %c2_i32
  // CHECK-COUNT-2:  nvvm.shfl.sync bfly {{.*}} %{{.*}}, %c1_i32
  // CHECK-NOT:      nvvm.shfl.sync
  // CHECK:          gpu.return
  gpu.func @eight(%x: f32, %p: !llvm.ptr<1>, %row: i32, %stride: i64) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %f = unitile.fill %x : f32 -> !unitile.fragment<64x128xf32>
    %s = unitile.sum_groups %f columns 16 : !unitile.fragment<64x128xf32> -> !unitile.fragment<64x8xf32>
    unitile.store %s to %p row %row limit %row stride %stride : !unitile.fragment<64x8xf32>
    gpu.return
  }
  // Two blocks of 32 columns: there is nothing to trade for the six that are not.
  // CHECK-LABEL: gpu.func @two(
  // CHECK-COUNT-8: nvvm.shfl.sync
  // CHECK-NOT:     nvvm.shfl.sync
  // CHECK:         gpu.return
  gpu.func @two(%x: f32, %p: !llvm.ptr<1>, %row: i32, %stride: i64) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %f = unitile.fill %x : f32 -> !unitile.fragment<64x64xf32>
    %s = unitile.sum_groups %f columns 32 : !unitile.fragment<64x64xf32> -> !unitile.fragment<64x8xf32>
    unitile.store %s to %p row %row limit %row stride %stride width 2 : !unitile.fragment<64x8xf32>
    gpu.return
  }
}
