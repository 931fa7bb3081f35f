// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-sparsify-attention='rule=top_p=0.8,sink=2 block=64x64 pooling=4x4 agg=sum share=group min-length=256' --split-input-file --verify-diagnostics | FileCheck %s
// RUN: unisparse-opt %s --unisparse-sparsify-attention --split-input-file | FileCheck %s --check-prefix=DEFAULT
// RUN: unisparse-opt %s --unisparse-sparsify-attention=estimate-with-region --split-input-file | FileCheck %s --check-prefix=ESTIMATE

// Options, where neither op nor function says anything.
// CHECK-LABEL: @options
// CHECK: unisparse.attention %{{.*}} block <64x64> pooling <4x4> rule <top_p = 0.8, sink = 2> agg sum share group causal return_lse scale 5.0
// DEFAULT-LABEL: @options
// DEFAULT: unisparse.attention %{{.*}} block <128x128> pooling <8x8, representatives = 16, spread = 4> rule <top_p = 0.8, last = 1, relax = 0.5> causal return_lse
func.func @options(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) -> (tensor<1x4x512x64xf32>, tensor<1x4x512xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal return_lse scale 5.0e-01
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> (tensor<1x4x512x64xf32>, tensor<1x4x512xf32>)
  return %o, %lse : tensor<1x4x512x64xf32>, tensor<1x4x512xf32>
}

// -----

// The measured policy: no end of a prompt without causality, no representatives beside a sum, a spread that leaves whole
// groups of 8 columns.
// CHECK-LABEL: @measured
// DEFAULT-LABEL: @measured
// DEFAULT: unisparse.attention %{{.*}} pooling <8x8, representatives = 16, spread = 2> rule <top_p = 0.8, relax = 0.5> :
// DEFAULT: unisparse.attention %{{.*}} pooling <8x8, spread = 2> rule <top_p = 0.8, last = 1, relax = 0.5> agg sum causal :
func.func @measured(%q: tensor<1x4x512x80xf32>, %k: tensor<1x2x512x80xf32>, %v: tensor<1x2x512x80xf32>) -> tensor<1x4x512x80xf32> {
  %a = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x4x512x80xf32>, tensor<1x2x512x80xf32>, tensor<1x2x512x80xf32>) -> tensor<1x4x512x80xf32>
  %b = unisparse.block_sparse_attention %a, %k, %v block <128x128> causal {unisparse.agg = #unisparse<agg sum>}
    : (tensor<1x4x512x80xf32>, tensor<1x2x512x80xf32>, tensor<1x2x512x80xf32>) -> tensor<1x4x512x80xf32>
  return %b : tensor<1x4x512x80xf32>
}

// -----

// Two attentions of different policies: the op's before the function's.
// CHECK-LABEL: @two
// CHECK: unisparse.attention {{.*}} block <32x32> pooling <8x8> rule <top_k = 3>
// CHECK-SAME: {schedule_of_mine}
// CHECK: unisparse.attention {{.*}} block <64x64> pooling <8x8> rule <top_k = 5>
func.func @two(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32>
    attributes {unisparse.rule = #unisparse.rule<top_k = 5>, unisparse.pooling = #unisparse.pooling<8x8>} {
  %a = unisparse.block_sparse_attention %q, %k, %v block <128x128> {unisparse.rule = #unisparse.rule<top_k = 3>, unisparse.block = #unisparse.block<32x32>, schedule_of_mine}
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32>
  %b = unisparse.block_sparse_attention %a, %k, %v block <128x128>
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %b : tensor<1x4x512x64xf32>
}

// -----

// Known lengths below min-length stay dense; others are decided at run time.
// CHECK-LABEL: @short
// CHECK: unisparse.block_sparse_attention
// CHECK: unisparse.attention {{.*}} rule <top_p = 0.8, sink = 2, dense_below = 255>
func.func @short(%q: tensor<1x4x128x64xf32>, %k: tensor<1x2x128x64xf32>, %d: tensor<1x4x?x64xf32>, %e: tensor<1x2x?x64xf32>) -> (tensor<1x4x128x64xf32>, tensor<1x4x?x64xf32>) {
  // expected-remark @below {{attention stays dense: expected at least 256 keys, got 128}}
  %o = unisparse.block_sparse_attention %q, %k, %k block <128x128>
    : (tensor<1x4x128x64xf32>, tensor<1x2x128x64xf32>, tensor<1x2x128x64xf32>) -> tensor<1x4x128x64xf32>
  %p = unisparse.block_sparse_attention %d, %e, %e block <128x128>
    : (tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>) -> tensor<1x4x?x64xf32>
  return %o, %p : tensor<1x4x128x64xf32>, tensor<1x4x?x64xf32>
}

// -----

// In a loop, under a branch, in a function that is called twice.
// CHECK-LABEL: @nested
// CHECK: scf.for
// CHECK:   unisparse.attention
// CHECK: scf.if
// CHECK:   unisparse.attention
func.func @nested(%x: tensor<1x4x512x64xf32>, %n: index, %c: i1) -> tensor<1x4x512x64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y = scf.for %i = %c0 to %n step %c1 iter_args(%z = %x) -> tensor<1x4x512x64xf32> {
    %o = unisparse.block_sparse_attention %z, %z, %z block <128x128>
      : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
    scf.yield %o : tensor<1x4x512x64xf32>
  }
  %r = scf.if %c -> tensor<1x4x512x64xf32> {
    %o = unisparse.block_sparse_attention %y, %y, %y block <128x128>
      : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
    scf.yield %o : tensor<1x4x512x64xf32>
  } else {
    scf.yield %y : tensor<1x4x512x64xf32>
  }
  return %r : tensor<1x4x512x64xf32>
}
// CHECK-LABEL: @twice
func.func @twice(%x: tensor<1x4x512x64xf32>, %n: index, %c: i1) -> tensor<1x4x512x64xf32> {
  %a = func.call @nested(%x, %n, %c) : (tensor<1x4x512x64xf32>, index, i1) -> tensor<1x4x512x64xf32>
  %b = func.call @nested(%a, %n, %c) : (tensor<1x4x512x64xf32>, index, i1) -> tensor<1x4x512x64xf32>
  return %b : tensor<1x4x512x64xf32>
}

// -----

// The estimate with a region (M6), of attention that has one: an op's own word, its function's, the option's.
// CHECK-LABEL: @estimate
// CHECK: unisparse.attention {{.*}} estimate_with_region modify {
// CHECK: unisparse.attention {{.*}} agg sum share group modify {
// CHECK: unisparse.attention {{.*}} agg sum share group :
// ESTIMATE-LABEL: @estimate
// ESTIMATE: unisparse.attention {{.*}} estimate_with_region modify {
// ESTIMATE-NOT: estimate_with_region
// ESTIMATE: return
// ESTIMATE-LABEL: @estimate_by_option
// ESTIMATE: unisparse.attention {{.*}} estimate_with_region modify {
func.func @estimate(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> attributes {unisparse.estimate_with_region = true} {
  %a = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.negf %x : f32
    unisparse.yield %y : f32
  } : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  %b = unisparse.block_sparse_attention %a, %q, %q block <128x128> {unisparse.estimate_with_region = false} modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.negf %x : f32
    unisparse.yield %y : f32
  } : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  %c = unisparse.block_sparse_attention %b, %q, %q block <128x128>
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %c : tensor<1x4x512x64xf32>
}
func.func @estimate_by_option(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> {
  %a = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %y = arith.negf %x : f32
    unisparse.yield %y : f32
  } : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %a : tensor<1x4x512x64xf32>
}

// -----

// A given selection, and what selects itself, stay as they are.
// CHECK-LABEL: @given
// CHECK: unisparse.block_sparse_attention {{.*}} selection
func.func @given(%q: tensor<1x4x512x64xf32>, %c: tensor<1x4x4xi32>, %i: tensor<1x4x4x4xi32>) -> tensor<1x4x512x64xf32> {
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128>
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}

// -----

// expected-remark @below {{expected unisparse.block_sparse_attention without a selection, found none; unisparse-raise-attention makes it of linalg}}
module {
  // CHECK-LABEL: @nothing
  func.func @nothing() {
    return
  }
}
