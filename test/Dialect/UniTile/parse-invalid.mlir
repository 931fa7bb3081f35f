// RUN: unisparse-opt %s -split-input-file -verify-diagnostics

// Ops whose parsers make pointers, in modules that have none.

func.func @copy(%t: !unitile.shared<128x64xbf16>, %n: i32, %s: i64) {
  // expected-error@+1 {{use of undeclared SSA value name}}
  unitile.copy_async %p row %n limit %n stride %s to %t[%n] : !unitile.shared<128x64xbf16>
  return
}

// -----

func.func @store(%x: !unitile.fragment<128x64xf32>, %n: i32, %s: i64) {
  // expected-error@+1 {{use of undeclared SSA value name}}
  unitile.store %x to %p row %n limit %n stride %s : !unitile.fragment<128x64xf32>
  return
}

// -----

func.func @tensor_copy(%i: i32, %t: !unitile.shared<64x64xbf16>, %b: !unitile.barriers<1>) {
  // expected-error@+1 {{use of undeclared SSA value name}}
  unitile.tensor_copy %p[%i, %i] to %t[%i] on %b[%i] : !unitile.shared<64x64xbf16>, !unitile.barriers<1>
  return
}

// -----

func.func @send(%i: i32, %t: !unitile.shared<64x64xbf16>) {
  // expected-error@+1 {{use of undeclared SSA value name}}
  unitile.tensor_store %t[%i] to %p[%i, %i] : !unitile.shared<64x64xbf16>
  return
}

// -----

func.func @tensor_map(%n: index) {
  // expected-error@+1 {{use of undeclared SSA value name}}
  %m = unitile.tensor_map %p sizes [%n, %n] strides [%n] box [64, 128] : bf16
  return
}
