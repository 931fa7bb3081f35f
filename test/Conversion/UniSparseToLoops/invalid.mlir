// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --convert-unisparse-to-loops -split-input-file -verify-diagnostics
// RUN: not unisparse-opt %s --convert-unisparse-to-loops="strip=0" 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not unisparse-opt %s --convert-unisparse-to-loops="strip=65" 2>&1 | FileCheck %s --check-prefix=WIDE
// RUN: not unisparse-opt %s --convert-unisparse-to-loops="strips=16" 2>&1 | FileCheck %s --check-prefix=NAME

// ZERO: convert-unisparse-to-loops: expected strip in [1, 64], got 0
// WIDE: convert-unisparse-to-loops: expected strip in [1, 64], got 65
// NAME: no such option strips

func.func @attention(%q: tensor<1x8x512x64xf32>) -> tensor<1x8xf32> {
  // expected-error@+1 {{'unisparse.attention' op expected to be decomposed before it is lowered; run unisparse-decompose-attention}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8> rule <all>
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %d : tensor<1x8xf32>
}

// -----

// The contract names what is dynamic; the conversion by itself refuses too.
func.func @pool_dynamic_head_dim(%x: tensor<1x8x512x?xf32>) -> tensor<1x8x64x?xf32> {
  // expected-error@+1 {{'unisparse.pool' op}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x?xf32>) -> tensor<1x8x64x?xf32>
  return %0 : tensor<1x8x64x?xf32>
}

// -----

func.func @pool_dynamic_heads(%x: tensor<1x?x512x64xf32>) -> tensor<1x?x64x64xf32> {
  // expected-error@+1 {{'unisparse.pool' op}}
  %0 = unisparse.pool %x by 8 : (tensor<1x?x512x64xf32>) -> tensor<1x?x64x64xf32>
  return %0 : tensor<1x?x64x64xf32>
}

// -----

func.func @score_dynamic_kv_heads(%q: tensor<1x8x64x64xf32>, %k: tensor<1x?x64x64xf32>) -> tensor<1x8x4x4xf32> {
  // expected-error@+1 {{'unisparse.block_score' op}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> : (tensor<1x8x64x64xf32>, tensor<1x?x64x64xf32>) -> tensor<1x8x4x4xf32>
  return %0 : tensor<1x8x4x4xf32>
}

// -----

func.func @attend_dynamic_head_dim(%q: tensor<1x8x512x?xf32>, %v: tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32> {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <128x128> : (tensor<1x8x512x?xf32>, tensor<1x8x512x?xf32>, tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32>
  return %o : tensor<1x8x512x64xf32>
}
