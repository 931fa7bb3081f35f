// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The four stages by hand, with a policy of one's own: a finer estimate along
// the queries (4x8 and not 8x8), less mass (p = .8), two blocks on and before
// the diagonal, and never more than eight blocks besides the forced ones.
//
//   unisparse-run examples/sample.safetensors --pool=4x8 --p=0.8 --local=2 \
//     --max-blocks=8
//
// does the same. Between any two of the ops a program may do what it likes with
// the tensors: custom-selection.mlir changes the masses.
func.func @stages(%q: tensor<1x8x2560x128xf16>, %k: tensor<1x2x2560x128xf16>,
                  %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  // Composite tokens: 640 of the queries, 320 of the keys.
  %qc = unisparse.pool %q by 4
    : (tensor<1x8x2560x128xf16>) -> tensor<1x8x640x128xf16>
  %kc = unisparse.pool %k by 8
    : (tensor<1x2x2560x128xf16>) -> tensor<1x2x320x128xf16>

  // The mass of each of 20x20 blocks. The lengths are those in tokens, which
  // the composites no longer tell.
  %mass = unisparse.block_score %qc, %kc lengths [2560, 2560]
      block <128x128> pooling <4x8> causal
    : (tensor<1x8x640x128xf16>, tensor<1x2x320x128xf16>)
      -> tensor<1x8x20x20xf32>

  // Which blocks each row of query blocks attends to.
  %counts, %indices, %density = unisparse.block_select %mass
      lengths [2560, 2560] block <128x128>
      rule <top_p = 0.8, local = 2, max_blocks = 8> causal
    : (tensor<1x8x20x20xf32>)
      -> (tensor<1x8x20xi32>, tensor<1x8x20x20xi32>, tensor<1x8xf32>)

  // Exact attention over these blocks.
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v
      selection(%counts, %indices) block <128x128> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>, tensor<1x8x20xi32>, tensor<1x8x20x20xi32>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
      tensor<1x8x20x20xi32>, tensor<1x8xf32>
}
