// RUN: unisparse-compile %s -o %t.usp
// RUN: unisparse-compile --show=%t.usp | FileCheck %s

// Arithmetic of the host as formulas: constants folded, neutral operands left
// out, parentheses where they are needed.

module attributes {gpu.container_module} {
gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]

// CHECK: launch f on [min(x.size(0), 7), max(x.size(0), y.size(0)), 1] CTAs
func.func @main(%x: memref<?xf32> {unisparse.name = "x"}, %y: memref<?xf32> {unisparse.name = "y"}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c7 = arith.constant 7 : index
  %a = memref.dim %x, %c0 : memref<?xf32>
  %b = memref.dim %y, %c0 : memref<?xf32>
  %a64 = arith.index_cast %a : index to i64
  %b64 = arith.index_castui %b : index to i64
  %c1_64 = arith.constant 1 : i64
  %c7_64 = arith.constant 7 : i64
  %zero = arith.constant 0 : i64
  %minus = arith.constant -3 : i64

  // CHECK-NEXT: i64 x.size(0) + y.size(0)
  %sum = arith.addi %a64, %b64 : i64
  // CHECK-NEXT: i64 x.size(0) - (x.size(0) + y.size(0))
  %difference = arith.subi %a64, %sum : i64
  // CHECK-NEXT: i64 (x.size(0) + y.size(0)) * 7
  %product = arith.muli %sum, %c7_64 : i64
  // CHECK-NEXT: i64 x.size(0)
  %one = arith.muli %c1_64, %a64 : i64
  // CHECK-NEXT: i64 x.size(0)
  %same = arith.addi %one, %zero : i64
  // CHECK-NEXT: i64 floordiv(x.size(0), 7)
  %divui = arith.divui %a64, %c7_64 : i64
  // CHECK-NEXT: i64 floordiv(x.size(0), 7)
  %divsi = arith.divsi %a64, %c7_64 : i64
  // A difference may be negative, and divsi goes towards zero.
  // CHECK-NEXT: i64 max(floordiv(x.size(0) - y.size(0), 7), 0) + min(ceildiv(x.size(0) - y.size(0), 7), 0)
  %maybe = arith.subi %a64, %b64 : i64
  %towards = arith.divsi %maybe, %c7_64 : i64
  // CHECK-NEXT: i64 floordiv(max(x.size(0) - y.size(0), 0), 7)
  %clamped = arith.maxsi %maybe, %zero : i64
  %never = arith.divsi %clamped, %c7_64 : i64
  // CHECK-NEXT: i64 floordiv(x.size(0) - y.size(0), 7)
  %floor = arith.floordivsi %maybe, %c7_64 : i64
  // CHECK-NEXT: i64 ceildiv(x.size(0), 7)
  %ceilui = arith.ceildivui %a64, %c7_64 : i64
  // CHECK-NEXT: i64 ceildiv(x.size(0), 7)
  %ceilsi = arith.ceildivsi %a64, %c7_64 : i64
  // CHECK-NEXT: i64 x.size(0) - 3
  %less = arith.addi %a64, %minus : i64
  // CHECK-NEXT: i64 4
  %four = arith.addi %c7_64, %minus : i64
  // CHECK-NEXT: i64 -1
  %floored = arith.floordivsi %minus, %c7_64 : i64
  // CHECK-NEXT: i32 x.size(0)
  %a32 = arith.trunci %a64 : i64 to i32
  // CHECK-NEXT: i64 x.size(0)
  %wide = arith.extsi %a32 : i32 to i64
  // CHECK-NEXT: i64 x.size(0)
  %unsigned = arith.extui %a32 : i32 to i64
  %grid = arith.minui %a, %c7 : index
  %gridY = arith.maxui %a, %b : index
  // CHECK-NEXT: i64 min(x.size(0), y.size(0))
  %min = arith.minsi %a64, %b64 : i64
  gpu.launch_func @unisparse_kernels::@f blocks in (%grid, %gridY, %c1) threads in (%c1, %c1, %c1)
    args(%sum : i64, %difference : i64, %product : i64, %one : i64, %same : i64, %divui : i64, %divsi : i64, %towards : i64,
         %never : i64, %floor : i64, %ceilui : i64, %ceilsi : i64, %less : i64, %four : i64, %floored : i64, %a32 : i32, %wide : i64,
         %unsigned : i64, %min : i64)
  return
}
}
