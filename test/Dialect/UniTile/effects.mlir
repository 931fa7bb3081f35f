// RUN: unisparse-opt %s --loop-invariant-code-motion --control-flow-sink --cse | FileCheck %s

// What all lanes of a warp execute together stays where it is: in front of a
// branch that threads may take apart, and in a loop that may not run.

// CHECK-LABEL: func.func @together(
func.func @together(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<64xf32>, %x: f32, %c: i1, %n: index)
    -> (!unitile.rows<64xf32>, i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %false = arith.constant false
  // CHECK: %[[TOP:.*]] = unitile.reduce max
  // CHECK: %[[FITS:.*]] = unitile.all_below
  %top = unitile.reduce max %s, %m : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
  %fits = unitile.all_below %s, %x : !unitile.fragment<64x64xf32>
  // CHECK: scf.if
  %r:2 = scf.if %c -> (!unitile.rows<64xf32>, i1) {
    // CHECK-NEXT: scf.yield %[[TOP]], %[[FITS]]
    scf.yield %top, %fits : !unitile.rows<64xf32>, i1
  } else {
    scf.yield %m, %false : !unitile.rows<64xf32>, i1
  }
  // CHECK: scf.for
  %l:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %r#0, %b = %r#1) -> (!unitile.rows<64xf32>, i1) {
    // CHECK: unitile.reduce add
    // CHECK: unitile.all_below
    %sum = unitile.reduce add %s, %m : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
    %all = unitile.all_below %m, %x : !unitile.rows<64xf32>
    scf.yield %sum, %all : !unitile.rows<64xf32>, i1
  }
  return %l#0, %l#1 : !unitile.rows<64xf32>, i1
}

// A rank is another in every iteration, though what is ranked is not.

// CHECK-LABEL: func.func @ranks(
func.func @ranks(%x: memref<?xi32>, %yes: i1, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // CHECK: scf.parallel
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    // CHECK-NEXT: unitile.rank
    // CHECK-NEXT: unitile.ballot
    %rank = unitile.rank %yes
    %lanes = unitile.ballot %yes
    // CHECK-NEXT: scf.if
    scf.if %yes {
      %sum = arith.addi %rank, %lanes : i32
      memref.store %sum, %x[%i] : memref<?xi32>
    }
    scf.reduce
  }
  return
}

// Nobody else waits for an answer that nobody reads.

// CHECK-LABEL: func.func @unread(
// CHECK-NEXT: return
func.func @unread(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<64xf32>) {
  %top = unitile.reduce max %s, %m : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
  return
}
