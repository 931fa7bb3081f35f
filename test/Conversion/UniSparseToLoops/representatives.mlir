// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --cse | FileCheck %s

// P5: a query block's rows are read once, into a tile of f32, which the means,
// the distances and the representatives come from. P6: norms go behind.
// CHECK-LABEL: func.func @pool(
// CHECK:         %[[OUT:.*]] = memref.alloc() {{.*}} : memref<1x4x160x80xf16>
// CHECK:         %[[ROWS:.*]] = memref.alloc() {{.*}} : memref<1x4x8x4xi32>
// CHECK:         scf.parallel (%[[H:.*]], %[[SLOT:.*]]) = (%c0, %c0) to (%c4, %c8)
// CHECK:           %[[TILE:.*]] = memref.alloc() {{.*}} : memref<128x64xf32>
// CHECK:           %[[DISTANCES:.*]] = memref.alloc() {{.*}} : memref<128xf32>
// CHECK:           arith.extf
// CHECK:           vector.store %{{.*}}, %[[TILE]]
// The means; those behind the block's end are its last one.
// CHECK:           scf.for %[[A:.*]] = %c0 to %c16
// CHECK:             arith.minsi %[[A]], %{{.*}}
// CHECK:             vector.store %{{.*}}, %[[OUT]]
// CHECK:           vector.reduction <add>, %{{.*}} fastmath<reassoc>
// CHECK:           memref.store %{{.*}}, %[[DISTANCES]]
// The farthest rows, marked and then written in ascending order.
// CHECK:           vector.reduction <maxnumf>
// CHECK:           vector.reduction <minsi>
// CHECK:           memref.store %cst{{.*}}, %[[DISTANCES]]
// CHECK:           %[[PART:.*]] = memref.subview %[[ROWS]]
// CHECK:           scf.if
// CHECK:             memref.store %{{.*}}, %[[PART]]
// CHECK:           scf.for %{{.*}} = %c0 to %c4
// CHECK:             vector.store %{{.*}}, %[[OUT]]
func.func @pool(%x: tensor<1x4x1001x64xf16>) -> (tensor<1x4x160x80xf16>, tensor<1x4x8x4xi32>) {
  %0, %rows = unisparse.pool %x by 8 representatives 4 of 128 norms 4 times 0.0625
    : (tensor<1x4x1001x64xf16>) -> (tensor<1x4x160x80xf16>, tensor<1x4x8x4xi32>)
  return %0, %rows : tensor<1x4x160x80xf16>, tensor<1x4x8x4xi32>
}

// P6: variances from the mean, saturated where they are rounded.
// CHECK-LABEL: func.func @spread(
// CHECK-DAG:     %[[MOST:.*]] = arith.constant dense<6.550400e+04> : vector<64xf32>
// CHECK:         arith.subf %{{.*}} : vector<64xf32>
// CHECK:         %[[V:.*]] = arith.divf %{{.*}} : vector<64xf32>
// CHECK:         arith.cmpf ogt, %{{.*}}, %[[MOST]]
// CHECK:         arith.truncf
// CHECK:         vector.store %{{.*}}[%c0, %{{.*}}, %{{.*}}, %c64] : memref<1x4x126x128xf16>, vector<64xf16>
func.func @spread(%x: tensor<1x4x1001x64xf16>) -> tensor<1x4x126x128xf16> {
  %0 = unisparse.pool %x by 8 spread 1 : (tensor<1x4x1001x64xf16>) -> tensor<1x4x126x128xf16>
  return %0 : tensor<1x4x126x128xf16>
}

// S2: what a composite sees follows from its last row; of a representative it is
// the row itself.
// CHECK-LABEL: func.func @score(
// CHECK-SAME:    %[[ARG:[a-z0-9]+]]: tensor<1x8x4x16xi32>
// CHECK:         %[[ROWS:.*]] = bufferization.to_buffer %[[ARG]] read_only
// CHECK:         %[[ENDS:.*]] = memref.alloc() {{.*}} : memref<{{.*}}xi32>
// CHECK:         %[[PART:.*]] = memref.subview %[[ROWS]]
// CHECK:         %[[ROW:.*]] = memref.load %[[PART]]
// CHECK:         arith.addi %[[ROW]], %c1_i32
// CHECK:         vector.load %[[ENDS]]
func.func @score(%q: tensor<1x8x128x80xf32>, %k: tensor<1x2x64x80xf32>, %r: tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32> {
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16, spread = 4> causal
    : (tensor<1x8x128x80xf32>, tensor<1x2x64x80xf32>, tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32>
  return %0 : tensor<1x8x4x4xf32>
}

// L9 and L10: a largest mass and no order; 32 bits in f64.
// CHECK-LABEL: func.func @threshold(
// CHECK-NOT:     scf.while
// CHECK:         arith.cmpf oge
// CHECK-LABEL: func.func @random(
// CHECK:         memref.alloc(%{{.*}}) {{.*}} : memref<?xf64>
// CHECK:         arith.uitofp %{{.*}} : i32 to f64
func.func @threshold(%m: tensor<1x8x4x4xf32>) -> tensor<1x8x4xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [500, 500] block <128x128> rule <threshold = 0.5, last = 1> causal
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x4xi32>
}
func.func @random(%m: tensor<1x8x?x?xf32>, %l: index) -> tensor<1x8x?xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [%l, %l] block <128x128> rule <random = 0.5, seed = 7> causal
    : (tensor<1x8x?x?xf32>, index, index) -> (tensor<1x8x?xi32>, tensor<1x8x?x?xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x?xi32>
}
