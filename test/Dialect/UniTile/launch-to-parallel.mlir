// RUN: unisparse-opt %s --unitile-launch-to-parallel --split-input-file | FileCheck %s

// Each launch has a copy of its kernel; x is innermost, as neighbours are on a GPU.
// CHECK-NOT:   gpu
// CHECK-LABEL: func.func @launch(
// CHECK-SAME:    %[[NX:.*]]: index, %[[NY:.*]]: index, %[[NZ:.*]]: index, %[[V:.*]]: i32)
// CHECK:         %[[X:.*]] = memref.alloc(%[[NX]], %[[NY]], %[[NZ]]) : memref<?x?x?xi32>
// CHECK:         scf.parallel (%[[Z:.*]], %[[Y:.*]], %[[XI:.*]]) = {{.*}} to (%[[NZ]], %[[NY]], %[[NX]])
// CHECK:           %[[LAST:.*]] = arith.addi %[[XI]], %[[NX]] : index
// CHECK:           scf.if
// CHECK:             memref.store %[[V]], %[[X]][%[[XI]], %[[Y]], %[[Z]]] : memref<?x?x?xi32>
// CHECK:         scf.parallel
// CHECK:         memref.dealloc %[[X]]
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @k(%m: memref<?x?x?xi32>, %v: i32) kernel {
      %x = gpu.block_id x
      %y = gpu.block_id y
      %z = gpu.block_id z
      %n = gpu.grid_dim x
      %last = arith.addi %x, %n : index
      %c = arith.cmpi slt, %y, %last : index
      scf.if %c {
        memref.store %v, %m[%x, %y, %z] : memref<?x?x?xi32>
      }
      gpu.return
    }
  }
  func.func @launch(%nx: index, %ny: index, %nz: index, %v: i32) {
    %c1 = arith.constant 1 : index
    %m = gpu.alloc(%nx, %ny, %nz) : memref<?x?x?xi32>
    gpu.launch_func @kernels::@k blocks in (%nx, %ny, %nz) threads in (%c1, %c1, %c1) args(%m : memref<?x?x?xi32>, %v : i32)
    gpu.launch_func @kernels::@k blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%m : memref<?x?x?xi32>, %v : i32)
    gpu.dealloc %m : memref<?x?x?xi32>
    return
  }
}

// -----

// Nothing to do.
// CHECK-LABEL: func.func @none()
func.func @none() {
  return
}

// -----

// Memory of a kernel's own is that of each point of the grid.
// CHECK-LABEL: func.func @own(
// CHECK:         scf.parallel
// CHECK:           %[[OWN:.*]] = memref.alloc() : memref<4xi32>
// CHECK:           memref.store %{{.*}}, %[[OWN]][%{{.*}}] : memref<4xi32>
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @k(%v: i32) kernel {
      %c1 = arith.constant 1 : index
      %own = memref.alloca() : memref<4xi32, #gpu.address_space<workgroup>>
      memref.store %v, %own[%c1] : memref<4xi32, #gpu.address_space<workgroup>>
      gpu.return
    }
  }
  func.func @own(%n: index, %v: i32) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@k blocks in (%n, %n, %n) threads in (%c1, %c1, %c1) args(%v : i32)
    return
  }
}
