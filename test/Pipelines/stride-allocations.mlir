// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: unisparse-opt %s --split-input-file --unisparse-stride-allocations | FileCheck %s

// What pages only put rows to gets strides, on both sides; a result beside it that is stored by words has none.
// CHECK:       gpu.func @page(%{{.*}}: memref<2x4x?x64xf32, strided<[?, ?, ?, 1]>>, %{{.*}}: memref<2x4x?xf32>, %{{.*}}: i32)
// CHECK:         unitile.put {{.*}} memref<2x4x?x64xf32, strided<[?, ?, ?, 1]>>
// CHECK-LABEL: func.func @both
// CHECK-SAME:    %[[N:.*]]: index, %{{.*}}: i32) -> (memref<2x4x?x64xf32, strided<[?, ?, ?, 1]>>, memref<2x4x?xf32>)
// CHECK:         %[[HEAD:.*]] = arith.muli %[[N]], %[[ROW:.*]] : index
// CHECK:         %[[BATCH:.*]] = arith.muli %{{.*}}, %[[HEAD]] : index
// CHECK:         gpu.alloc (%[[N]])[%[[BATCH]], %[[HEAD]], %[[ROW]]] : memref<2x4x?x64xf32, strided<[?, ?, ?, 1]>>
// CHECK:         gpu.alloc (%[[N]]) : memref<2x4x?xf32>
// CHECK:         return {{.*}} : memref<2x4x?x64xf32, strided<[?, ?, ?, 1]>>, memref<2x4x?xf32>
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @page(%o: memref<2x4x?x64xf32>, %lse: memref<2x4x?xf32>, %i: i32) kernel {
      %zero = arith.constant 0.0 : f32
      %x = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
      unitile.put %x to %o[%i, %i] rows %i to %i : !unitile.fragment<64x64xf32>, memref<2x4x?x64xf32>
      gpu.return
    }
  }
  func.func @both(%n: index, %i: i32) -> (memref<2x4x?x64xf32>, memref<2x4x?xf32>) {
    %one = arith.constant 1 : index
    %o = gpu.alloc(%n) : memref<2x4x?x64xf32>
    %lse = gpu.alloc(%n) : memref<2x4x?xf32>
    gpu.launch_func @kernels::@page blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%o : memref<2x4x?x64xf32>, %lse : memref<2x4x?xf32>, %i : i32)
    return %o, %lse : memref<2x4x?x64xf32>, memref<2x4x?xf32>
  }
}

// -----

// Whole: what is read, what is filled, what two launches of one kernel would share, and what is no result.
// CHECK-NOT:   strided
// CHECK-LABEL: func.func @whole
// CHECK-NOT:   strided
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @page(%o: memref<1x1x?x64xf32>, %i: i32) kernel {
      %zero = arith.constant 0.0 : f32
      %x = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
      unitile.put %x to %o[%i, %i] rows %i to %i : !unitile.fragment<64x64xf32>, memref<1x1x?x64xf32>
      gpu.return
    }
    gpu.func @filled(%o: memref<1x1x?x64xf32>, %i: i32) kernel {
      %zero = arith.constant 0.0 : f32
      %x = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
      unitile.put %x to %o[%i, %i] rows %i to %i : !unitile.fragment<64x64xf32>, memref<1x1x?x64xf32>
      gpu.return
    }
    gpu.func @reads(%o: memref<1x1x?x64xf32>, %i: index) kernel {
      %x = memref.load %o[%i, %i, %i, %i] : memref<1x1x?x64xf32>
      memref.store %x, %o[%i, %i, %i, %i] : memref<1x1x?x64xf32>
      gpu.return
    }
  }
  func.func @whole(%n: index, %i: i32) -> (memref<1x1x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>) {
    %one = arith.constant 1 : index
    %zero = arith.constant 0.0 : f32
    %read = gpu.alloc(%n) : memref<1x1x?x64xf32>
    %filled = gpu.alloc(%n) : memref<1x1x?x64xf32>
    %shared = gpu.alloc(%n) : memref<1x1x?x64xf32>
    %own = gpu.alloc(%n) : memref<1x1x?x64xf32>
    gpu.memset %filled, %zero : memref<1x1x?x64xf32>, f32
    gpu.launch_func @kernels::@filled blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%filled : memref<1x1x?x64xf32>, %i : i32)
    gpu.launch_func @kernels::@reads blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%read : memref<1x1x?x64xf32>, %n : index)
    gpu.launch_func @kernels::@page blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%shared : memref<1x1x?x64xf32>, %i : i32)
    gpu.launch_func @kernels::@page blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%own : memref<1x1x?x64xf32>, %i : i32)
    return %read, %filled, %shared : memref<1x1x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>
  }
}
