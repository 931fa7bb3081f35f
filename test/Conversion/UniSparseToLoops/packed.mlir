// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Packed batches: a slot finds its sequence, slots without one do nothing.

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --cse | FileCheck %s

// floor(1000 / 8) + 3 slots in chunks of 32. Bisection ends at the last
// sequence that starts at or before the slot: floor(cu[s] / 8) + s.
// CHECK-LABEL: func.func @pool(
// CHECK:         memref.alloc() {{.*}} : memref<1x8x128x64xf32>
// CHECK:         scf.parallel (%{{.*}}, %{{.*}}) = (%c0, %c0) to (%c8, %c4)
// CHECK:           scf.for %[[SLOT:.*]] =
// CHECK:             %[[S:.*]]:2 = scf.while (%[[LOW:.*]] = %c0, %[[HIGH:.*]] = %c2)
// CHECK:               arith.cmpi slt, %[[LOW]], %[[HIGH]]
// CHECK:               scf.condition
// CHECK:               %[[MIDDLE:.*]] = arith.divui %{{.*}}, %c2
// CHECK:               %[[CU:.*]] = {{tensor.extract|memref.load}} %{{.*}}[%[[MIDDLE]]]
// CHECK:               %[[END:.*]] = arith.index_cast %[[CU]]
// CHECK:               %[[UNITS:.*]] = arith.divui %[[END]], %c8
// CHECK:               arith.addi %[[UNITS]], %[[MIDDLE]]
// CHECK:               scf.yield
// CHECK:             %[[B:.*]] = {{tensor.extract|memref.load}} %{{.*}}[%[[S]]#0]
// CHECK:             %[[BEGIN:.*]] = arith.index_cast %[[B]]
// CHECK:             %[[LENGTH:.*]] = arith.subi %{{.*}}, %[[BEGIN]]
//
// P3: the slot holds a composite of the sequence, or nothing happens.
// CHECK:             %[[ROW:.*]] = arith.muli %{{.*}}, %c8
// CHECK:             %[[USED:.*]] = arith.cmpi slt, %[[ROW]], %[[LENGTH]]
// CHECK:             scf.if %[[USED]]
// CHECK:               vector.load
func.func @pool(%x: tensor<1x8x1000x64xf32>, %cu: tensor<4xi32>) -> tensor<1x8x128x64xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x1000x64xf32>, tensor<4xi32>) -> tensor<1x8x128x64xf32>
  return %0 : tensor<1x8x128x64xf32>
}

// Masses of slots that nobody owns are 0, and their selections empty.
// CHECK-LABEL: func.func @score_select(
// CHECK:         scf.parallel (%{{.*}}, %{{.*}}) = (%c0, %c0) to (%c8, %c10)
// CHECK:           scf.for %{{.*}} = %c0 to %c8
// CHECK-NEXT:        memref.store %cst{{.*}}
// CHECK:           scf.while
// CHECK:           scf.if
// CHECK:             linalg.matmul
// CHECK:         scf.parallel (%[[H:.*]], %[[R:.*]]) = (%c0, %c0) to (%c8, %c10)
// CHECK:           memref.store %c0_i32, %{{.*}}[%c0, %[[H]], %[[R]]] : memref<1x8x10xi32>
// CHECK:           scf.if
func.func @score_select(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x128x64xf32>, %cu: tensor<4xi32>) -> tensor<1x8x10xi32> {
  %m = unisparse.block_score %q, %k lengths [1000, 1000] cu_seqlens(%cu, %cu) block <128x128> pooling <8x8> causal
    : (tensor<1x8x128x64xf32>, tensor<1x2x128x64xf32>, tensor<4xi32>, tensor<4xi32>) -> tensor<1x8x10x8xf32>
  %c, %i, %d = unisparse.block_select %m lengths [1000, 1000] cu_seqlens(%cu, %cu) block <128x128> rule <top_k = 3> causal
    : (tensor<1x8x10x8xf32>, tensor<4xi32>, tensor<4xi32>) -> (tensor<1x8x10xi32>, tensor<1x8x10x8xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x10xi32>
}

// Of ends without a number: the slots follow from their count, and a batch of
// no sequences finds none.
// CHECK-LABEL: func.func @attend_dynamic(
// CHECK-SAME:      %[[Q:[a-z0-9]+]]: tensor<1x8x?x64xf32>
// CHECK-DAG:     %[[L:.*]] = {{tensor|memref}}.dim %[[Q]], %c2
// CHECK-DAG:     %[[E:.*]] = {{tensor|memref}}.dim %{{.*}}, %c0
// CHECK-DAG:     %[[UNITS:.*]] = arith.divui %[[L]], %c128
// CHECK-DAG:     %[[S:.*]] = arith.subi %[[E]], %c1
// CHECK-DAG:     %[[SLOTS:.*]] = arith.addi %[[UNITS]], %[[S]]
// CHECK:         scf.parallel (%{{.*}}, %{{.*}}) = (%c0, %c0) to (%c8, %[[SLOTS]])
// CHECK:           %[[ANY:.*]] = arith.cmpi {{sgt|slt}}, {{.*}}%[[E]]
// CHECK:           scf.if %[[ANY]]
// CHECK:             scf.while
func.func @attend_dynamic(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x?x64xf32>, %cu: tensor<?xi32>) -> tensor<1x8x?x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k cu_seqlens(%cu, %cu) block <128x128> causal
    : (tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<1x8x?x64xf32>
  return %o : tensor<1x8x?x64xf32>
}
