// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A change to the method in a few lines of IR: before blocks are selected,
// their masses get a bonus for recency,
//
//   mass'(r, j) = mass(r, j) + 0.05 * exp(-(r - j) / 4)
//
// so that of two blocks of equal mass the nearer one is selected. Nothing else
// changes: what linalg computes on the masses is lowered, bufferized and
// compiled together with the stages around it.
//
//   unisparse-run examples/sample.safetensors \
//     --program=examples/custom-selection.mlir
#same = affine_map<(b, h, r, j) -> (b, h, r, j)>

func.func @custom_selection(%q: tensor<1x8x2560x128xf16>,
                            %k: tensor<1x2x2560x128xf16>,
                            %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  %qc = unisparse.pool %q by 8
    : (tensor<1x8x2560x128xf16>) -> tensor<1x8x320x128xf16>
  %kc = unisparse.pool %k by 8
    : (tensor<1x2x2560x128xf16>) -> tensor<1x2x320x128xf16>
  %mass = unisparse.block_score %qc, %kc lengths [2560, 2560]
      block <128x128> pooling <8x8> causal
    : (tensor<1x8x320x128xf16>, tensor<1x2x320x128xf16>)
      -> tensor<1x8x20x20xf32>

  // The researcher's part. Blocks behind the diagonal (j > r) are no
  // candidates: block_select never looks at their masses.
  %decay = arith.constant -0.25 : f32
  %weight = arith.constant 0.05 : f32
  %shape = tensor.empty() : tensor<1x8x20x20xf32>
  %recent = linalg.generic {
      indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%mass : tensor<1x8x20x20xf32>) outs(%shape : tensor<1x8x20x20xf32>) {
  ^bb0(%m: f32, %unused: f32):
    %r = linalg.index 2 : index
    %j = linalg.index 3 : index
    %distance = arith.subi %r, %j : index
    %distance_i32 = arith.index_cast %distance : index to i32
    %distance_f32 = arith.sitofp %distance_i32 : i32 to f32
    %exponent = arith.mulf %distance_f32, %decay : f32
    %age = math.exp %exponent : f32
    %bonus = arith.mulf %age, %weight : f32
    %sum = arith.addf %m, %bonus : f32
    linalg.yield %sum : f32
  } -> tensor<1x8x20x20xf32>

  %counts, %indices, %density = unisparse.block_select %recent
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
