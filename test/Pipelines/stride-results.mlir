// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: unisparse-opt %s --unisparse-stride-results | FileCheck %s

// What goes by strides takes a caller's: the argument, and parts of parts.
// CHECK-LABEL: func.func @parts
// CHECK-SAME:    %{{.*}}: memref<2x4x?x8xf32>, %[[Y:.*]]: memref<2x4x?x8xf32, strided<[?, ?, ?, 1]>> {bufferize.result}
// CHECK:         memref.dim %[[Y]]
// CHECK:         %[[HEAD:.*]] = memref.subview %[[Y]]{{.*}} : memref<2x4x?x8xf32, strided<[?, ?, ?, 1]>> to memref<?x8xf32, strided<[?, 1], offset: ?>>
// CHECK:         memref.subview %[[HEAD]]{{.*}} : memref<?x8xf32, strided<[?, 1], offset: ?>> to memref<8xf32, strided<[1], offset: ?>>
// CHECK:         memref.store %{{.*}}, %[[HEAD]]
// CHECK:         memref.copy
func.func @parts(%x: memref<2x4x?x8xf32>, %y: memref<2x4x?x8xf32> {bufferize.result}, %i: index) {
  %c2 = arith.constant 2 : index
  %f = arith.constant 1.0 : f32
  %length = memref.dim %y, %c2 : memref<2x4x?x8xf32>
  %head = memref.subview %y[0, %i, 0, 0] [1, 1, %length, 8] [1, 1, 1, 1]
      : memref<2x4x?x8xf32> to memref<?x8xf32, strided<[8, 1], offset: ?>>
  %row = memref.subview %head[%i, 0] [1, 8] [1, 1]
      : memref<?x8xf32, strided<[8, 1], offset: ?>> to memref<8xf32, strided<[1], offset: ?>>
  linalg.fill ins(%f : f32) outs(%row : memref<8xf32, strided<[1], offset: ?>>)
  memref.store %f, %head[%i, %i] : memref<?x8xf32, strided<[8, 1], offset: ?>>
  memref.copy %x, %y : memref<2x4x?x8xf32> to memref<2x4x?x8xf32>
  return
}

// Arguments that were no results, those of one dimension, and what something
// needs whole stay as they are.
// CHECK-LABEL: func.func @whole
// CHECK-SAME:    memref<4x8xf32>, %{{.*}}: memref<8xf32> {bufferize.result}, %{{.*}}: memref<4x8xf32> {bufferize.result}
func.func @whole(%a: memref<4x8xf32>, %b: memref<8xf32> {bufferize.result}, %c: memref<4x8xf32> {bufferize.result}) {
  %zero = arith.constant 0 : index
  %f = arith.constant 1.0 : f32
  %flat = memref.collapse_shape %c [[0, 1]] : memref<4x8xf32> into memref<32xf32>
  memref.store %f, %flat[%zero] : memref<32xf32>
  memref.store %f, %a[%zero, %zero] : memref<4x8xf32>
  memref.store %f, %b[%zero] : memref<8xf32>
  return
}
