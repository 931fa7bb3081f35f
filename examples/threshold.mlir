// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A rule in the manner of FlashPrefill: a key block is one mean of 128 keys, a
// row of blocks takes what has a share of its largest mass, besides the first
// two blocks and a window of four; the last eight query blocks are dense. (The
// original compares energies of single queries within a tile, and corrects for
// what is left out by means of V; see docs/SPEC.md for what that moves.)
//
//   unisparse-run examples/sample.safetensors --program=examples/threshold.mlir

func.func @threshold(%q: tensor<1x8x2560x128xf16>,
                     %k: tensor<1x2x2560x128xf16>,
                     %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  %o, %lse, %counts, %indices, %density = unisparse.attention %q, %k, %v
      block <128x128> pooling <8x128>
      rule <threshold = 0.1, sink = 2, local = 4, last = 8> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
          tensor<1x8x20x20xi32>, tensor<1x8xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
      tensor<1x8x20x20xi32>, tensor<1x8xf32>
}
