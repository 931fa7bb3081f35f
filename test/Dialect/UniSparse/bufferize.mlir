// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Upstream's bufferization lowers the stages by itself, through their
// BufferizableOpInterface: loops on new buffers, in program order, and no copy
// of what they read.

// RUN: unisparse-opt %s --one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" --canonicalize -split-input-file | FileCheck %s --implicit-check-not=memref.copy --implicit-check-not="unisparse."
// RUN: unisparse-opt %s --one-shot-bufferize="bufferize-function-boundaries" --canonicalize -split-input-file | FileCheck %s --check-prefix=GAPS --implicit-check-not="unisparse."

// CHECK-LABEL: func.func @pool(
// CHECK-SAME:    %[[X:.*]]: memref<1x8x1000x64xf16
// CHECK:         %[[OUT:.*]] = memref.alloc() {{.*}} : memref<1x8x125x64xf16>
// CHECK:         scf.parallel
// CHECK:           vector.load %[[X]]
// CHECK:           vector.store %{{.*}}, %[[OUT]]
// CHECK:         return %{{.*}} : memref<1x8x125x64xf16
//
// Rows are read as vectors: where a layout may have gaps, a copy has none.
// GAPS-LABEL: func.func @pool(
// GAPS-SAME:    %[[X:.*]]: memref<1x8x1000x64xf16, strided<[?, ?, ?, ?], offset: ?>>
// GAPS:         %[[COPY:.*]] = memref.alloc() {{.*}}: memref<1x8x1000x64xf16>
// GAPS:         memref.copy %[[X]], %[[COPY]]
// GAPS:         scf.parallel
// GAPS:           vector.load %[[COPY]]
func.func @pool(%x: tensor<1x8x1000x64xf16>) -> tensor<1x8x125x64xf16> {
  %0 = unisparse.pool %x by 8 : (tensor<1x8x1000x64xf16>) -> tensor<1x8x125x64xf16>
  return %0 : tensor<1x8x125x64xf16>
}

// -----

// Each stage reads what the one before wrote.
// CHECK-LABEL: func.func @stages(
// CHECK:         %[[QC:.*]] = memref.alloc() {{.*}} : memref<1x4x64x64xf32>
// CHECK:         scf.parallel
// CHECK:         %[[M:.*]] = memref.alloc() {{.*}} : memref<1x4x4x4xf32>
// CHECK:         scf.parallel
// CHECK:           memref.subview %[[QC]]
// CHECK:         memref.alloc() {{.*}} : memref<1x4x4x4xi32>
// CHECK:         %[[C:.*]] = memref.alloc() {{.*}} : memref<1x4x4xi32>
// CHECK:         scf.parallel
// CHECK:           memref.subview %[[M]]
// CHECK:         memref.alloc() {{.*}} : memref<1x4x512x64xf32>
// CHECK:         scf.parallel
// CHECK:           memref.load %[[C]]
func.func @stages(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> {
  %0 = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
  %m = unisparse.block_score %0, %0 lengths [512, 512] block <128x128> pooling <8x8> : (tensor<1x4x64x64xf32>, tensor<1x4x64x64xf32>) -> tensor<1x4x4x4xf32>
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_k = 2> : (tensor<1x4x4x4xf32>) -> (tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128> : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}

// -----

// The mass of a rule that takes all is a shape: nothing loads from it, and
// writing to it elsewhere needs no copy.
// CHECK-LABEL: func.func @mass_is_a_shape(
// CHECK-SAME:    %[[M:.*]]: memref<1x4x4x4xf32
// CHECK:         linalg.fill ins(%{{.*}} : f32) outs(%[[M]] :
// CHECK-NOT:     %[[M]][
// GAPS-LABEL: func.func @mass_is_a_shape(
// GAPS-NOT:     memref.copy
// GAPS:         return
func.func @mass_is_a_shape(%m: tensor<1x4x4x4xf32> {bufferization.writable = true}) -> (tensor<1x4x4x4xf32>, tensor<1x4x4xi32>) {
  %zero = arith.constant 0.0 : f32
  %filled = linalg.fill ins(%zero : f32) outs(%m : tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32>
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <all> : (tensor<1x4x4x4xf32>) -> (tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  return %filled, %c : tensor<1x4x4x4xf32>, tensor<1x4x4xi32>
}

// -----

// A result is the caller's to overwrite.
// CHECK-LABEL: func.func @result_is_writable(
// CHECK:         %[[OUT:.*]] = memref.alloc() {{.*}} : memref<1x8x64x64xf32>
// CHECK:         linalg.exp ins(%[[OUT]] {{.*}} outs(%[[OUT]]
func.func @result_is_writable(%x: tensor<1x8x512x64xf32>) -> tensor<1x8x64x64xf32> {
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x64xf32>
  %1 = linalg.exp ins(%0 : tensor<1x8x64x64xf32>) outs(%0 : tensor<1x8x64x64xf32>) -> tensor<1x8x64x64xf32>
  return %1 : tensor<1x8x64x64xf32>
}
