// RUN: unisparse-opt %s -split-input-file --unitile-persist --canonicalize | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --unitile-persist=specialised --canonicalize | FileCheck %s --check-prefix=ALL

// As many CTAs as there is memory for, each of which goes through the grid that
// the launch had.
module attributes {gpu.container_module} {
  // CHECK-LABEL: gpu.func @own(
  // CHECK-SAME:    %[[SUMS:.*]]: memref<?x?x64x8xf32>, %[[OUT:.*]]: memref<?x?xi32>, %[[X:.*]]: i32, %[[Y:.*]]: i32, %[[Z:.*]]: i32
  // CHECK:         %[[ID:.*]] = gpu.block_id x
  // CHECK-NEXT:    %[[OWN:.*]] = arith.index_cast %[[ID]] : index to i32
  // CHECK-NEXT:    %[[DIM:.*]] = gpu.grid_dim x
  // CHECK-NEXT:    %[[CTAS:.*]] = arith.index_cast %[[DIM]] : index to i32
  // CHECK-NEXT:    %[[XY:.*]] = arith.muli %[[X]], %[[Y]] : i32
  // CHECK-NEXT:    %[[ITEMS:.*]] = arith.muli %[[XY]], %[[Z]] : i32
  // CHECK-NEXT:    scf.for %[[I:.*]] = %[[OWN]] to %[[ITEMS]] step %[[CTAS]]
  // CHECK-NEXT:      %[[REST:.*]] = arith.divui %[[I]], %[[X]] : i32
  // CHECK-NEXT:      %[[FIRST:.*]] = arith.muli %[[REST]], %[[X]] : i32
  // CHECK-NEXT:      %[[A:.*]] = arith.subi %[[I]], %[[FIRST]] : i32
  // CHECK:           %[[PLACE:.*]] = arith.index_cast %[[A]] : i32 to index
  // CHECK:           memref.store %[[OWN]], %[[OUT]][%{{.*}}, %[[PLACE]]]
  // CHECK-NOT:     unitile.worker
  // CHECK-LABEL: gpu.func @hopper(
  // CHECK:         unitile.worker
  // ALL-NOT:     unitile.worker
  gpu.module @kernels {
    gpu.func @own(%sums: memref<?x?x64x8xf32>, %out: memref<?x?xi32>) kernel attributes {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>} {
      %w = unitile.worker of %sums : memref<?x?x64x8xf32>
      %x = gpu.block_id x
      %y = gpu.block_id y
      memref.store %w, %out[%y, %x] : memref<?x?xi32>
      %c0 = arith.constant 0 : i32
      unitile.walk to %c0 block {
      ^bb0(%n: i32):
        unitile.yield %n, %n : i32, i32
      } score {
      ^bb0(%k: i32, %l: i32):
        %f = arith.constant 0.0 : f32
        %s = unitile.fill %f : f32 -> !unitile.fragment<64x64xf32>
        unitile.yield %s : !unitile.fragment<64x64xf32>
      } mask {
      ^bb0(%s: !unitile.fragment<64x64xf32>, %k: i32, %l: i32):
        unitile.yield %s : !unitile.fragment<64x64xf32>
      } update {
      ^bb0(%s: !unitile.fragment<64x64xf32>, %k: i32, %l: i32):
        unitile.yield
      } finish {
        unitile.yield
      }
      gpu.return
    }
    gpu.func @hopper(%sums: memref<?x?x64x8xf32>, %out: memref<?x?xi32>) kernel attributes {unitile.schedule = #unitile.schedule<stages = 2>} {
      %w = unitile.worker of %sums : memref<?x?x64x8xf32>
      %x = gpu.block_id x
      memref.store %w, %out[%x, %x] : memref<?x?xi32>
      %c0 = arith.constant 0 : i32
      unitile.walk to %c0 block {
      ^bb0(%n: i32):
        unitile.yield %n, %n : i32, i32
      } score {
      ^bb0(%k: i32, %l: i32):
        %f = arith.constant 0.0 : f32
        %s = unitile.fill %f : f32 -> !unitile.fragment<64x64xf32>
        unitile.yield %s : !unitile.fragment<64x64xf32>
      } mask {
      ^bb0(%s: !unitile.fragment<64x64xf32>, %k: i32, %l: i32):
        unitile.yield %s : !unitile.fragment<64x64xf32>
      } update {
      ^bb0(%s: !unitile.fragment<64x64xf32>, %k: i32, %l: i32):
        unitile.yield
      } finish {
        unitile.yield
      }
      gpu.return
    }
  }
  // CHECK-LABEL: func.func @launch(
  // CHECK-SAME:    %[[S:.*]]: memref<?x?x64x8xf32>
  // CHECK:         %[[PARTS:.*]] = memref.dim %[[S]], %c0
  // CHECK:         gpu.launch_func @kernels::@own blocks in (%[[PARTS]], %c1, %c1)
  func.func @launch(%s: memref<?x?x64x8xf32>, %o: memref<?x?xi32>, %n: index) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@own blocks in (%n, %n, %c1) threads in (%c1, %c1, %c1) args(%s : memref<?x?x64x8xf32>, %o : memref<?x?xi32>)
    return
  }
}
