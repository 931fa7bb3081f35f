// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Dense attention: block_sparse_attention without a selection attends to every
// candidate block. It is what unisparse-run compares with, and the same loops:
//
//   unisparse-run examples/sample.safetensors --dense
func.func @dense(%q: tensor<1x8x2560x128xf16>, %k: tensor<1x2x2560x128xf16>,
                 %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v
      block <128x128> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>)
  return %o, %lse : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>
}
