// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What stands between a program's arguments and a stage, on the host's side.

// RUN: unisparse-opt %s -split-input-file --unisparse-to-gpu-pipeline=chip=sm_80 | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --unisparse-to-gpu-pipeline=chip=sm_90a | FileCheck %s

// What the diagnostic of unknown heads advises. The cast's claims are asserted:
// kernels are compiled for them.
!any = tensor<?x?x?x?xf16>
// CHECK-LABEL: func.func @cast(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: memref<?x?x?x?xf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK-SAME:    %[[K:[a-z0-9]+]]: memref<?x?x?x?xf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK-DAG:     %[[HEADS:.*]] = memref.dim %[[Q]], %c1
// CHECK:         %[[FOUR:.*]] = arith.cmpi eq, %[[HEADS]], %c4
// CHECK:         cf.assert %[[FOUR]], "tensor.cast: input 0.size(1) == 4"
// CHECK:         cf.assert %{{.*}}, "tensor.cast: input 0.size(3) == 16"
// CHECK:         cf.assert %{{.*}}, "tensor.cast: input 1.size(1) == 2"
// CHECK-NOT:     memref.alloc
// CHECK:         gpu.launch_func
func.func @cast(%q: !any, %k: !any) -> tensor<?x4x?x16xf16> {
  %a = tensor.cast %q : !any to tensor<?x4x?x16xf16>
  %b = tensor.cast %k : !any to tensor<?x2x?x16xf16>
  %o = unisparse.block_sparse_attention %a, %b, %b block <64x64> causal
    : (tensor<?x4x?x16xf16>, tensor<?x2x?x16xf16>, tensor<?x2x?x16xf16>) -> tensor<?x4x?x16xf16>
  return %o : tensor<?x4x?x16xf16>
}

// -----

// A cast that forgets asserts nothing, between stages too.
// CHECK-LABEL: func.func @forget(
// CHECK-NOT:     tensor.cast:
// CHECK:         gpu.launch_func
// CHECK:         gpu.launch_func
// CHECK:         return
!t = tensor<1x4x128x16xf16>
!f = tensor<1x4x?x16xf16>
func.func @forget(%q: !t) -> !f {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (!t, !t, !t) -> !t
  %x = tensor.cast %o : !t to !f
  %y = tensor.cast %q : !t to !f
  %p = unisparse.block_sparse_attention %x, %y, %y block <64x64> : (!f, !f, !f) -> !f
  return %p : !f
}

// -----

// Rows of a slice are contiguous as they are.
// CHECK-LABEL: func.func @slice(
// CHECK-SAME:    %[[K:[a-z0-9]+]]: memref<1x2x150x16xf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK:         memref.subview %[[K]]
// CHECK-NOT:     memref.alloc
// CHECK:         gpu.launch_func
func.func @slice(%q: tensor<1x4x100x16xf16>, %k: tensor<1x2x150x16xf16>) -> tensor<1x4x100x16xf16> {
  %s = tensor.extract_slice %k[0, 0, 8, 0] [1, 2, 75, 16] [1, 1, 1, 1] : tensor<1x2x150x16xf16> to tensor<1x2x75x16xf16>
  %o = unisparse.block_sparse_attention %q, %s, %s block <64x64>
    : (tensor<1x4x100x16xf16>, tensor<1x2x75x16xf16>, tensor<1x2x75x16xf16>) -> tensor<1x4x100x16xf16>
  return %o : tensor<1x4x100x16xf16>
}

// -----

// Private functions are a part of who calls them.
// CHECK-LABEL: func.func @call(
// CHECK-NOT:     call
// CHECK:         gpu.launch_func
// CHECK-NOT:   func.func private @attend
!q = tensor<1x4x100x16xf16>
!k = tensor<1x2x150x16xf16>
func.func private @attend(%q: !q, %k: !k) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %k block <64x64> causal : (!q, !k, !k) -> !q
  return %o : !q
}
func.func @call(%q: !q, %k: !k) -> !q {
  %o = call @attend(%q, %k) : (!q, !k) -> !q
  return %o : !q
}

// -----

// A result of a function that is elsewhere is copied where it may have gaps.
// CHECK-LABEL: func.func @elsewhere(
// CHECK:         call @project
// CHECK:         gpu.launch_func
!q = tensor<1x4x100x16xf16>
func.func private @project(!q) -> !q
func.func @elsewhere(%q: !q) -> !q {
  %k = call @project(%q) : (!q) -> !q
  %o = unisparse.block_sparse_attention %q, %k, %k block <64x64> : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

// As many launches as layers.
// CHECK-LABEL: func.func @layers(
// CHECK-NOT:     scf.for
// CHECK-COUNT-2: gpu.launch_func
// CHECK-NOT:     gpu.launch_func
!q = tensor<1x4x100x16xf16>
func.func @layers(%q: !q) -> !q {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%x = %q) -> (!q) {
    %o = unisparse.block_sparse_attention %x, %q, %q block <64x64> : (!q, !q, !q) -> !q
    scf.yield %o : !q
  }
  return %r : !q
}

// -----

// A loop whose end nobody knows is the host's.
// CHECK-LABEL: func.func @many_layers(
// CHECK:         scf.for
// CHECK:           gpu.launch_func
!q = tensor<1x4x100x16xf16>
func.func @many_layers(%q: !q, %n: index) -> !q {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %q) -> (!q) {
    %o = unisparse.block_sparse_attention %x, %q, %q block <64x64> : (!q, !q, !q) -> !q
    scf.yield %o : !q
  }
  return %r : !q
}

// -----

// The kernels' module is renamed where the program has that name.
// CHECK: gpu.binary @[[KERNELS:unisparse_kernels_[0-9]+]]
// CHECK: gpu.launch_func @[[KERNELS]]::@attend
// CHECK: func.func private @unisparse_kernels()
!q = tensor<1x4x100x16xf16>
func.func @symbols(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (!q, !q, !q) -> !q
  call @unisparse_kernels() : () -> ()
  return %o : !q
}
func.func private @unisparse_kernels()
