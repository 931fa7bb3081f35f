// RUN: unisparse-opt %s -split-input-file --unitile-parallel-to-for -verify-diagnostics | FileCheck %s

// Sums start from their own, in the order of the loop; a rank is what the
// iterations before have counted.
// CHECK-LABEL: func.func @evens(
// CHECK-SAME:    %[[N:.*]]: index, %[[X:.*]]: memref<?xf32>, %[[OUT:.*]]: memref<?xi32>, %[[INIT:.*]]: f32)
// CHECK:         %[[END:.*]]:4 = scf.for %[[I:.*]] = %{{.*}} to %[[N]] step %{{.*}} iter_args(%[[COUNT:.*]] = %{{.*}}, %[[SUM:.*]] = %[[INIT]], %[[RANK:.*]] = %{{.*}}, %[[ODDS:.*]] = %{{.*}}) -> (i32, f32, i32, i32) {
// CHECK:           %[[EVEN:.*]] = arith.cmpi eq
// CHECK:           %[[YES:.*]] = arith.extui %[[EVEN]] : i1 to i32
// CHECK:           %[[NEXT:.*]] = arith.addi %[[RANK]], %[[YES]] : i32
// CHECK:           scf.if %[[EVEN]] {
// CHECK:             %[[AT:.*]] = arith.index_cast %[[RANK]] : i32 to index
// CHECK:             memref.store %{{.*}}, %[[OUT]][%[[AT]]]
// CHECK:           %[[V:.*]] = memref.load %[[X]][%[[I]]]
// CHECK:           %[[NEXTODD:.*]] = arith.addi %[[ODDS]], %{{.*}} : i32
// CHECK:           %[[C:.*]] = arith.addi %[[COUNT]], %[[ODDS]] : i32
// CHECK:           %[[S:.*]] = arith.addf %[[SUM]], %[[V]] : f32
// CHECK:           scf.yield %[[C]], %[[S]], %[[NEXT]], %[[NEXTODD]] : i32, f32, i32, i32
// CHECK:         return %[[END]]#0, %[[END]]#1
func.func @evens(%n: index, %x: memref<?xf32>, %out: memref<?xi32>, %init: f32) -> (i32, f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0 : i32
  %two = arith.constant 2 : i32
  %r:2 = scf.parallel (%i) = (%c0) to (%n) step (%c1) init (%zero, %init) -> (i32, f32) {
    %j = arith.index_cast %i : index to i32
    %bit = arith.remui %j, %two : i32
    %even = arith.cmpi eq, %bit, %zero : i32
    %rank = unitile.rank %even
    scf.if %even {
      %at = arith.index_cast %rank : i32 to index
      memref.store %j, %out[%at] : memref<?xi32>
    }
    %v = memref.load %x[%i] : memref<?xf32>
    %odd = arith.cmpi ne, %bit, %zero : i32
    %odds = unitile.rank %odd
    scf.reduce(%odds, %v : i32, f32) {
    ^bb0(%a: i32, %b: i32):
      %s = arith.addi %a, %b : i32
      scf.reduce.return %s : i32
    }, {
    ^bb0(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      scf.reduce.return %s : f32
    }
  }
  return %r#0, %r#1 : i32, f32
}

// Without a loop there is no iteration before.
// CHECK-LABEL: func.func @alone(
// CHECK:         %[[ZERO:.*]] = arith.constant 0 : i32
// CHECK:         return %[[ZERO]]
func.func @alone(%yes: i1) -> i32 {
  %rank = unitile.rank %yes
  return %rank : i32
}

// Who exchanges nothing is left to scf-parallel-for-to-nested-fors.
// CHECK-LABEL: func.func @nothing(
// CHECK:         scf.parallel
func.func @nothing(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i, %j) = (%c0, %c0) to (%n, %n) step (%c1, %c1) {
    scf.reduce
  }
  return
}

// -----

func.func @dims(%n: index, %yes: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error@+1 {{expected a loop of one dim in a page, got 2}}
  scf.parallel (%i, %j) = (%c0, %c0) to (%n, %n) step (%c1, %c1) {
    %rank = unitile.rank %yes
    scf.reduce
  }
  return
}

// -----

func.func @step(%n: index, %yes: i1) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  // expected-error@+1 {{expected a step of 1 in a page}}
  scf.parallel (%i) = (%c0) to (%n) step (%c2) {
    %rank = unitile.rank %yes
    scf.reduce
  }
  return
}

// -----

func.func @nested(%n: index, %yes: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    // expected-error@+1 {{expected no data-parallel loop around it: what a thread has is its own, scf.for}}
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      %rank = unitile.rank %yes
      scf.reduce
    }
    scf.reduce
  }
  return
}

// -----

func.func @branch(%n: index, %yes: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    scf.if %yes {
      // expected-error@+1 {{expected to stand directly in its loop, where every iteration comes by, got one in a 'scf.if'}}
      %rank = unitile.rank %yes
    }
    scf.reduce
  }
  return
}
