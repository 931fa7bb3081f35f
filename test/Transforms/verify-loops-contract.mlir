// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-verify-loops-contract -split-input-file -verify-diagnostics

// Buffers of any shape, contractions of static ones.
func.func @accepted(%x: memref<?x16xf32>, %a: memref<64x32xf32>, %b: memref<32x16xf32>, %c: memref<64x16xf32>, %zero: f32) {
  linalg.fill ins(%zero : f32) outs(%x : memref<?x16xf32>)
  linalg.matmul ins(%a, %b : memref<64x32xf32>, memref<32x16xf32>) outs(%c : memref<64x16xf32>)
  return
}

// -----

func.func @stage(%x: tensor<1x4x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected to be lowered to loops by now; run convert-unisparse-to-loops}}
  %0 = unisparse.pool %x by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
  return
}

// -----

func.func @tensor_result() {
  // expected-error@+1 {{'tensor.empty' op expected buffers by now, got a tensor; run one-shot-bufferize}}
  %0 = tensor.empty() : tensor<4xf32>
  return
}

// -----

func.func @tensor_operand(%x: tensor<?xf32>) -> index {
  %c0 = arith.constant 0 : index
  // expected-error@+1 {{'tensor.dim' op expected buffers by now, got a tensor; run one-shot-bufferize}}
  %0 = tensor.dim %x, %c0 : tensor<?xf32>
  return %0 : index
}

// -----

// expected-error@+1 {{tensor}}
func.func @tensor_argument(%x: tensor<4xf32>) {
  return
}

// -----

// expected-error@+1 {{tensor}}
func.func private @tensor_declaration(tensor<4xf32>)

// -----

// A program's own contraction may be of any size.
func.func @dynamic_contraction(%a: memref<64x?xf32>, %b: memref<?x16xf32>, %c: memref<64x16xf32>) {
  linalg.matmul ins(%a, %b : memref<64x?xf32>, memref<?x16xf32>) outs(%c : memref<64x16xf32>)
  return
}

// -----

func.func @two_dynamic_parts(%m: memref<?xf32>, %a: index, %b: index) -> memref<?x?xf32> {
  // expected-error@+1 {{expected at most one dynamic size of the parts of a dim on the CPU, got 2}}
  %0 = memref.expand_shape %m [[0, 1]] output_shape [%a, %b] : memref<?xf32> into memref<?x?xf32>
  return %0 : memref<?x?xf32>
}
