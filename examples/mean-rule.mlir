// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A selection rule of one's own: every block whose mass is at least the mean
// of its row's candidates. The program decides, block by block, and says so in
// masses of 1 and 0; `rule <threshold = 1.0>` takes those that are as large as
// the largest, and the forced blocks. One candidate at least reaches the mean,
// so a row's largest number is 1.
//
//   unisparse-run examples/sample.safetensors --program=examples/mean-rule.mlir
//   unisparse-run examples/sample.safetensors --program=examples/mean-rule.mlir --target=cuda
#row = affine_map<(b, h, r, j) -> (b, h, r)>
#block = affine_map<(b, h, r, j) -> (b, h, r, j)>

func.func @mean_rule(%q: tensor<1x8x2560x128xf16>,
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

  // What a row of query blocks has in all; no candidate, no mass.
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %rows = tensor.empty() : tensor<1x8x20xf32>
  %none = linalg.fill ins(%zero : f32) outs(%rows : tensor<1x8x20xf32>)
    -> tensor<1x8x20xf32>
  %sums = linalg.generic {
      indexing_maps = [#block, #row],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%mass : tensor<1x8x20x20xf32>) outs(%none : tensor<1x8x20xf32>) {
  ^bb0(%m: f32, %sum: f32):
    %more = arith.addf %sum, %m : f32
    linalg.yield %more : f32
  } -> tensor<1x8x20xf32>

  // Row r has r + 1 candidates: mass >= sum / (r + 1).
  %shape = tensor.empty() : tensor<1x8x20x20xf32>
  %decided = linalg.generic {
      indexing_maps = [#block, #row, #block],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%mass, %sums : tensor<1x8x20x20xf32>, tensor<1x8x20xf32>)
      outs(%shape : tensor<1x8x20x20xf32>) {
  ^bb0(%m: f32, %sum: f32, %unused: f32):
    %r = linalg.index 2 : index
    %r_i32 = arith.index_cast %r : index to i32
    %r_f32 = arith.sitofp %r_i32 : i32 to f32
    %candidates = arith.addf %r_f32, %one : f32
    %mean = arith.divf %sum, %candidates : f32
    %enough = arith.cmpf oge, %m, %mean : f32
    %vote = arith.select %enough, %one, %zero : f32
    linalg.yield %vote : f32
  } -> tensor<1x8x20x20xf32>

  %counts, %indices, %density = unisparse.block_select %decided
      lengths [2560, 2560] block <128x128> rule <threshold = 1.0> causal
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
