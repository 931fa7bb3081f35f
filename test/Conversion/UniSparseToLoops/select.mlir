// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func.func @top_p(
// CHECK-DAG:     %[[P:.*]] = arith.constant 0.899999976 : f32
// CHECK:         %[[I:.*]] = memref.alloc() {{.*}} : memref<1x8x32x32xi32>
// CHECK:         %[[C:.*]] = memref.alloc() {{.*}} : memref<1x8x32xi32>
// CHECK:         %[[D:.*]] = memref.alloc() {{.*}} : memref<1x8xf32>
// CHECK:         scf.parallel (%[[H:.*]], %[[R:.*]]) = (%c0, %c0) to (%c8, %c32)
//
// L2: the forced blocks: one sink, and the diagonal with one before it.
// CHECK:           %[[F:.*]]:3 = scf.for %[[J:.*]] = %c0 to %[[CANDIDATES:.*]] step
// CHECK:             arith.cmpi slt, %[[J]], %c1
// CHECK:             %[[DIAGONAL:.*]] = arith.divui %{{.*}}, %c128
// CHECK:             %[[J2:.*]] = arith.addi %[[J]], %c2
// CHECK:             arith.cmpi slt, %[[DIAGONAL]], %[[J2]]
//
// L3: at most nine more; while less than p of the mass or than three are taken.
// CHECK:           %[[REST:.*]] = arith.subi %[[CANDIDATES]], %[[F]]#0
// CHECK:           %[[LIMIT:.*]] = arith.minsi %[[REST]], %c9
// CHECK:           scf.while
// CHECK-DAG:         %[[MORE:.*]] = arith.cmpi slt, %{{.*}}, %[[LIMIT]]
// CHECK-DAG:         %[[WANTED:.*]] = arith.mulf %[[F]]#2, %[[P]]
// CHECK-DAG:         %[[MISSING:.*]] = arith.cmpf olt, %{{.*}}, %[[WANTED]]
// CHECK-DAG:         %[[FEW:.*]] = arith.cmpi slt, %{{.*}}, %c3
// CHECK-DAG:         %[[WANTS:.*]] = arith.ori %[[MISSING]], %[[FEW]]
// CHECK:             %[[GO:.*]] = arith.andi %[[MORE]], %[[WANTS]]
// CHECK:             scf.condition(%[[GO]])
//
// L6: ascending, zeros behind the count.
// CHECK:           %[[N:.*]] = scf.for %{{.*}} = %c0 to %[[CANDIDATES]]
// CHECK:           scf.for %{{.*}} = %[[N]] to %c32
// CHECK:           memref.store %{{.*}}, %[[C]][%c0, %[[H]], %[[R]]]
//
// Density: selected over candidates of all rows of a head.
// CHECK:         scf.parallel (%[[HD:.*]]) = (%c0) to (%c8)
// CHECK:           arith.divf
// CHECK:           memref.store %{{.*}}, %[[D]][%c0, %[[HD]]]
func.func @top_p(%m: tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>) {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_p = 0.9, local = 2, min_blocks = 3, max_blocks = 9> causal
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c, %i, %d : tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>
}

// L4: the forced ones count.
// CHECK-LABEL: func.func @top_k(
// CHECK:         %[[F:.*]]:3 = scf.for
// CHECK:         %[[LEFT:.*]] = arith.subi %c5, %[[F]]#0
// CHECK:         %[[SOME:.*]] = arith.maxsi %[[LEFT]], %c0
// CHECK:         %[[LIMIT:.*]] = arith.minsi %{{.*}}, %[[SOME]]
// CHECK:         scf.while
// CHECK-NOT:       arith.mulf
// CHECK:           scf.condition
func.func @top_k(%m: tensor<1x8x32x32xf32>) -> tensor<1x8x32xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_k = 5>
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x32xi32>
}

// L1: nothing is looked at and nothing is sought.
// CHECK-LABEL: func.func @all(
// CHECK-SAME:    %[[M:.*]]: tensor<1x8x32x32xf32>
// CHECK-NOT:     %[[M]]
// CHECK-NOT:     scf.while
// CHECK:         return
func.func @all(%m: tensor<1x8x32x32xf32>) -> tensor<1x8x32xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <all> causal
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x32xi32>
}

// L5: eight shares over two masses: eight selections, four of a mass.
// CHECK-LABEL: func.func @shares(
// CHECK:         memref.alloc() {{.*}} : memref<1x8x32x32xi32>
// CHECK:         scf.parallel (%[[H:.*]], %[[R:.*]]) = (%c0, %c0) to (%c8, %c32)
// CHECK:           %[[HM:.*]] = arith.divui %[[H]], %c4
// CHECK:           memref.subview %{{.*}}[0, %[[HM]], %[[R]], 0] [1, 1, 1, 32]
// CHECK:           {{tensor.extract|memref.load}} %{{.*}}[%[[H]]] : {{.*}}<8xf32>
// CHECK:           arith.cmpf oge, %{{.*}}, %cst
func.func @shares(%m: tensor<1x2x32x32xf32>, %p: tensor<8xf32>) -> tensor<1x8x32xi32> {
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [4096, 4096] block <128x128> rule <top_p>
    : (tensor<1x2x32x32xf32>, tensor<8xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x32xi32>
}

// dense_below asks for the length of the sequence, where it is not known.
// CHECK-LABEL: func.func @dense_below(
// CHECK-SAME:    %[[LK:[a-z0-9]+]]: index
// CHECK:         arith.cmpi {{slt|sgt|sle}}, %[[LK]], %c{{204[89]}}
func.func @dense_below(%m: tensor<1x8x?x?xf32>, %lk: index) -> tensor<1x8x?xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [512, %lk] block <128x128> rule <top_k = 5, dense_below = 2048>
    : (tensor<1x8x?x?xf32>, index) -> (tensor<1x8x?xi32>, tensor<1x8x?x?xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x?xi32>
}
