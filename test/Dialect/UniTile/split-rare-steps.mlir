// RUN: unisparse-opt %s -split-input-file --unitile-split-rare-steps | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --unitile-split-rare-steps --canonicalize --cse | FileCheck %s --check-prefix=SIMPLE

// The rare branch takes the step's number, what the step computed and what it began with; what does not follow from the
// branch is computed once.
gpu.module @m {
  // CHECK-LABEL: func.func @state(
  // CHECK-SAME:    %[[N:.*]]: i32, %[[X:.*]]: f32, %[[BOUND:.*]]: f32, %{{.*}}: memref<?xf32>)
  // CHECK:         %[[ALL:.*]]:3 = scf.while (%[[I:.*]] = %c2_i32, %[[S:.*]] = %[[X]], %[[K:.*]] = %c0_i32) : (i32, f32, i32) -> (i32, f32, i32) {
  // CHECK-NEXT:      %[[ANY:.*]] = arith.cmpi slt, %[[I]], %[[N]] : i32
  // CHECK-NEXT:      scf.condition(%[[ANY]]) %[[I]], %[[S]], %[[K]]
  // CHECK:         } do {
  // CHECK-NEXT:    ^bb0(%[[I:.*]]: i32, %[[S:.*]]: f32, %[[K:.*]]: i32):
  // CHECK-NEXT:      %[[U:.*]]:7 = scf.while (%[[J:.*]] = %[[I]], %[[T:.*]] = %[[S]], %[[L:.*]] = %[[K]]) : (i32, f32, i32) -> (i32, f32, i32, i1, f32, i32, f32) {
  // CHECK-NEXT:        memref.store
  // CHECK-NEXT:        %[[SQUARE:.*]] = arith.mulf %[[T]], %[[T]]
  // CHECK-NEXT:        %[[FITS:.*]] = arith.cmpf olt, %[[SQUARE]], %[[BOUND]]
  // CHECK-NEXT:        %[[USUAL:.*]] = llvm.intr.expect %[[FITS]]
  // CHECK-NEXT:        %[[Z:.*]] = arith.addf %[[SQUARE]], %[[X]]
  // CHECK-NEXT:        %[[COUNT:.*]] = arith.addi %[[L]], %c1_i32
  // CHECK-NEXT:        %[[NEXT:.*]] = arith.addi %[[J]], %c3_i32
  // CHECK-NEXT:        %[[MORE:.*]] = arith.cmpi slt, %[[NEXT]], %[[N]]
  // CHECK-NEXT:        %[[AGAIN:.*]] = arith.andi %[[USUAL]], %[[MORE]]
  // CHECK-NEXT:        scf.condition(%[[AGAIN]]) %[[NEXT]], %[[Z]], %[[COUNT]], %[[USUAL]], %[[SQUARE]], %[[J]], %[[T]]
  // CHECK:           } do {
  // CHECK-NEXT:      ^bb0(%[[J:[a-z0-9]+]]: i32, %[[T:[a-z0-9]+]]: f32, %[[L:[a-z0-9]+]]: i32, {{.*}}):
  // CHECK-NEXT:        scf.yield %[[J]], %[[T]], %[[L]]
  // CHECK:           %[[DONE:.*]]:2 = scf.if %[[U]]#3 -> (f32, i32) {
  // CHECK-NEXT:        scf.yield %[[U]]#1, %[[U]]#2
  // CHECK-NEXT:      } else {
  // CHECK-NEXT:        %[[HALF:.*]] = math.sqrt %[[U]]#4
  // CHECK-NEXT:        %[[NUMBER:.*]] = arith.sitofp %[[U]]#5
  // CHECK-NEXT:        %[[SUM:.*]] = arith.addf %[[HALF]], %[[NUMBER]]
  // CHECK-NEXT:        %[[OLD:.*]] = arith.addf %[[SUM]], %[[U]]#6
  // CHECK-NEXT:        %[[Z:.*]] = arith.addf %[[OLD]], %[[X]]
  // CHECK-NEXT:        scf.yield %[[Z]], %[[U]]#2
  // CHECK-NEXT:      }
  // CHECK-NEXT:      scf.yield %[[U]]#0, %[[DONE]]#0, %[[DONE]]#1
  // CHECK:         return %[[ALL]]#1, %[[ALL]]#2
  // SIMPLE-LABEL: func.func @state(
  // SIMPLE-COUNT-2: scf.while
  func.func @state(%n: i32, %x: f32, %bound: f32, %m: memref<?xf32>) -> (f32, i32) {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c3 = arith.constant 3 : i32
    %first = arith.constant 0 : index
    %true = arith.constant true
    %r:2 = scf.for %i = %c2 to %n step %c3 iter_args(%s = %x, %k = %c0) -> (f32, i32) : i32 {
      memref.store %s, %m[%first] : memref<?xf32>
      %square = arith.mulf %s, %s : f32
      %fits = arith.cmpf olt, %square, %bound : f32
      %usual = llvm.intr.expect %fits, %true : i1
      %y = scf.if %usual -> (f32) {
        scf.yield %square : f32
      } else {
        %half = math.sqrt %square : f32
        %number = arith.sitofp %i : i32 to f32
        %sum = arith.addf %half, %number : f32
        %old = arith.addf %sum, %s : f32
        scf.yield %old : f32
      }
      %z = arith.addf %y, %x : f32
      %count = arith.addi %k, %c1 : i32
      scf.yield %z, %count : f32, i32
    }
    return %r#0, %r#1 : f32, i32
  }
}

// -----

// A loop stays that has nothing rare, whose branch has no other side, whose usual side does something, where something is
// done behind the branch, or where it is known in front of the loop which side is taken.
gpu.module @m {
  // CHECK-LABEL: func.func @others(
  // CHECK-NOT:     scf.while
  // CHECK-COUNT-5: scf.for
  // CHECK-NOT:     scf.while
  // CHECK:         return
  func.func @others(%n: i32, %m: memref<?xf32>, %is: i1) {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %first = arith.constant 0 : index
    %one = arith.constant 1.0 : f32
    %true = arith.constant true
    %usual = llvm.intr.expect %is, %true : i1
    scf.for %i = %c0 to %n step %c1 : i32 {
      %y = scf.if %is -> (f32) {
        scf.yield %one : f32
      } else {
        %0 = memref.load %m[%first] : memref<?xf32>
        scf.yield %0 : f32
      }
    }
    scf.for %i = %c0 to %n step %c1 : i32 {
      %fits = arith.cmpi slt, %i, %c1 : i32
      %often = llvm.intr.expect %fits, %true : i1
      scf.if %often {
        memref.store %one, %m[%first] : memref<?xf32>
      }
    }
    scf.for %i = %c0 to %n step %c1 : i32 {
      %fits = arith.cmpi slt, %i, %c1 : i32
      %often = llvm.intr.expect %fits, %true : i1
      scf.if %often {
        memref.store %one, %m[%first] : memref<?xf32>
      } else {
        %0 = math.sqrt %one : f32
        memref.store %0, %m[%first] : memref<?xf32>
      }
    }
    scf.for %i = %c0 to %n step %c1 : i32 {
      %fits = arith.cmpi slt, %i, %c1 : i32
      %often = llvm.intr.expect %fits, %true : i1
      %y = scf.if %often -> (f32) {
        scf.yield %one : f32
      } else {
        %0 = memref.load %m[%first] : memref<?xf32>
        scf.yield %0 : f32
      }
      memref.store %y, %m[%first] : memref<?xf32>
    }
    %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %one) -> (f32) : i32 {
      %y = scf.if %usual -> (f32) {
        scf.yield %s : f32
      } else {
        %0 = math.sqrt %s : f32
        scf.yield %0 : f32
      }
      scf.yield %y : f32
    }
    memref.store %r, %m[%first] : memref<?xf32>
    return
  }
}
