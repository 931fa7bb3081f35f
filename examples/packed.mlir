// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A packed variable-length batch: sequences one after another along the length,
// their ends in two operands. Each is computed as if alone.
//
// The length and the number of sequences are dynamic, so one program serves any
// batch of 8 query and 2 KV heads. Rows of query blocks stand in slots: with S
// sequences there are floor(L / 128) + S of them, and sequence s owns those
// from floor(cu_seqlens_q[s] / 128) + s on. Indices count from the sequence's
// own first key.
func.func @packed(%q: tensor<1x8x?x128xf16>, %k: tensor<1x2x?x128xf16>,
                  %v: tensor<1x2x?x128xf16>, %cu_q: tensor<?xi32>,
                  %cu_k: tensor<?xi32>)
    -> (tensor<1x8x?x128xf16>, tensor<1x8x?xf32>, tensor<1x8x?xi32>,
        tensor<1x8x?x?xi32>, tensor<1x8xf32>) {
  %o, %lse, %counts, %indices, %density = unisparse.attention %q, %k, %v
      cu_seqlens(%cu_q, %cu_k)
      block <128x128> pooling <8x8> rule <top_p = 0.9> causal return_lse
    : (tensor<1x8x?x128xf16>, tensor<1x2x?x128xf16>, tensor<1x2x?x128xf16>,
       tensor<?xi32>, tensor<?xi32>)
      -> (tensor<1x8x?x128xf16>, tensor<1x8x?xf32>, tensor<1x8x?xi32>,
          tensor<1x8x?x?xi32>, tensor<1x8xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x?x128xf16>, tensor<1x8x?xf32>, tensor<1x8x?xi32>,
      tensor<1x8x?x?xi32>, tensor<1x8xf32>
}
