// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// XAttention's estimate: the logits of 8x8 tokens are represented by the sum
// over their antidiagonal,
//
//   s(a, b) = sum over i of <q[8 a + 7 - i], k[8 b + i]>
//
// which is the product of two longer rows: 8 tokens of k side by side, 8 of q
// in the other order. So the tokens of the estimate are groups of 8 with
// head_dim 8 x 128, none of them pooled; a block of 128 tokens has 16. The rest
// is as ever: shares of mass, top-p.
//
//   unisparse-run examples/sample.safetensors \
//     --program=examples/antidiagonal.mlir
#row = affine_map<(b, h, a, i, d) -> (b, h, a, i, d)>

func.func @antidiagonal(%q: tensor<1x8x2560x128xf16>,
                        %k: tensor<1x2x2560x128xf16>,
                        %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  // Eight rows side by side; those of q from the last to the first.
  %qg = tensor.expand_shape %q [[0], [1], [2, 3], [4]]
      output_shape [1, 8, 320, 8, 128]
    : tensor<1x8x2560x128xf16> into tensor<1x8x320x8x128xf16>
  %shape = tensor.empty() : tensor<1x8x320x8x128xf16>
  %reversed = linalg.generic {
      indexing_maps = [#row],
      iterator_types = ["parallel", "parallel", "parallel", "parallel",
                        "parallel"]}
      outs(%shape : tensor<1x8x320x8x128xf16>) {
  ^bb0(%unused: f16):
    %b = linalg.index 0 : index
    %h = linalg.index 1 : index
    %a = linalg.index 2 : index
    %i = linalg.index 3 : index
    %d = linalg.index 4 : index
    %last = arith.constant 7 : index
    %other = arith.subi %last, %i : index
    %x = tensor.extract %qg[%b, %h, %a, %other, %d]
      : tensor<1x8x320x8x128xf16>
    linalg.yield %x : f16
  } -> tensor<1x8x320x8x128xf16>
  %qs = tensor.collapse_shape %reversed [[0], [1], [2], [3, 4]]
    : tensor<1x8x320x8x128xf16> into tensor<1x8x320x1024xf16>
  %kg = tensor.expand_shape %k [[0], [1], [2, 3], [4]]
      output_shape [1, 2, 320, 8, 128]
    : tensor<1x2x2560x128xf16> into tensor<1x2x320x8x128xf16>
  %ks = tensor.collapse_shape %kg [[0], [1], [2], [3, 4]]
    : tensor<1x2x320x8x128xf16> into tensor<1x2x320x1024xf16>

  // 128 ** -0.5 / 8: the mean of the antidiagonal's logits.
  %mass = unisparse.block_score %qs, %ks lengths [320, 320] block <16x16>
      pooling <1x1> agg sum causal scale 0.011048543456039806
    : (tensor<1x8x320x1024xf16>, tensor<1x2x320x1024xf16>)
      -> tensor<1x8x20x20xf32>
  %counts, %indices, %density = unisparse.block_select %mass
      lengths [2560, 2560] block <128x128> rule <top_p = 0.9> causal
    : (tensor<1x8x20x20xf32>)
      -> (tensor<1x8x20xi32>, tensor<1x8x20x20xi32>, tensor<1x8xf32>)
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v
      selection(%counts, %indices) block <128x128> causal return_lse
    : (tensor<1x8x2560x128xf16>, tensor<1x2x2560x128xf16>,
       tensor<1x2x2560x128xf16>, tensor<1x8x20xi32>, tensor<1x8x20x20xi32>)
      -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>)
  return %o, %lse, %counts, %indices, %density
    : tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
      tensor<1x8x20x20xi32>, tensor<1x8xf32>
}
