// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The estimate that misses least of what dense attention finds, at the least
// density (docs/SPEC.md has the measurements): besides its means, the 16 rows
// of a query block that lie farthest from its mean are scored by themselves,
// and a key composite has the variance of its keys. The last query block, where
// a prompt's question stands, sees everything.
//
//   unisparse-run examples/sample.safetensors \
//     --program=examples/representatives.mlir

func.func @representatives(%q: tensor<1x8x2560x128xf16>,
                           %k: tensor<1x2x2560x128xf16>,
                           %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  %o, %lse, %counts, %indices, %density = unisparse.attention %q, %k, %v
      block <128x128> pooling <8x8, representatives = 16, spread = 1>
      rule <top_p = 0.7, last = 1> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
          tensor<1x8x20x20xi32>, tensor<1x8xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
      tensor<1x8x20x20xi32>, tensor<1x8xf32>
}
