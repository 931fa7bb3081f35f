// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Soft cap, window, sinks and regions (M1 to M6): text, generic form and bytecode, what
// the stages get of them, and what folds.

// RUN: unisparse-opt %s -split-input-file --verify-roundtrip | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --mlir-print-op-generic | unisparse-opt -split-input-file | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --unisparse-decompose-attention --canonicalize | FileCheck %s --check-prefix=STAGES

!q = tensor<1x8x1000x64xf16>
!k = tensor<1x2x1000x64xf16>

// CHECK-LABEL: func.func @attend(
// CHECK-SAME:    %[[S:[a-z0-9]+]]: tensor<8xf32>
// CHECK:         unisparse.block_sparse_attention %{{.*}} sink_logits(%[[S]]) block <128x128> causal return_lse scale 1.250000e-01 softcap 5.000000e+01 window <left = 255> :
func.func @attend(%q: !q, %k: !k, %s: tensor<8xf32>) -> (!q, tensor<1x8x1000xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k sink_logits(%s) block <128x128> causal return_lse scale 0.125 softcap 50.0 window <left = 255>
    : (!q, !k, !k, tensor<8xf32>) -> (!q, tensor<1x8x1000xf32>)
  return %o, %lse : !q, tensor<1x8x1000xf32>
}

// -----

!q = tensor<1x8x1000x64xf16>
!k = tensor<1x2x1000x64xf16>

// Soft cap and window go to the estimate, the sinks do not.
// CHECK-LABEL: func.func @stages(
// CHECK:         unisparse.attention %{{.*}} sink_logits(%{{.*}}) block <128x128> pooling <8x8> rule <top_p = 0.5> softcap 3.000000e+01 window <left = 100, right = 20> :
// STAGES-LABEL: func.func @stages(
// STAGES-SAME:    %[[S:[a-z0-9]+]]: tensor<8xf32>
// STAGES:         %[[M:.*]] = unisparse.block_score %{{.*}}, %{{.*}} lengths [1000, 1000] block <128x128> pooling <8x8> softcap 3.000000e+01 window <left = 100, right = 20> :
// STAGES:         unisparse.block_select %[[M]] lengths [1000, 1000] block <128x128> rule <top_p = 0.5> window <left = 100, right = 20> :
// STAGES:         unisparse.block_sparse_attention %{{.*}} selection({{.*}}) sink_logits(%[[S]]) block <128x128> softcap 3.000000e+01 window <left = 100, right = 20> :
func.func @stages(%q: !q, %k: !k, %s: tensor<8xf32>) -> !q {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k sink_logits(%s) block <128x128> pooling <8x8> rule <top_p = 0.5> softcap 30.0 window <left = 100, right = 20>
    : (!q, !k, !k, tensor<8xf32>) -> (!q, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>, tensor<1x8xf32>)
  return %o : !q
}

// -----

!q = tensor<1x8x1000x64xf16>

// A window that no key of 1000 is outside of is none; beside causal, only its
// left counts.
// STAGES-LABEL: func.func @wide(
// STAGES-COUNT-2: unisparse.block_sparse_attention {{.*}} block <128x128>{{( causal)?}} :
// STAGES:         unisparse.block_sparse_attention {{.*}} block <128x128> causal window <left = 998> :
// STAGES:         unisparse.block_sparse_attention {{.*}} block <128x128> window <left = 999, right = 998> :
func.func @wide(%q: !q) -> (!q, !q, !q, !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> window <left = 999, right = 999> : (!q, !q, !q) -> !q
  %1 = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal window <left = 999, right = 3> : (!q, !q, !q) -> !q
  %2 = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal window <left = 998> : (!q, !q, !q) -> !q
  %3 = unisparse.block_sparse_attention %q, %q, %q block <128x128> window <left = 999, right = 998> : (!q, !q, !q) -> !q
  return %0, %1, %2, %3 : !q, !q, !q, !q
}

// -----

!q = tensor<1x8x?x64xf16>

// Of any length, it stays, and so it does where I7 is known by the window alone.
// STAGES-LABEL: func.func @any_length(
// STAGES:         block <128x128> causal window <left = 999> :
// STAGES:         block <128x128> window <left = 999> :
func.func @any_length(%q: !q, %k: tensor<1x8x1000x64xf16>) -> (!q, !q) {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal window <left = 999> : (!q, !q, !q) -> !q
  %1 = unisparse.block_sparse_attention %q, %k, %k block <128x128> window <left = 999> : (!q, tensor<1x8x1000x64xf16>, tensor<1x8x1000x64xf16>) -> !q
  return %0, %1 : !q, !q
}

// -----

!q = tensor<1x8x1000x64xf16>
!m = tensor<1x8x8x8xf32>

// All candidates of a window are no selection for attention without one.
// STAGES-LABEL: func.func @full_selection(
// STAGES:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} selection(
// STAGES:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <128x128> causal window <left = 255> :
func.func @full_selection(%q: !q, %m: !m) -> (!q, !q) {
  %c, %i, %d = unisparse.block_select %m lengths [1000, 1000] block <128x128> rule <all> causal window <left = 255>
    : (!m) -> (tensor<1x8x8xi32>, tensor<1x8x8x8xi32>, tensor<1x8xf32>)
  %0 = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128> causal
    : (!q, !q, !q, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>) -> !q
  %1 = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128> causal window <left = 255>
    : (!q, !q, !q, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>) -> !q
  return %0, %1 : !q, !q
}

// -----

!q = tensor<1x8x1000x64xf16>
!k = tensor<1x2x1000x64xf16>

// A modification goes to the attention alone (M5).
// CHECK-LABEL: func.func @modify(
// CHECK-SAME:    %[[T:[a-z0-9]+]]: tensor<8x64xf32>
// CHECK:         unisparse.attention %{{.*}} tables(%[[T]]) block <128x128> pooling <8x8> rule <top_p = 0.5> causal modify {
// CHECK-NEXT:    ^bb0(%[[X:.*]]: f32, %{{.*}}: i32, %[[H:.*]]: i32, %{{.*}}: i32, %[[K:.*]]: i32, %[[TABLE:.*]]: tensor<8x64xf32>):
// CHECK:           tensor.extract %[[TABLE]][
// CHECK:           unisparse.yield %{{.*}} : f32
// CHECK-NEXT:    } : (
// STAGES-LABEL: func.func @modify(
// STAGES:         unisparse.block_score
// STAGES-NOT:     modify
// STAGES:         unisparse.block_sparse_attention %{{.*}} tables(%{{.*}}) block <128x128> causal modify {
// STAGES:           tensor.extract
// STAGES:           unisparse.yield
func.func @modify(%q: !q, %k: !k, %t: tensor<8x64xf32>) -> !q {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k tables(%t) block <128x128> pooling <8x8> rule <top_p = 0.5> causal modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %key: i32, %table: tensor<8x64xf32>):
    %head = arith.index_cast %h : i32 to index
    %place = arith.index_cast %key : i32 to index
    %bias = tensor.extract %table[%head, %place] : tensor<8x64xf32>
    %y = arith.addf %x, %bias : f32
    unisparse.yield %y : f32
  } : (!q, !k, !k, tensor<8x64xf32>) -> (!q, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>, tensor<1x8xf32>)
  return %o : !q
}

// -----

!q = tensor<1x8x1000x64xf16>

// An LSE that nobody reads goes, the modification stays.
// STAGES-LABEL: func.func @unread(
// STAGES:         unisparse.block_sparse_attention %{{.*}} block <128x128> modify {
// STAGES:           arith.negf
func.func @unread(%q: !q) -> !q {
  %o, %lse = unisparse.block_sparse_attention %q, %q, %q block <128x128> return_lse modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.negf %x : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> (!q, tensor<1x8x1000xf32>)
  return %o : !q
}

// -----

!q = tensor<1x8x1000x64xf16>
!k = tensor<1x2x1000x64xf16>

// To the estimate too where that is asked for (M6), with its tables and between
// the other two.
// CHECK-LABEL: func.func @estimate(
// CHECK:         unisparse.attention %{{.*}} tables(%{{.*}}) block <128x128> pooling <8x8> rule <top_p = 0.5> causal softcap 3.000000e+01 estimate_with_region modify {
// STAGES-LABEL: func.func @estimate(
// STAGES-SAME:    %[[T:[a-z0-9]+]]: tensor<1000xf32>
// STAGES:         unisparse.block_score %{{.*}}, %{{.*}} tables(%[[T]]) lengths [1000, 1000] block <128x128> pooling <8x8> causal softcap 3.000000e+01 modify {
// STAGES-NEXT:    ^bb0(%[[X:.*]]: f32, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32, %[[K:.*]]: i32, %[[TABLE:.*]]: tensor<1000xf32>):
// STAGES:           tensor.extract %[[TABLE]][
// STAGES:           unisparse.yield
// STAGES:         unisparse.block_sparse_attention %{{.*}} tables(%[[T]]) block <128x128> causal softcap 3.000000e+01 modify {
// STAGES:           tensor.extract
func.func @estimate(%q: !q, %k: !k, %t: tensor<1000xf32>) -> !q {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k tables(%t) block <128x128> pooling <8x8> rule <top_p = 0.5> causal softcap 30.0 estimate_with_region modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %key: i32, %table: tensor<1000xf32>):
    %place = arith.index_cast %key : i32 to index
    %bias = tensor.extract %table[%place] : tensor<1000xf32>
    %y = arith.addf %x, %bias : f32
    unisparse.yield %y : f32
  } : (!q, !k, !k, tensor<1000xf32>) -> (!q, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>, tensor<1x8xf32>)
  return %o : !q
}

// -----

!q = tensor<1x8x1000x64xf16>

// A rule that takes every candidate has no estimate.
// STAGES-LABEL: func.func @estimates_nothing(
// STAGES-NOT:     unisparse.block_score
// STAGES:         unisparse.block_sparse_attention %{{.*}} block <128x128> modify {
func.func @estimates_nothing(%q: !q) -> !q {
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8> rule <all> estimate_with_region modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.negf %x : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> (!q, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>, tensor<1x8xf32>)
  return %o : !q
}

// -----

!c = tensor<1x8x125x64xf16>
!m = tensor<1x8x8x8xf32>

// CHECK-LABEL: func.func @score(
// CHECK:         unisparse.block_score %{{.*}}, %{{.*}} tables(%{{.*}}, %{{.*}}) lengths [1000, 1000] block <128x128> pooling <8x8> window <left = 100> modify {
// CHECK-NEXT:    ^bb0(%{{.*}}: f32, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: tensor<8xf32>, %{{.*}}: tensor<?x3xi32>):
func.func @score(%q: !c, %s: tensor<8xf32>, %t: tensor<?x3xi32>) -> !m {
  %m = unisparse.block_score %q, %q tables(%s, %t) lengths [1000, 1000] block <128x128> pooling <8x8> window <left = 100> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32, %slopes: tensor<8xf32>, %documents: tensor<?x3xi32>):
    %head = arith.index_cast %h : i32 to index
    %slope = tensor.extract %slopes[%head] : tensor<8xf32>
    %y = arith.mulf %x, %slope : f32
    unisparse.yield %y : f32
  } : (!c, !c, tensor<8xf32>, tensor<?x3xi32>) -> !m
  return %m : !m
}
