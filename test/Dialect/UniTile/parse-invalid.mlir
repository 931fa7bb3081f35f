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
