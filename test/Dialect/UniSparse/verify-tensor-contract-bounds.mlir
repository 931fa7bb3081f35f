// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What is static and beyond all bounds is refused, not unrolled: tiles hold
// whole rows of head_dim, positions have 32 bits, addresses 64.

// RUN: unisparse-opt %s --unisparse-verify-tensor-contract -split-input-file -verify-diagnostics
// Each way down is closed by itself.
// RUN: unisparse-opt %s --convert-unisparse-to-loops -split-input-file -verify-diagnostics
// RUN: unisparse-opt %s --convert-unisparse-to-unitile -split-input-file -verify-diagnostics

func.func @pool_head_dim(%x: tensor<1x1x8x4611686018427387904xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected sizes below 2^31 to be lowered, got 'tensor<1x1x8x4611686018427387904xf32>'}}
  %0 = unisparse.pool %x by 8 : (tensor<1x1x8x4611686018427387904xf32>) -> tensor<1x1x1x4611686018427387904xf32>
  return
}

// -----

func.func @pool_wide(%x: tensor<1x1x8x4097xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected a head_dim of at most 4096 to be lowered, got 'tensor<1x1x8x4097xf32>'}}
  %0 = unisparse.pool %x by 8 : (tensor<1x1x8x4097xf32>) -> tensor<1x1x1x4097xf32>
  return
}

// -----

func.func @pool_heads(%x: tensor<1x65536x8x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected a number of heads of at most 65535 to be lowered, got 'tensor<1x65536x8x64xf32>'}}
  %0 = unisparse.pool %x by 8 : (tensor<1x65536x8x64xf32>) -> tensor<1x65536x1x64xf32>
  return
}

// -----

func.func @pool_length(%x: tensor<1x1x2147483648x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected sizes below 2^31 to be lowered, got 'tensor<1x1x2147483648x64xf32>'}}
  %0 = unisparse.pool %x by 8 : (tensor<1x1x2147483648x64xf32>) -> tensor<1x1x268435456x64xf32>
  return
}

// -----

func.func @pool_bytes(%x: tensor<2147483647x1x2147483647x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected a tensor of less than 2^63 bytes to be lowered, got 'tensor<2147483647x1x2147483647x64xf32>'}}
  %0 = unisparse.pool %x by 8 : (tensor<2147483647x1x2147483647x64xf32>) -> tensor<2147483647x1x268435456x64xf32>
  return
}

// -----

func.func @pool_factor(%x: tensor<1x1x8x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op expected factors below 2^31 to be lowered, got 4611686018427387904}}
  %0 = unisparse.pool %x by 4611686018427387904 : (tensor<1x1x8x64xf32>) -> tensor<1x1x1x64xf32>
  return
}

// -----

func.func @pool_sequences(%x: tensor<1x1x8x64xf32>, %cu: tensor<4294967297xi32>) {
  // expected-error@+1 {{'unisparse.pool' op expected sizes below 2^31 to be lowered, got 'tensor<4294967297xi32>'}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x1x8x64xf32>, tensor<4294967297xi32>) -> tensor<1x1x4294967297x64xf32>
  return
}

// -----

func.func @score_head_dim(%q: tensor<1x1x8x4611686018427387904xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected sizes below 2^31 to be lowered, got 'tensor<1x1x8x4611686018427387904xf32>'}}
  %0 = unisparse.block_score %q, %q lengths [64, 64] block <64x64> pooling <8x8>
    : (tensor<1x1x8x4611686018427387904xf32>, tensor<1x1x8x4611686018427387904xf32>) -> tensor<1x1x1x1xf32>
  return
}

// -----

func.func @score_lengths(%q: tensor<1x1x?x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected lengths below 2^31 to be lowered, got 4294967296}}
  %0 = unisparse.block_score %q, %q lengths [64, 4294967296] block <64x64> pooling <8x8>
    : (tensor<1x1x?x64xf32>, tensor<1x1x?x64xf32>) -> tensor<1x1x1x67108864xf32>
  return
}

// -----

func.func @score_block(%q: tensor<1x1x1x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected blocks of at most 4096x4096 to be lowered, got 4611686018427387904x64}}
  %0 = unisparse.block_score %q, %q lengths [64, 64] block <4611686018427387904x64> pooling <64x64>
    : (tensor<1x1x1x64xf32>, tensor<1x1x1x64xf32>) -> tensor<1x1x1x1xf32>
  return
}

// -----

func.func @select_lengths(%m: tensor<1x1x?x?xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected lengths below 2^31 to be lowered, got 4611686018427387904}}
  %c, %i, %d = unisparse.block_select %m lengths [64, 4611686018427387904] block <64x64> rule <top_p = 0.5>
    : (tensor<1x1x?x?xf32>) -> (tensor<1x1x?xi32>, tensor<1x1x?x?xi32>, tensor<1x1xf32>)
  return
}

// -----

func.func @select_block(%m: tensor<1x1x1x1xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected blocks of at most 4096x4096 to be lowered, got 64x4611686018427387904}}
  %c, %i, %d = unisparse.block_select %m lengths [64, 64] block <64x4611686018427387904> rule <top_p = 0.5>
    : (tensor<1x1x1x1xf32>) -> (tensor<1x1x1xi32>, tensor<1x1x1x1xi32>, tensor<1x1xf32>)
  return
}

// -----

func.func @select_heads(%m: tensor<1x65536x1x1xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected a number of heads of at most 65535 to be lowered, got 'tensor<1x65536x1x1xf32>'}}
  %c, %i, %d = unisparse.block_select %m lengths [64, 64] block <64x64> rule <top_p = 0.5>
    : (tensor<1x65536x1x1xf32>) -> (tensor<1x65536x1xi32>, tensor<1x65536x1x1xi32>, tensor<1x65536xf32>)
  return
}

// -----

func.func @attend_head_dim(%q: tensor<1x1x64x4611686018427387904xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op expected sizes below 2^31 to be lowered, got 'tensor<1x1x64x4611686018427387904xf32>'}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64>
    : (tensor<1x1x64x4611686018427387904xf32>, tensor<1x1x64x4611686018427387904xf32>, tensor<1x1x64x4611686018427387904xf32>) -> tensor<1x1x64x4611686018427387904xf32>
  return
}

// -----

func.func @attend_value_dim(%q: tensor<1x1x64x64xf32>, %v: tensor<1x1x64x1000000xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op expected a head_dim of at most 4096 to be lowered, got 'tensor<1x1x64x1000000xf32>'}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64>
    : (tensor<1x1x64x64xf32>, tensor<1x1x64x64xf32>, tensor<1x1x64x1000000xf32>) -> tensor<1x1x64x1000000xf32>
  return
}

// -----

func.func @attend_block(%q: tensor<1x1x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op expected blocks of at most 4096x4096 to be lowered, got 64x4611686018427387904}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x4611686018427387904>
    : (tensor<1x1x64x64xf32>, tensor<1x1x64x64xf32>, tensor<1x1x64x64xf32>) -> tensor<1x1x64x64xf32>
  return
}
