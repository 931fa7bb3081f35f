// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-verify-tensor-contract -split-input-file -verify-diagnostics

// Batches, lengths, blocks and sequences may be dynamic.
func.func @accepted(%q: tensor<?x8x?x64xf32>, %k: tensor<?x2x?x64xf32>, %lq: index, %lk: index, %c: tensor<?x8x?xi32>, %i: tensor<?x8x?x?xi32>) -> tensor<?x8x?x64xf32> {
  %qc = unisparse.pool %q by 8 : (tensor<?x8x?x64xf32>) -> tensor<?x8x?x64xf32>
  %kc = unisparse.pool %k by 8 : (tensor<?x2x?x64xf32>) -> tensor<?x2x?x64xf32>
  %m = unisparse.block_score %qc, %kc lengths [%lq, %lk] block <128x128> pooling <8x8> : (tensor<?x8x?x64xf32>, tensor<?x2x?x64xf32>, index, index) -> tensor<?x8x?x?xf32>
  %c1, %i1, %d = unisparse.block_select %m lengths [%lq, %lk] block <128x128> rule <top_p = 0.5> : (tensor<?x8x?x?xf32>, index, index) -> (tensor<?x8x?xi32>, tensor<?x8x?x?xi32>, tensor<?x8xf32>)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> : (tensor<?x8x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x8x?xi32>, tensor<?x8x?x?xi32>) -> tensor<?x8x?x64xf32>
  return %o : tensor<?x8x?x64xf32>
}

// -----

func.func @attention(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{expected to be decomposed before it is lowered; run unisparse-decompose-attention}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8> rule <all>
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @pool_heads(%x: tensor<1x?x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected a static number of heads to be lowered, got 'tensor<1x?x512x64xf32>'; cast the operand to a type that names it}}
  %0 = unisparse.pool %x by 8 : (tensor<1x?x512x64xf32>) -> tensor<1x?x64x64xf32>
  return
}

// -----

func.func @pool_head_dim(%x: tensor<1x8x512x?xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected a static head_dim to be lowered, got 'tensor<1x8x512x?xf32>'}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x?xf32>) -> tensor<1x8x64x?xf32>
  return
}

// -----

func.func @score_heads(%q: tensor<1x8x64x64xf32>, %k: tensor<1x?x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected a static number of heads to be lowered, got 'tensor<1x?x64x64xf32>'}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> : (tensor<1x8x64x64xf32>, tensor<1x?x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @score_head_dim(%q: tensor<1x8x64x?xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected a static head_dim to be lowered, got 'tensor<1x8x64x?xf32>'}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> : (tensor<1x8x64x?xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @select_heads(%m: tensor<1x?x4x4xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected a static number of heads to be lowered, got 'tensor<1x?x4x4xf32>'}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5> : (tensor<1x?x4x4xf32>) -> (tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  return
}

// -----

func.func @attend_v_head_dim(%q: tensor<1x8x512x64xf32>, %v: tensor<1x8x512x?xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op expected a static head_dim to be lowered, got 'tensor<1x8x512x?xf32>'}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x?xf32>) -> tensor<1x8x512x?xf32>
  return
}

// -----

func.func @attend_k_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x?x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op expected a static number of heads to be lowered, got 'tensor<1x?x512x64xf32>'}}
  %o = unisparse.block_sparse_attention %q, %k, %k block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @attend_selection_heads(%q: tensor<1x8x512x64xf32>, %c: tensor<1x?x4xi32>, %i: tensor<1x?x4x4xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op expected a static number of heads to be lowered, got 'tensor<1x?x4xi32>'}}
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x?x4xi32>, tensor<1x?x4x4xi32>) -> tensor<1x8x512x64xf32>
  return
}
// -----

func.func @select_shares(%m: tensor<1x2x4x4xf32>, %p: tensor<?xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected a static number of shares to be lowered, got 'tensor<?xf32>'}}
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p> : (tensor<1x2x4x4xf32>, tensor<?xf32>) -> (tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  return
}
