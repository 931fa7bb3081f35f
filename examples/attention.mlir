// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The whole of UniSparse in one op, for the tensors of sample.safetensors and
// with the defaults of unisparse-run: these two do the same,
//
//   unisparse-run examples/sample.safetensors
//   unisparse-run examples/sample.safetensors --program=examples/attention.mlir
func.func @attention(%q: tensor<1x8x2560x128xf16>,
                     %k: tensor<1x2x2560x128xf16>,
                     %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  %o, %lse, %counts, %indices, %density = unisparse.attention %q, %k, %v
      block <128x128> pooling <8x8, representatives = 16, spread = 4>
      rule <top_p = 0.8, last = 1, relax = 0.5> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
          tensor<1x8x20x20xi32>, tensor<1x8xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
      tensor<1x8x20x20xi32>, tensor<1x8xf32>
}
