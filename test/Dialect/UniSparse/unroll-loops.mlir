// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-unroll-loops | FileCheck %s
// RUN: unisparse-opt %s --unisparse-unroll-loops=most=5 | FileCheck %s --check-prefix=MOST

!t = tensor<1x2x64x64xf16>

// CHECK-LABEL: func.func @layers(
// CHECK-SAME:    %[[Q:.*]]: tensor
// CHECK-NOT:     scf.for
// CHECK:         %[[X:.*]] = unisparse.block_sparse_attention %[[Q]],
// CHECK:         %[[Y:.*]] = unisparse.block_sparse_attention %[[X]],
// CHECK:         return %[[Y]]
func.func @layers(%q: !t) -> !t {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%x = %q) -> (!t) {
    %o = unisparse.block_sparse_attention %x, %q, %q block <64x64> : (!t, !t, !t) -> !t
    scf.yield %o : !t
  }
  return %r : !t
}

// Six in all: the inner loop is straight first, and the outer one stays where
// that is too many.
// CHECK-LABEL: func.func @nested(
// CHECK-NOT:     scf.for
// CHECK-COUNT-6: unisparse.block_sparse_attention
// CHECK-NOT:     unisparse.block_sparse_attention
// MOST-LABEL: func.func @nested(
// MOST:         scf.for
// MOST-COUNT-2: unisparse.block_sparse_attention
// MOST-NOT:     unisparse.block_sparse_attention
// MOST-LABEL: func.func @others(
func.func @nested(%q: !t) -> !t {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%x = %q) -> (!t) {
    %s = scf.for %j = %c0 to %c2 step %c1 iter_args(%y = %x) -> (!t) {
      %o = unisparse.block_sparse_attention %y, %q, %q block <64x64> : (!t, !t, !t) -> !t
      scf.yield %o : !t
    }
    scf.yield %s : !t
  }
  return %r : !t
}

// Loops without stages, and those that nobody knows the end of.
// CHECK-LABEL: func.func @others(
// CHECK:         scf.for
// CHECK:         scf.for
func.func @others(%q: !t, %n: index, %x: memref<8xf32>, %f: f32) -> !t {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  scf.for %i = %c0 to %c8 step %c1 {
    memref.store %f, %x[%i] : memref<8xf32>
  }
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x0 = %q) -> (!t) {
    %o = unisparse.block_sparse_attention %x0, %q, %q block <64x64> : (!t, !t, !t) -> !t
    scf.yield %o : !t
  }
  return %r : !t
}
