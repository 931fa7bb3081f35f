// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s --convert-unisparse-to-loops="strip=32" --canonicalize --cse | FileCheck %s --check-prefix=WIDE

// A block has 16 composite queries and 8 composite keys: one strip of 16, tiles
// of 8 keys, and of every row a maximum and a sum for each of 18 key blocks.
// Logits exist for one tile and one strip only; 125 x 138 of them never do.
// CHECK-LABEL: func.func @score(
// CHECK-NOT:     x138xf32
// CHECK:         %[[M:.*]] = memref.alloc() {{.*}} : memref<1x8x8x18xf32>
// CHECK-NOT:     x138xf32
// CHECK:         scf.parallel (%[[H:.*]], %[[R:.*]]) = (%c0, %c0) to (%c8, %c8)
// CHECK:           %[[ROW:.*]] = memref.subview %[[M]][0, %[[H]], %[[R]], 0] [1, 1, 1, 18]
// CHECK:           %[[Q:.*]] = memref.alloc() {{.*}} : memref<1x64x16xf32>
// CHECK:           memref.alloc() {{.*}} : memref<8x80xf32>
// CHECK:           %[[S:.*]] = memref.alloc() {{.*}} : memref<8x16xf32>
// CHECK:           memref.alloc() {{.*}} : memref<18xf32>
// CHECK:           %[[TOPS:.*]] = memref.alloc() {{.*}} : memref<1x18x16xf32>
// CHECK:           %[[SUMS:.*]] = memref.alloc() {{.*}} : memref<1x18x16xf32>
// CHECK-NOT:       memref.alloc
//
// L1: min(ceil((delta + end of the block's rows) / Bk), all), delta = 100.
// CHECK:           %[[END:.*]] = arith.minsi %{{.*}}, %c1000
// CHECK:           %[[UP:.*]] = arith.addi %[[END]], %c163
// CHECK:           %[[SEEN:.*]] = arith.divui %[[UP]], %c64
// CHECK:           %[[BLOCKS:.*]] = arith.minsi %[[SEEN]], %c18
//
// P3: composites end at 125 of q and 138 of k.
// CHECK:           %[[LEFT:.*]] = arith.subi %c125, %{{.*}}
// CHECK:           arith.minsi %[[LEFT]], %c16
// CHECK:           arith.divui %{{.*}}, %c4
// CHECK:           scf.for %[[J:.*]] = %c0 to %[[BLOCKS]]
// CHECK:             %[[KLEFT:.*]] = arith.subi %c138, %{{.*}}
// CHECK:             arith.minsi %[[KLEFT]], %c8
// CHECK:             linalg.matmul ins(%{{.*}} : memref<8x64xf32, strided<[80, 1]>>, memref<64x16xf32, {{.*}}) outs(%[[S]] : memref<8x16xf32>)
//
// S1: ln(4 / 8) for the last composite of 1100 keys, where it is in the tile.
// CHECK:             scf.if
// CHECK:               arith.addf %{{.*}}, %{{.*}} : vector<16xf32>
// CHECK:             math.exp {{.*}} : vector<16xf32>
// CHECK:             vector.store %{{.*}}, %[[TOPS]][%c0, %[[J]], %c0]
// CHECK:             vector.store %{{.*}}, %[[SUMS]][%c0, %[[J]], %c0]
//
// S5: the maximum over composite rows.
// CHECK:           vector.reduction <maxnumf>
// CHECK-NOT:       vector.reduction <add>
// CHECK:         bufferization.to_tensor %[[M]] restrict

// WIDE-LABEL:  func.func @score(
// WIDE:          memref.alloc() {{.*}} : memref<1x64x32xf32>
// WIDE:          memref.alloc() {{.*}} : memref<8x32xf32>
func.func @score(%q: tensor<1x8x125x64xf16>, %k: tensor<1x2x138x64xf16>) -> tensor<1x8x8x18xf32> {
  %0 = unisparse.block_score %q, %k lengths [1000, 1100] block <128x64> pooling <8x8> causal scale 0.5 alpha 0.5
    : (tensor<1x8x125x64xf16>, tensor<1x2x138x64xf16>) -> tensor<1x8x8x18xf32>
  return %0 : tensor<1x8x8x18xf32>
}

// scale * alpha is folded into the queries.
// CHECK-LABEL: func.func @score_scale(
// CHECK-DAG:     arith.constant 1.250000e-01 : f32
// CHECK:         scf.parallel
func.func @score_scale(%q: tensor<1x8x125x64xf16>, %k: tensor<1x2x138x64xf16>) -> tensor<1x8x8x18xf32> {
  %0 = unisparse.block_score %q, %k lengths [1000, 1100] block <128x64> pooling <8x8> scale 0.25 alpha 0.5
    : (tensor<1x8x125x64xf16>, tensor<1x2x138x64xf16>) -> tensor<1x8x8x18xf32>
  return %0 : tensor<1x8x8x18xf32>
}

// Not causal: every key block, and no arithmetic on positions. S6: the loop is
// over KV heads, with the four query heads of each inside, a quarter each. S5:
// rows are weighted by their tokens.
// CHECK-LABEL: func.func @score_group_sum(
// CHECK-DAG:     arith.constant dense<2.500000e-01> : vector<16xf32>
// CHECK:         scf.parallel (%[[H:.*]], %{{.*}}) = (%c0, %c0) to (%c2, %c8)
// CHECK:           %[[FIRST:.*]] = arith.muli %[[H]], %c4
// CHECK:           %[[LAST:.*]] = arith.addi %[[FIRST]], %c4
// CHECK:           scf.for %{{.*}} = %[[FIRST]] to %[[LAST]]
// CHECK:             scf.for %{{.*}} = %c0 to %c18
// CHECK-NOT:           arith.divsi
// CHECK:             vector.reduction <add>
// CHECK-NOT:         vector.reduction <maxnumf>
// CHECK:         return
func.func @score_group_sum(%q: tensor<1x8x125x64xf16>, %k: tensor<1x2x138x64xf16>) -> tensor<1x2x8x18xf32> {
  %0 = unisparse.block_score %q, %k lengths [1000, 1100] block <128x64> pooling <8x8> agg sum share group
    : (tensor<1x8x125x64xf16>, tensor<1x2x138x64xf16>) -> tensor<1x2x8x18xf32>
  return %0 : tensor<1x2x8x18xf32>
}

// More composite rows than a strip: as many strips as it takes.
// CHECK-LABEL: func.func @score_strips(
// CHECK:         memref.alloc() {{.*}} : memref<4x64x16xf32>
// CHECK:         memref.alloc() {{.*}} : memref<4x4x16xf32>
// CHECK:         scf.for %{{.*}} = %c0 to %c4
// CHECK:           linalg.matmul
func.func @score_strips(%q: tensor<1x1x256x64xf32>, %k: tensor<1x1x64x64xf32>) -> tensor<1x1x4x4xf32> {
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <2x8>
    : (tensor<1x1x256x64xf32>, tensor<1x1x64x64xf32>) -> tensor<1x1x4x4xf32>
  return %0 : tensor<1x1x4x4xf32>
}
