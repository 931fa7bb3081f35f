// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-sparsify-attention --split-input-file --verify-diagnostics
// RUN: not unisparse-opt %s --unisparse-sparsify-attention=rule=foo 2>&1 | FileCheck %s --check-prefix=RULE
// RUN: not unisparse-opt %s --unisparse-sparsify-attention=rule=top_p 2>&1 | FileCheck %s --check-prefix=SHARE
// RUN: not unisparse-opt %s --unisparse-sparsify-attention=rule=top_p=3 2>&1 | FileCheck %s --check-prefix=RANGE
// RUN: not unisparse-opt %s --unisparse-sparsify-attention=block=64 2>&1 | FileCheck %s --check-prefix=BLOCK
// RUN: not unisparse-opt %s --unisparse-sparsify-attention=pooling=0x8 2>&1 | FileCheck %s --check-prefix=POOLING
// RUN: not unisparse-opt %s --unisparse-sparsify-attention=min-length=-1 2>&1 | FileCheck %s --check-prefix=LENGTH
// RUN: not unisparse-opt %s --unisparse-from-linalg='rule=foo' 2>&1 | FileCheck %s --check-prefix=RULE

// RULE: unisparse-sparsify-attention: rule: expected top_p, top_k, all, threshold or random, got foo, in 'foo'
// SHARE: unisparse-sparsify-attention: rule: expected a share behind top_p, as in top_p = 0.9, got none
// RANGE: unisparse-sparsify-attention: rule: [L3] expected top_p in [0, 1], got 3
// BLOCK: unisparse-sparsify-attention: block: {{.*}}, in '64'
// POOLING: unisparse-sparsify-attention: pooling: [P1] expected positive pooling factors, got 0x8
// LENGTH: unisparse-sparsify-attention: expected min-length >= 0, got -1

// expected-error @below {{expected a policy of unisparse.rule, unisparse.block, unisparse.pooling, unisparse.agg, unisparse.share, unisparse.min_length, unisparse.estimate_with_region, got unisparse.ruel}}
func.func @unknown() attributes {unisparse.ruel = #unisparse.rule<all>} {
  return
}

// -----

// expected-error @below {{expected unisparse.block to be a #unisparse.block, got "64x64"}}
func.func @text() attributes {unisparse.block = "64x64"} {
  return
}

// -----

// expected-error @below {{[L5] expected a share behind top_p of unisparse.rule, got none}}
func.func @share() attributes {unisparse.rule = #unisparse.rule<top_p>} {
  return
}

// -----

// expected-error @below {{expected unisparse.min_length to be a number from 0, got -3 : i64}}
func.func @length() attributes {unisparse.min_length = -3} {
  return
}

// -----

// expected-error @below {{expected unisparse.min_length to be a number from 0, got 36893488147419103232 : i128}}
func.func @length_of_128_bits() attributes {unisparse.min_length = 36893488147419103232 : i128} {
  return
}

// -----

func.func @pooling(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> {
  // expected-error @below {{[I5]}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unisparse.pooling = #unisparse.pooling<3x3>}
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}

// -----

// expected-error @below {{[M6] expected unisparse.estimate_with_region to be true or false, got unit}}
func.func @estimate() attributes {unisparse.estimate_with_region} {
  return
}

// -----

func.func @estimate_of_none(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> {
  // expected-error @below {{[M6] expected a modification beside estimate_with_region, got none}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unisparse.estimate_with_region = true}
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}

// -----

func.func @estimate_of_pooled_heads(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
    attributes {unisparse.estimate_with_region = true, unisparse.pooling = #unisparse.pooling<8x8, heads = 2>} {
  // expected-error @below {{[M6] expected composites of one head beside estimate_with_region, got pooling of 2 heads}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    unisparse.yield %x : f32
  } : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}
