// RUN: unisparse-opt %s --unitile-walk-to-for | FileCheck %s
// RUN: unisparse-opt %s --unitile-walk-to-for=descending | FileCheck %s --check-prefix=DOWN

// CHECK-LABEL: func.func @walk(
// CHECK-SAME:    %[[COUNT:.*]]: i32, %[[END:.*]]: i32, %[[Q:.*]]: !unitile.tile<16x16xf16>, %[[K:.*]]: memref<1x1x?x16xf16>, %[[INIT:.*]]: !unitile.rows<16xf32>, %[[O:.*]]: memref<1x1x?xf32>)
// CHECK:         %[[SUM:.*]] = scf.for %[[N:.*]] = %{{.*}} to %[[COUNT]] step %{{.*}} iter_args(%[[OLD:.*]] = %[[INIT]]) -> (!unitile.rows<16xf32>) : i32 {
// CHECK-NEXT:      %[[C16:.*]] = arith.constant 16 : i32
// CHECK-NEXT:      %[[KEY:.*]] = arith.muli %[[N]], %[[C16]] : i32
// CHECK-NEXT:      %[[T:.*]] = unitile.fetch %[[K]]{{.*}} rows %[[KEY]] to %[[END]]
// CHECK-NEXT:      %[[S:.*]] = unitile.dot %[[Q]], %[[T]]
// CHECK-NEXT:      %[[M:.*]] = unitile.mask %[[S]] keys %[[KEY]] to %[[END]]
// CHECK-NEXT:      %[[NEW:.*]] = unitile.reduce add %[[M]], %[[OLD]]
// CHECK-NEXT:      scf.yield %[[NEW]]
// CHECK-NEXT:    }
// CHECK-NEXT:    unitile.put %[[SUM]] to %[[O]]
// CHECK-NEXT:    return

// DOWN-LABEL: func.func @walk(
// DOWN-SAME:    %[[COUNT:.*]]: i32, %[[END:.*]]: i32,
// DOWN:         %[[LAST:.*]] = arith.subi %[[COUNT]], %{{.*}} : i32
// DOWN:         scf.for %[[I:.*]] = %{{.*}} to %[[COUNT]] step
// DOWN-NEXT:      %[[N:.*]] = arith.subi %[[LAST]], %[[I]] : i32
// DOWN:           arith.muli %[[N]],
func.func @walk(%count: i32, %end: i32, %q: !unitile.tile<16x16xf16>, %k: memref<1x1x?x16xf16>, %init: !unitile.rows<16xf32>, %o: memref<1x1x?xf32>) {
  %c0 = arith.constant 0 : i32
  unitile.walk to %count from(%init : !unitile.rows<16xf32>) block {
  ^bb0(%n: i32):
    %c16 = arith.constant 16 : i32
    %key = arith.muli %n, %c16 : i32
    unitile.yield %key, %end : i32, i32
  } score {
  ^bb0(%key: i32, %limit: i32):
    %t = unitile.fetch %k[%c0, %c0] rows %key to %limit : memref<1x1x?x16xf16> -> !unitile.tile<16x16xf16>
    %s = unitile.dot %q, %t : !unitile.tile<16x16xf16>, !unitile.tile<16x16xf16> -> !unitile.fragment<16x16xf32>
    unitile.yield %s : !unitile.fragment<16x16xf32>
  } mask {
  ^bb0(%s: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
    %m = unitile.mask %s keys %key to %limit : !unitile.fragment<16x16xf32>
    unitile.yield %m : !unitile.fragment<16x16xf32>
  } update {
  ^bb0(%m: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32, %old: !unitile.rows<16xf32>):
    %new = unitile.reduce add %m, %old : !unitile.fragment<16x16xf32>, !unitile.rows<16xf32>
    unitile.yield %new : !unitile.rows<16xf32>
  } finish {
  ^bb0(%sum: !unitile.rows<16xf32>):
    unitile.put %sum to %o[%c0, %c0] rows %c0 to %end : !unitile.rows<16xf32>, memref<1x1x?xf32>
  }
  return
}

// A state that is passed on as it is.
// CHECK-LABEL: func.func @pass_on(
// CHECK:         scf.for {{.*}} iter_args(%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}}) -> (!unitile.rows<16xf32>, !unitile.rows<16xf32>)
// CHECK-NEXT:      scf.yield %[[B]], %[[A]]
func.func @pass_on(%count: i32, %s: !unitile.fragment<16x16xf32>, %a: !unitile.rows<16xf32>, %b: !unitile.rows<16xf32>) {
  unitile.walk to %count from(%a, %b : !unitile.rows<16xf32>, !unitile.rows<16xf32>) block {
  ^bb0(%n: i32):
    unitile.yield %n, %n : i32, i32
  } score {
  ^bb0(%key: i32, %limit: i32):
    unitile.yield %s : !unitile.fragment<16x16xf32>
  } mask {
  ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
    unitile.yield %x : !unitile.fragment<16x16xf32>
  } update {
  ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32, %u: !unitile.rows<16xf32>, %v: !unitile.rows<16xf32>):
    unitile.yield %v, %u : !unitile.rows<16xf32>, !unitile.rows<16xf32>
  } finish {
  ^bb0(%u: !unitile.rows<16xf32>, %v: !unitile.rows<16xf32>):
  }
  return
}

// A walk that keeps nothing.
// CHECK-LABEL: func.func @stateless(
// CHECK:         scf.for %[[N:.*]] = %{{.*}} to %{{.*}} step %{{.*}} : i32 {
// CHECK:           unitile.put %{{.*}} to %{{.*}} rows %[[N]] to %{{.*}} :
// CHECK:         }
// CHECK-NEXT:    return
func.func @stateless(%count: i32, %s: !unitile.fragment<16x16xf32>, %o: memref<1x1x?x16xf32>) {
  %c0 = arith.constant 0 : i32
  unitile.walk to %count block {
  ^bb0(%n: i32):
    unitile.yield %n, %count : i32, i32
  } score {
  ^bb0(%key: i32, %limit: i32):
    unitile.yield %s : !unitile.fragment<16x16xf32>
  } mask {
  ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
    unitile.yield %x : !unitile.fragment<16x16xf32>
  } update {
  ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
    unitile.put %x to %o[%c0, %c0] rows %key to %limit : !unitile.fragment<16x16xf32>, memref<1x1x?x16xf32>
  } finish {
  }
  return
}
