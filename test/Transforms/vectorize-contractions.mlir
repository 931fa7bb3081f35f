// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --pass-pipeline="builtin.module(func.func(unisparse-vectorize-contractions))" | FileCheck %s
// RUN: unisparse-opt %s --pass-pipeline="builtin.module(func.func(unisparse-vectorize-contractions{register-rows=8}))" | FileCheck %s --check-prefix=EIGHT
// RUN: not unisparse-opt %s --pass-pipeline="builtin.module(func.func(unisparse-vectorize-contractions{register-rows=3}))" 2>&1 | FileCheck %s --check-prefix=ROWS

// ROWS: unisparse-vectorize-contractions: expected register-rows of 1, 2, 4 or 8, got 3

#km = affine_map<(m, n, k) -> (k, m)>
#mk = affine_map<(m, n, k) -> (m, k)>
#kn = affine_map<(m, n, k) -> (k, n)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

// Sums of four rows stay in registers for 32 steps of k: a load of a row of B,
// and for each row of A a broadcast and a multiply-add. Then they join C.
// CHECK-LABEL: func.func @matmul(
// CHECK-SAME:    %[[A:[a-z0-9]+]]: memref<64x64xf32>, %[[B:[a-z0-9]+]]: memref<64x16xf32>, %[[C:[a-z0-9]+]]: memref<64x16xf32>
// CHECK-NOT:     linalg.matmul
// CHECK:         scf.for %[[M:.*]] = %c0 to %c64 step %c4
// CHECK:           scf.for %[[PART:.*]] = %c0 to %c64 step %c32
// CHECK:             %[[END:.*]] = arith.addi %[[PART]], %c32
// CHECK:             %[[SUMS:.*]]:4 = scf.for %[[K:.*]] = %[[PART]] to %[[END]] step %c1 iter_args(
// CHECK:               %[[ROW:.*]] = vector.load %[[B]][%[[K]], %c0]
// CHECK:               %[[X:.*]] = memref.load %[[A]][%[[M]], %[[K]]]
// CHECK:               %[[XS:.*]] = vector.broadcast %[[X]]
// CHECK:               vector.fma %[[XS]], %[[ROW]], %{{.*}} : vector<16xf32>
// CHECK-COUNT-3:       vector.fma %{{.*}}, %[[ROW]], %{{.*}} : vector<16xf32>
// CHECK-NOT:           vector.fma
// CHECK:               scf.yield
// CHECK:             %[[OLD:.*]] = vector.load %[[C]][%[[M]], %c0]
// CHECK:             %[[NEW:.*]] = arith.addf %[[OLD]], %[[SUMS]]#0
// CHECK:             vector.store %[[NEW]], %[[C]][%[[M]], %c0]
// CHECK-COUNT-3:     vector.store %{{.*}}, %[[C]]
// CHECK-NOT:         vector.store
// CHECK:         return

// EIGHT-LABEL: func.func @matmul(
// EIGHT:         scf.for %{{.*}} to %c64{{.*}} step %c8
// EIGHT:           scf.for
// EIGHT-COUNT-8:     vector.fma
// EIGHT-NOT:         vector.fma
// EIGHT:             scf.yield
func.func @matmul(%a: memref<64x64xf32>, %b: memref<64x16xf32>, %c: memref<64x16xf32>) {
  linalg.matmul ins(%a, %b : memref<64x64xf32>, memref<64x16xf32>) outs(%c : memref<64x16xf32>)
  return
}

// A read by columns; rows of a tile that are strided.
// CHECK-LABEL: func.func @transposed_a(
// CHECK-SAME:    %[[A:[a-z0-9]+]]: memref<32x64xf32, strided<[80, 1]>>
// CHECK-NOT:     linalg.matmul
// CHECK:         scf.for %[[M:[a-z0-9]+]] = %c0
// CHECK:             scf.for %[[K:[a-z0-9]+]] = %{{.*}} iter_args(
// CHECK:               memref.load %[[A]][%[[K]], %[[M]]]
func.func @transposed_a(%a: memref<32x64xf32, strided<[80, 1]>>, %b: memref<32x16xf32>, %c: memref<64x16xf32>) {
  linalg.matmul indexing_maps = [#km, #kn, #mn] ins(%a, %b : memref<32x64xf32, strided<[80, 1]>>, memref<32x16xf32>) outs(%c : memref<64x16xf32>)
  return
}

// 40 steps of k: 32 and 8.
// CHECK-LABEL: func.func @short_last_sum(
// CHECK:         scf.for %[[PART:.*]] = %c0 to %c32 step %c32
// CHECK:           scf.for %{{[a-z0-9]+}} = %[[PART]] to
// CHECK:         scf.for %{{[a-z0-9]+}} = %c32 to %c40 step %c1
func.func @short_last_sum(%a: memref<64x40xf32>, %b: memref<40x16xf32>, %c: memref<64x16xf32>) {
  linalg.matmul ins(%a, %b : memref<64x40xf32>, memref<40x16xf32>) outs(%c : memref<64x16xf32>)
  return
}

// CHECK-LABEL: func.func @transposed_b(
// CHECK:         linalg.matmul
func.func @transposed_b(%a: memref<64x32xf32>, %b: memref<16x32xf32>, %c: memref<64x16xf32>) {
  linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%a, %b : memref<64x32xf32>, memref<16x32xf32>) outs(%c : memref<64x16xf32>)
  return
}

// CHECK-LABEL: func.func @rows_left_over(
// CHECK:         linalg.matmul
func.func @rows_left_over(%a: memref<6x32xf32>, %b: memref<32x16xf32>, %c: memref<6x16xf32>) {
  linalg.matmul ins(%a, %b : memref<6x32xf32>, memref<32x16xf32>) outs(%c : memref<6x16xf32>)
  return
}

// CHECK-LABEL: func.func @dynamic(
// CHECK:         linalg.matmul
func.func @dynamic(%a: memref<64x?xf32>, %b: memref<?x16xf32>, %c: memref<64x16xf32>) {
  linalg.matmul ins(%a, %b : memref<64x?xf32>, memref<?x16xf32>) outs(%c : memref<64x16xf32>)
  return
}

// CHECK-LABEL: func.func @not_f32(
// CHECK:         linalg.matmul
func.func @not_f32(%a: memref<64x32xf16>, %b: memref<32x16xf16>, %c: memref<64x16xf32>) {
  linalg.matmul ins(%a, %b : memref<64x32xf16>, memref<32x16xf16>) outs(%c : memref<64x16xf32>)
  return
}

// CHECK-LABEL: func.func @gaps_in_rows(
// CHECK:         linalg.matmul
func.func @gaps_in_rows(%a: memref<64x32xf32>, %b: memref<32x16xf32, strided<[32, 2]>>, %c: memref<64x16xf32>) {
  linalg.matmul ins(%a, %b : memref<64x32xf32>, memref<32x16xf32, strided<[32, 2]>>) outs(%c : memref<64x16xf32>)
  return
}

// CHECK-LABEL: func.func @tensors(
// CHECK:         linalg.matmul
func.func @tensors(%a: tensor<64x32xf32>, %b: tensor<32x16xf32>, %c: tensor<64x16xf32>) -> tensor<64x16xf32> {
  %0 = linalg.matmul ins(%a, %b : tensor<64x32xf32>, tensor<32x16xf32>) outs(%c : tensor<64x16xf32>) -> tensor<64x16xf32>
  return %0 : tensor<64x16xf32>
}

// CHECK-LABEL: func.func @other_linalg(
// CHECK:         linalg.fill
func.func @other_linalg(%x: f32, %c: memref<64x16xf32>) {
  linalg.fill ins(%x : f32) outs(%c : memref<64x16xf32>)
  return
}
