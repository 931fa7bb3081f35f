// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// One p for each query head: `rule <top_p>` without a value takes the shares
// from the operand. Here they are a constant; they may as well be an argument,
// or what a program computes. Head 0 spreads widely and gets less.
//
//   unisparse-run examples/sample.safetensors \
//     --p=0.8,0.9,0.9,0.85,0.95,0.95,0.95,0.95
//
// does the same.
func.func @per_head_p(%q: tensor<1x8x2560x128xf16>,
                      %k: tensor<1x2x2560x128xf16>,
                      %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  %p = arith.constant dense<[0.8, 0.9, 0.9, 0.85, 0.95, 0.95, 0.95, 0.95]>
    : tensor<8xf32>
  %o, %lse, %counts, %indices, %density = unisparse.attention %q, %k, %v
      top_p(%p) block <128x128> pooling <8x8> rule <top_p> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>, tensor<8xf32>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
          tensor<1x8x20x20xi32>, tensor<1x8xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
      tensor<1x8x20x20xi32>, tensor<1x8xf32>
}
