// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Dynamic batch and lengths: one program for every input of 8 query and 2 KV
// heads of 128. Lq may be shorter than Lk, as in a chunk of a longer prefill.
// Heads and head_dim are static: tiles are laid out for them.
//
//   unisparse-run examples/sample.safetensors --program=examples/dynamic.mlir
func.func @dynamic(%q: tensor<?x8x?x128xf16>, %k: tensor<?x2x?x128xf16>,
                   %v: tensor<?x2x?x128xf16>)
    -> (tensor<?x8x?x128xf16>, tensor<?x8x?xf32>, tensor<?x8x?xi32>,
        tensor<?x8x?x?xi32>, tensor<?x8xf32>) {
  %o, %lse, %counts, %indices, %density = unisparse.attention %q, %k, %v
      block <128x128> pooling <8x8> rule <top_p = 0.9> causal return_lse
    : (tensor<?x8x?x128xf16>, tensor<?x2x?x128xf16>, tensor<?x2x?x128xf16>)
      -> (tensor<?x8x?x128xf16>, tensor<?x8x?xf32>, tensor<?x8x?xi32>,
          tensor<?x8x?x?xi32>, tensor<?x8xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<?x8x?x128xf16>, tensor<?x8x?xf32>, tensor<?x8x?xi32>,
      tensor<?x8x?x?xi32>, tensor<?x8xf32>
}
