// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One case a constraint (M1 to M6, I7 of a window).

// RUN: unisparse-opt %s -split-input-file -verify-diagnostics

func.func @attend_m1(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [M1] expected a finite softcap above 0, got 0.000000e+00}}
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> softcap 0.0 : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @attend_m1_nan(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{[M1] expected a finite softcap above 0, got nan}}
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> softcap 0x7FF8000000000000 : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @score_m1(%q: tensor<1x8x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [M1] expected a finite softcap above 0, got 1.000000e-40}}
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <128x128> pooling <8x8> softcap 1.0e-40 : (tensor<1x8x64x64xf32>, tensor<1x8x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @attention_m1(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [M1] expected a finite softcap above 0, got -2.000000e+00}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8> rule <all> softcap -2.0
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

// expected-error@+1 {{[M2] expected left in [0, 1073741824], or -1 for no limit, got -2}}
func.func private @window_m2() attributes {a = #unisparse.window<left = -2>}

// -----

// expected-error@+1 {{[M2] expected right in [0, 1073741824], or -1 for no limit, got 1073741825}}
func.func private @window_m2_large() attributes {a = #unisparse.window<left = 3, right = 1073741825>}

// -----

// expected-error@+1 {{[M2] expected a window with a limit to its left or right, got none}}
func.func private @window_m2_none() attributes {a = #unisparse.window<left = -1>}

// -----

// expected-error@+1 {{expected left or right, got top}}
func.func private @window_m2_name() attributes {a = #unisparse.window<top = 1>}

// -----

// expected-error@+1 {{option left given twice}}
func.func private @window_m2_twice() attributes {a = #unisparse.window<left = 1, left = 2>}

// -----

func.func @attend_i7(%q: tensor<1x8x512x64xf32>, %k: tensor<1x8x500x64xf32>) {
  // expected-error@+1 {{[I7] expected Lq <= Lk under a window, got Lq = 512 and Lk = 500; drop the window or pass the earlier keys}}
  %0 = unisparse.block_sparse_attention %q, %k, %k block <128x128> window <right = 3> : (tensor<1x8x512x64xf32>, tensor<1x8x500x64xf32>, tensor<1x8x500x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @select_i7(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [I7] expected Lq <= Lk under a window, got Lq = 512 and Lk = 500; drop the window or pass the earlier keys}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 500] block <128x128> rule <all> window <left = 3> : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attend_m3(%q: tensor<1x8x512x64xf32>, %s: tensor<2xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [M3] expected sink_logits of one value a query head, 8, got 2}}
  %0 = unisparse.block_sparse_attention %q, %q, %q sink_logits(%s) block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<2xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @attention_m3(%q: tensor<1x8x512x64xf32>, %s: tensor<8xf16>) {
  // expected-error@+1 {{operand #3 must be}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q sink_logits(%s) block <128x128> pooling <8x8> rule <all>
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<8xf16>) -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_types(%q: !q) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [M5] expected a modification of (logit, batch, head, query position, key position, tables), 'f32', 'i32', 'i32', 'i32', 'i32', got 'f32', 'i32', 'i32', 'index', 'i32'}}
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: index, %t: i32):
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_store(%q: !q, %m: memref<4xf32>) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %a = memref.alloca() : memref<f32> // expected-error {{'memref.alloca' op [M5] expected scalars of arith, but no remf or rounding mode, the ops of math that every target has, on f32, and tensor.extract of a table in a modification of logits}}
    memref.store %x, %a[] : memref<f32>
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>
func.func private @other(f32) -> f32

func.func @attend_m5_call(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = func.call @other(%x) : (f32) -> f32 // expected-error {{'func.call' op [M5] expected scalars of arith}}
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_loop(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{'scf.for' op [M5] expected scalars of arith}}
    %y = scf.for %n = %c0 to %c1 step %c1 iter_args(%z = %x) -> (f32) {
      scf.yield %z : f32
    }
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_narrow(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.truncf %x : f32 to f8E4M3FN // expected-error {{'arith.truncf' op [M5] expected integers of at most 64 bits, f16, bf16, f32 or f64 in a modification of logits, got 'f8E4M3FN'}}
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_wide(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.extsi %i : i32 to i128 // expected-error {{'arith.extsi' op [M5] expected integers of at most 64 bits, f16, bf16, f32 or f64 in a modification of logits, got 'i128'}}
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_remainder(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.remf %x, %x : f32 // expected-error {{'arith.remf' op [M5] expected scalars of arith, but no remf}}
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_rounding(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.truncf %x to_nearest_even : f32 to f16 // expected-error {{'arith.truncf' op [M5] expected scalars of arith, but no remf or rounding mode}}
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_math(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = math.sin %x : f32 // expected-error {{'math.sin' op [M5] expected scalars of arith}}
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_captured(%q: !q, %c: f32) {
  // expected-note@+1 {{required by region isolation constraints}}
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.addf %x, %c : f32 // expected-error {{'arith.addf' op using value defined outside the region}}
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_tables(%q: !q, %t: tensor<4xf32>) {
  // expected-error@+1 {{[M5] expected tables beside a modification only, got 1 without one}}
  %0 = unisparse.block_sparse_attention %q, %q, %q tables(%t) block <128x128> : (!q, !q, !q, tensor<4xf32>) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_yield(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    unisparse.yield %h : i32 // expected-error {{invalid kind of type specified}}
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_table_of_others(%q: !q, %t: tensor<4xf32>) {
  %0 = unisparse.block_sparse_attention %q, %q, %q tables(%t) block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32, %table: tensor<4xf32>):
    %c = arith.constant dense<1.0> : tensor<4xf32> // expected-error {{'arith.constant' op [M5] expected scalars of arith}}
    unisparse.yield %x : f32
  } : (!q, !q, !q, tensor<4xf32>) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attention_m6_none(%q: !q) {
  // expected-error@+1 {{'unisparse.attention' op [M6] expected a modification beside estimate_with_region, got none}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8> rule <top_k = 2> estimate_with_region
    : (!q, !q, !q) -> (!q, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attention_m6_heads(%q: !q) {
  // expected-error@+1 {{'unisparse.attention' op [M6] expected composites of one head beside estimate_with_region, got pooling of 2 heads}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8, heads = 2> rule <top_k = 2> estimate_with_region modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %at: i32, %t: i32):
    unisparse.yield %x : f32
  } : (!q, !q, !q) -> (!q, tensor<1x1x4xi32>, tensor<1x1x4x4xi32>, tensor<1x1xf32>)
  return
}

// -----

!c = tensor<1x8x64x64xf32>

func.func @score_m5_tables(%q: !c, %t: tensor<4xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [M5] expected tables beside a modification only, got 1 without one}}
  %0 = unisparse.block_score %q, %q tables(%t) lengths [512, 512] block <128x128> pooling <8x8> : (!c, !c, tensor<4xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

!c = tensor<1x8x64x64xf32>

func.func @score_m5_types(%q: !c) {
  // expected-error@+1 {{'unisparse.block_score' op [M5] expected a modification of (logit, batch, head, query position, key position, tables), 'f32', 'i32', 'i32', 'i32', 'i32', got 'f32', 'i32', 'i32'}}
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <128x128> pooling <8x8> modify {
  ^bb0(%x: f32, %b: i32, %h: i32):
    unisparse.yield %x : f32
  } : (!c, !c) -> tensor<1x8x4x4xf32>
  return
}

// -----

!c = tensor<1x8x64x64xf32>

func.func @score_m5_math(%q: !c) {
  %0 = unisparse.block_score %q, %q lengths [512, 512] block <128x128> pooling <8x8> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = math.sin %x : f32 // expected-error {{'math.sin' op [M5] expected scalars of arith}}
    unisparse.yield %y : f32
  } : (!c, !c) -> tensor<1x8x4x4xf32>
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_no_entries(%q: !q, %t: tensor<4x0xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [M5] expected tables with entries, got 'tensor<4x0xf32>'}}
  %0 = unisparse.block_sparse_attention %q, %q, %q tables(%t) block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32, %table: tensor<4x0xf32>):
    unisparse.yield %x : f32
  } : (!q, !q, !q, tensor<4x0xf32>) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_division(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32):
    %two = arith.constant 2 : i32
    %half = arith.divsi %i, %two : i32
    %d = arith.remui %half, %k : i32 // expected-error {{'arith.remui' op [M5] expected a constant divisor other than 0 and -1 in a modification of logits}}
    %y = arith.sitofp %d : i32 to f32
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return
}

// -----

!q = tensor<1x2x512x64xf32>

func.func @attend_m5_division_by_zero(%q: !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32):
    %zero = arith.constant 0 : i32
    %d = arith.divsi %i, %zero : i32 // expected-error {{'arith.divsi' op [M5] expected a constant divisor other than 0 and -1 in a modification of logits}}
    %y = arith.sitofp %d : i32 to f32
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return
}
