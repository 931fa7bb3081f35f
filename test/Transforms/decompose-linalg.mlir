// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-decompose-linalg | FileCheck %s
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline | FileCheck %s --check-prefix=LLVM

// Maxima, exponentials of differences, sums, quotients.
// CHECK-LABEL: func.func @softmax(
// CHECK-NOT:     linalg.softmax
// CHECK:         arith.maxnumf
// CHECK:         math.exp
// CHECK:         arith.addf
// CHECK:         arith.divf
// LLVM-LABEL:  llvm.func @softmax(
func.func @softmax(%x: tensor<4x?xf16>) -> tensor<4x?xf16> {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %x, %c1 : tensor<4x?xf16>
  %e = tensor.empty(%n) : tensor<4x?xf16>
  %0 = linalg.softmax dimension(1) ins(%x : tensor<4x?xf16>) outs(%e : tensor<4x?xf16>) -> tensor<4x?xf16>
  return %0 : tensor<4x?xf16>
}
