// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-decompose-attention -split-input-file -verify-diagnostics

// How many KV heads a composite head averages follows from the heads.
func.func @p4_dynamic_query_heads(%q: tensor<1x?x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x?xf32> {
  // expected-error@+1 {{[P4] expected static numbers of heads to pool over heads, got 'tensor<1x?x512x64xf32>' and 'tensor<1x2x512x64xf32>'}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8, heads = 2> rule <top_p = 0.5>
    : (tensor<1x?x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> (tensor<1x?x512x64xf32>, tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  return %d : tensor<1x?xf32>
}

// -----

func.func @p4_dynamic_kv_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x?x512x64xf32>) -> tensor<1x4xf32> {
  // expected-error@+1 {{[P4] expected static numbers of heads to pool over heads, got 'tensor<1x8x512x64xf32>' and 'tensor<1x?x512x64xf32>'}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8, heads = 2> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  return %d : tensor<1x4xf32>
}

// -----

// Nothing is pooled for a dense rule, nor for one head each.
func.func @dynamic_heads_are_fine(%q: tensor<1x?x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> (tensor<1x?xf32>, tensor<1x?xf32>) {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8, heads = 2> rule <all>
    : (tensor<1x?x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> (tensor<1x?x512x64xf32>, tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  %o1, %c1, %i1, %d1 = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x?x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> (tensor<1x?x512x64xf32>, tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  return %d, %d1 : tensor<1x?xf32>, tensor<1x?xf32>
}
