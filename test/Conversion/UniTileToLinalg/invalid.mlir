// RUN: unisparse-opt %s --convert-unitile-to-linalg --split-input-file --verify-diagnostics

func.func @time() {
  // expected-error@+1 {{'unitile.barrier' op expected the words of a synchronous page, which know no stages, barriers and threads}}
  unitile.barrier
  return
}

// -----

func.func @mask(%s: !unitile.fragment<16x16xf32>, %key: i32, %end: i32) {
  // expected-error@+1 {{'unitile.mask' op expected to be expanded by now; run unitile-decompose-softmax}}
  %m = unitile.mask %s keys %key to %end : !unitile.fragment<16x16xf32>
  return
}

// -----

func.func @walk(%n: i32, %s: !unitile.fragment<16x16xf32>) {
  // expected-error@+1 {{'unitile.walk' op expected to be expanded by now; run unitile-walk-to-for}}
  unitile.walk to %n from(%s : !unitile.fragment<16x16xf32>) block {
  ^bb0(%i: i32):
    unitile.yield %i, %n : i32, i32
  } score {
  ^bb0(%key: i32, %limit: i32):
    unitile.yield %s : !unitile.fragment<16x16xf32>
  } mask {
  ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
    unitile.yield %x : !unitile.fragment<16x16xf32>
  } update {
  ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32, %y: !unitile.fragment<16x16xf32>):
    unitile.yield %x : !unitile.fragment<16x16xf32>
  } finish {
  ^bb0(%x: !unitile.fragment<16x16xf32>):
  }
  return
}
