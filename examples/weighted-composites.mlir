// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Another compression: a composite is any linear map of its tokens, here eight
// weights instead of eight times 1/8, the same for queries and keys,
//
//   composite(a) = sum over t of w(t) * token(8 a + t)
//
// as a strided product: `8 a + t` is the map of its operand. Sums run in f32,
// and are rounded once (P2). A learned map is eight other numbers; one that
// differs by head or dim has a weight tensor with more dims.
//
//   unisparse-run examples/sample.safetensors \
//     --program=examples/weighted-composites.mlir
#token = affine_map<(b, h, a, d, t) -> (b, h, a * 8 + t, d)>
#weight = affine_map<(b, h, a, d, t) -> (t)>
#composite = affine_map<(b, h, a, d, t) -> (b, h, a, d)>
#same = affine_map<(b, h, a, d) -> (b, h, a, d)>

func.func @weighted_composites(%q: tensor<1x8x2560x128xf16>,
                               %k: tensor<1x2x2560x128xf16>,
                               %v: tensor<1x2x2560x128xf16>)
    -> (tensor<1x8x2560x128xf16>, tensor<1x8x2560xf32>, tensor<1x8x20xi32>,
        tensor<1x8x20x20xi32>, tensor<1x8xf32>) {
  %weights = arith.constant dense<[0.05, 0.1, 0.15, 0.2, 0.2, 0.15, 0.1, 0.05]>
    : tensor<8xf32>
  %zero = arith.constant 0.0 : f32

  %qs = tensor.empty() : tensor<1x8x320x128xf32>
  %q0 = linalg.fill ins(%zero : f32) outs(%qs : tensor<1x8x320x128xf32>)
    -> tensor<1x8x320x128xf32>
  %q1 = linalg.generic {
      indexing_maps = [#token, #weight, #composite],
      iterator_types = ["parallel", "parallel", "parallel", "parallel",
                        "reduction"]}
      ins(%q, %weights : tensor<1x8x2560x128xf16>, tensor<8xf32>)
      outs(%q0 : tensor<1x8x320x128xf32>) {
  ^bb0(%x: f16, %w: f32, %sum: f32):
    %wide = arith.extf %x : f16 to f32
    %part = arith.mulf %wide, %w : f32
    %more = arith.addf %sum, %part : f32
    linalg.yield %more : f32
  } -> tensor<1x8x320x128xf32>
  %qr = tensor.empty() : tensor<1x8x320x128xf16>
  %qc = linalg.generic {
      indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%q1 : tensor<1x8x320x128xf32>) outs(%qr : tensor<1x8x320x128xf16>) {
  ^bb0(%x: f32, %unused: f16):
    %rounded = arith.truncf %x : f32 to f16
    linalg.yield %rounded : f16
  } -> tensor<1x8x320x128xf16>

  %ks = tensor.empty() : tensor<1x2x320x128xf32>
  %k0 = linalg.fill ins(%zero : f32) outs(%ks : tensor<1x2x320x128xf32>)
    -> tensor<1x2x320x128xf32>
  %k1 = linalg.generic {
      indexing_maps = [#token, #weight, #composite],
      iterator_types = ["parallel", "parallel", "parallel", "parallel",
                        "reduction"]}
      ins(%k, %weights : tensor<1x2x2560x128xf16>, tensor<8xf32>)
      outs(%k0 : tensor<1x2x320x128xf32>) {
  ^bb0(%x: f16, %w: f32, %sum: f32):
    %wide = arith.extf %x : f16 to f32
    %part = arith.mulf %wide, %w : f32
    %more = arith.addf %sum, %part : f32
    linalg.yield %more : f32
  } -> tensor<1x2x320x128xf32>
  %kr = tensor.empty() : tensor<1x2x320x128xf16>
  %kc = linalg.generic {
      indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%k1 : tensor<1x2x320x128xf32>) outs(%kr : tensor<1x2x320x128xf16>) {
  ^bb0(%x: f32, %unused: f16):
    %rounded = arith.truncf %x : f32 to f16
    linalg.yield %rounded : f16
  } -> tensor<1x2x320x128xf16>

  // From here on composites are composites: 8 tokens each, whatever they hold.
  %mass = unisparse.block_score %qc, %kc lengths [2560, 2560]
      block <128x128> pooling <8x8> causal
    : (tensor<1x8x320x128xf16>, tensor<1x2x320x128xf16>)
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
