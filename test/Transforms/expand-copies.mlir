// RUN: unisparse-opt %s --pass-pipeline='builtin.module(func.func(unisparse-expand-copies))' | FileCheck %s
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline | FileCheck %s --check-prefix=LLVM

// No call of MLIR's own runner is left.
// LLVM-NOT: memrefCopy

// CHECK-LABEL: func.func @strided(
// CHECK-NOT:     memref.copy
// CHECK:         linalg.generic
func.func @strided(%x: memref<4x8xf32, strided<[16, 1]>>, %y: memref<4x8xf32>) {
  memref.copy %x, %y : memref<4x8xf32, strided<[16, 1]>> to memref<4x8xf32>
  return
}

// CHECK-LABEL: func.func @plain(
// CHECK-NOT:     linalg.generic
// CHECK:         memref.copy
func.func @plain(%x: memref<4x8xf32>, %y: memref<4x8xf32>) {
  memref.copy %x, %y : memref<4x8xf32> to memref<4x8xf32>
  return
}
