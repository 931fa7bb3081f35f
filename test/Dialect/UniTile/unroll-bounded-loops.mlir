// RUN: unisparse-opt %s --unitile-unroll-bounded-loops=factor=4 | FileCheck %s

// Where all 6 rows are there: 4 side by side, then the 2 behind them; in order.
// CHECK-LABEL: func.func @rows(
// CHECK-SAME:    %[[X:.*]]: memref<?xf32>, %[[LEFT:.*]]: i32, %[[ZERO:.*]]: f32)
// CHECK-DAG:     %[[MOST:.*]] = arith.constant 6 : i32
// CHECK:         %[[WHOLE:.*]] = arith.cmpi sge, %[[LEFT]], %[[MOST]] : i32
// CHECK:         %[[SUM:.*]] = scf.if %[[WHOLE]] -> (f32) {
// CHECK-COUNT-4:   memref.load
// CHECK:           scf.for
// CHECK-COUNT-1:     memref.load
// CHECK-NOT:         memref.load
// CHECK:         } else {
// CHECK:           scf.for %{{.*}} = %{{.*}} to %[[LEFT]]
// CHECK-COUNT-1:     memref.load
// CHECK-NOT:         memref.load
// CHECK:         return %[[SUM]]
func.func @rows(%x: memref<?xf32>, %left: i32, %zero: f32) -> f32 {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c6 = arith.constant 6 : i32
  %end = arith.minsi %c6, %left : i32
  %sum = scf.for %i = %c0 to %end step %c1 iter_args(%s = %zero) -> (f32) : i32 {
    %at = arith.index_cast %i : i32 to index
    %v = memref.load %x[%at] : memref<?xf32>
    %t = arith.addf %s, %v : f32
    scf.yield %t : f32
  }
  return %sum : f32
}

// A loop that writes; few enough to be no loop.
// CHECK-LABEL: func.func @writes(
// CHECK:         scf.if
// CHECK-NOT:       scf.for
// CHECK-COUNT-3:   memref.store
// CHECK:         } else {
// CHECK:           scf.for
func.func @writes(%x: memref<?xf32>, %left: index, %v: f32) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c5 = arith.constant 5 : index
  %end = arith.minsi %left, %c5 : index
  scf.for %i = %c0 to %end step %c2 {
    memref.store %v, %x[%i] : memref<?xf32>
  }
  return
}

// Loops around loops, to ends of no known most, or from somewhere, stay.
// CHECK-LABEL: func.func @others(
// CHECK-NOT:     scf.if
// CHECK:         return
func.func @others(%x: memref<?xf32>, %left: index, %more: index, %v: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c5 = arith.constant 5 : index
  %end = arith.minsi %left, %c5 : index
  scf.for %i = %c0 to %end step %c1 {
    scf.for %j = %c0 to %more step %c1 {
      memref.store %v, %x[%j] : memref<?xf32>
    }
  }
  %least = arith.minsi %left, %more : index
  scf.for %i = %c0 to %least step %c1 {
    memref.store %v, %x[%i] : memref<?xf32>
  }
  scf.for %i = %more to %end step %c1 {
    memref.store %v, %x[%i] : memref<?xf32>
  }
  return
}
