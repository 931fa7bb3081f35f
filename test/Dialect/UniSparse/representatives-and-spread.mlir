// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Composites with representatives (P5) and spread (P6), and the rules that came
// with them (L8-L10), through text and bytecode, type inference, folds and the
// decomposition.

// RUN: unisparse-opt %s --verify-roundtrip | FileCheck %s
// RUN: unisparse-opt %s --mlir-print-op-generic | unisparse-opt | FileCheck %s
// RUN: unisparse-opt %s --emit-bytecode | unisparse-opt | FileCheck %s
// RUN: unisparse-opt %s --canonicalize | FileCheck %s --check-prefix=CANON
// RUN: unisparse-opt %s --unisparse-decompose-attention | FileCheck %s --check-prefix=STAGES
// RUN: unisparse-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s --check-prefix=DIMS

// CHECK-LABEL: func.func @pool_block(
// CHECK:         %composites, %rows = unisparse.pool %{{.*}} by 8 heads 2 representatives 16 of 128 norms 4 times 6.250000e-02 : (tensor<1x8x1001x64xf16>) -> (tensor<1x4x256x80xf16>, tensor<1x4x8x16xi32>)
func.func @pool_block(%x: tensor<1x8x1001x64xf16>) -> (tensor<1x4x256x80xf16>, tensor<1x4x8x16xi32>) {
  %0, %rows = unisparse.pool %x by 8 heads 2 representatives 16 of 128 norms 4 times 0.0625
    : (tensor<1x8x1001x64xf16>) -> (tensor<1x4x256x80xf16>, tensor<1x4x8x16xi32>)
  return %0, %rows : tensor<1x4x256x80xf16>, tensor<1x4x8x16xi32>
}

// Nothing but what is asked for is printed; composites of single tokens have
// columns to add, so that they are not the tokens.
// CHECK-LABEL: func.func @pool_spread(
// CHECK:         unisparse.pool %{{.*}} by 1 spread 1 : (tensor<1x8x1001x64xf16>) -> tensor<1x8x1001x128xf16>
// CANON-LABEL: func.func @pool_spread(
// CANON:         unisparse.pool
func.func @pool_spread(%x: tensor<1x8x1001x64xf16>) -> tensor<1x8x1001x128xf16> {
  %0 = unisparse.pool %x by 1 spread 1 : (tensor<1x8x1001x64xf16>) -> tensor<1x8x1001x128xf16>
  return %0 : tensor<1x8x1001x128xf16>
}

// floor(1000 / 128) + 3 slots of query blocks.
// CHECK-LABEL: func.func @pool_packed(
// CHECK:         unisparse.pool %{{.*}} cu_seqlens(%{{.*}}) by 8 representatives 4 of 128 :
func.func @pool_packed(%x: tensor<1x8x1000x64xf32>, %cu: tensor<4xi32>) -> (tensor<1x8x200x64xf32>, tensor<1x8x10x4xi32>) {
  %0, %rows = unisparse.pool %x cu_seqlens(%cu) by 8 representatives 4 of 128
    : (tensor<1x8x1000x64xf32>, tensor<4xi32>) -> (tensor<1x8x200x64xf32>, tensor<1x8x10x4xi32>)
  return %0, %rows : tensor<1x8x200x64xf32>, tensor<1x8x10x4xi32>
}

// DIMS-DAG:     #[[$COMPOSITES:.*]] = affine_map<()[s0] -> ((s0 ceildiv 128) * 20)>
// DIMS-DAG:     #[[$BLOCKS:.*]] = affine_map<()[s0] -> (s0 ceildiv 128)>
// DIMS-DAG:     #[[$COLUMNS:.*]] = affine_map<()[s0] -> (s0 + s0 floordiv 4)>
// DIMS-LABEL:   func.func @pool_dims(
// DIMS-SAME:      %[[X:.*]]: tensor<1x8x?x?xf32>
// DIMS-DAG:       %[[L:.*]] = tensor.dim %[[X]], %c2
// DIMS-DAG:       %[[D:.*]] = tensor.dim %[[X]], %c3
// DIMS-DAG:       %[[A:.*]] = affine.apply #[[$COMPOSITES]]()[%[[L]]]
// DIMS-DAG:       %[[R:.*]] = affine.apply #[[$BLOCKS]]()[%[[L]]]
// DIMS-DAG:       %[[C:.*]] = affine.apply #[[$COLUMNS]]()[%[[D]]]
// DIMS:           return %[[A]], %[[C]], %[[R]]
func.func @pool_dims(%x: tensor<1x8x?x?xf32>) -> (index, index, index) {
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %0, %rows = unisparse.pool %x by 8 representatives 4 of 128 norms 4 times 1.0
    : (tensor<1x8x?x?xf32>) -> (tensor<1x8x?x?xf32>, tensor<1x8x?x4xi32>)
  %a = tensor.dim %0, %c2 : tensor<1x8x?x?xf32>
  %c = tensor.dim %0, %c3 : tensor<1x8x?x?xf32>
  %r = tensor.dim %rows, %c2 : tensor<1x8x?x4xi32>
  return %a, %c, %r : index, index, index
}

// CHECK-LABEL: func.func @score(
// CHECK:         unisparse.block_score %{{.*}}, %{{.*}} rows(%{{.*}}) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16, spread = 4> causal :
func.func @score(%q: tensor<1x8x128x80xf32>, %k: tensor<1x2x64x80xf32>, %r: tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32> {
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16, spread = 4> causal
    : (tensor<1x8x128x80xf32>, tensor<1x2x64x80xf32>, tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32>
  return %0 : tensor<1x8x4x4xf32>
}

// Half of alpha * scale times the norms of q; the spread of k; pooled heads.
// STAGES-LABEL: func.func @attention(
// STAGES:         %[[Q:.*]], %[[ROWS:.*]] = unisparse.pool %{{.*}} by 8 heads 4 representatives 16 of 128 norms 1 times 1.250000e-01 : (tensor<1x8x500x64xf16>) -> (tensor<1x2x128x128xf16>, tensor<1x2x4x16xi32>)
// STAGES:         %[[K:.*]] = unisparse.pool %{{.*}} by 8 spread 1 : (tensor<1x2x500x64xf16>) -> tensor<1x2x63x128xf16>
// STAGES:         %[[M:.*]] = unisparse.block_score %[[Q]], %[[K]] rows(%[[ROWS]]) lengths [500, 500] block <128x128> pooling <8x8, heads = 4, representatives = 16, spread = 1> causal alpha 2.000000e+00 :
// STAGES:         unisparse.block_select %[[M]] lengths [500, 500] block <128x128> rule <top_p = 0.7, last = 1> causal
func.func @attention(%q: tensor<1x8x500x64xf16>, %k: tensor<1x2x500x64xf16>) -> tensor<1x2xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8, heads = 4, representatives = 16, spread = 1> rule <top_p = 0.7, last = 1> causal alpha 2.0
    : (tensor<1x8x500x64xf16>, tensor<1x2x500x64xf16>, tensor<1x2x500x64xf16>)
      -> (tensor<1x8x500x64xf16>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return %d : tensor<1x2xf32>
}

// Rows that are composites already have nothing to represent; single keys have
// no spread; a block has no more rows than it has.
// CANON-LABEL: func.func @nothing_to_add(
// CANON:         unisparse.attention {{.*}} pooling <1x1> rule
// CANON:         unisparse.attention {{.*}} pooling <8x8, representatives = 128> rule
// STAGES-LABEL: func.func @nothing_to_add(
// STAGES-NOT:     representatives 16
// STAGES:         representatives 128 of 128
func.func @nothing_to_add(%q: tensor<1x8x500x64xf16>) -> (tensor<1x8xf32>, tensor<1x8xf32>) {
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <1x1, representatives = 16, spread = 4> rule <top_p = 0.7>
    : (tensor<1x8x500x64xf16>, tensor<1x8x500x64xf16>, tensor<1x8x500x64xf16>)
      -> (tensor<1x8x500x64xf16>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  %o2, %c2, %i2, %d2 = unisparse.attention %q, %q, %q block <128x128> pooling <8x8, representatives = 200> rule <top_p = 0.7>
    : (tensor<1x8x500x64xf16>, tensor<1x8x500x64xf16>, tensor<1x8x500x64xf16>)
      -> (tensor<1x8x500x64xf16>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %d, %d2 : tensor<1x8xf32>, tensor<1x8xf32>
}

// Random masses are read from nowhere: nothing is pooled or scored, but blocks
// are left out.
// STAGES-LABEL: func.func @random(
// STAGES-NOT:     unisparse.pool
// STAGES:         %[[M:.*]] = tensor.empty() : tensor<1x8x4x4xf32>
// STAGES:         %[[C:.*]], %[[I:.*]], %{{.*}} = unisparse.block_select %[[M]] {{.*}} rule <random = 0.25, seed = 7> causal
// STAGES:         unisparse.block_sparse_attention {{.*}} selection(%[[C]], %[[I]])
func.func @random(%q: tensor<1x8x500x64xf16>) -> tensor<1x8x500x64xf16> {
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8> rule <random = 0.25, seed = 7> causal
    : (tensor<1x8x500x64xf16>, tensor<1x8x500x64xf16>, tensor<1x8x500x64xf16>)
      -> (tensor<1x8x500x64xf16>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %o : tensor<1x8x500x64xf16>
}

// CANON-LABEL: func.func @unread_mass(
// CANON:         %[[M:.*]] = tensor.empty() : tensor<1x8x4x4xf32>
// CANON:         unisparse.block_select %[[M]] {{.*}} rule <random = 0.25>
func.func @unread_mass(%m: tensor<1x8x4x4xf32>) -> tensor<1x8x4xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [500, 500] block <128x128> rule <random = 0.25>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x4xi32>
}

// What takes every candidate is `all`: a share of 1, a threshold of 0, all of
// the blocks the last ones. A capped one does not.
// CANON-LABEL: func.func @whole(
// CANON-COUNT-3:  rule <all>
// CANON:          rule <random = 1.0, max_blocks = 2>
// CANON:          rule <top_k = 2, last = 3>
func.func @whole(%m: tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4xi32>, tensor<1x8x4xi32>, tensor<1x8x4xi32>, tensor<1x8x4xi32>) {
  %c0, %i0, %d0 = unisparse.block_select %m lengths [500, 500] block <128x128> rule <random = 1.0>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  %c1, %i1, %d1 = unisparse.block_select %m lengths [500, 500] block <128x128> rule <threshold = 0.0, sink = 2>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  %c2, %i2, %d2 = unisparse.block_select %m lengths [500, 500] block <128x128> rule <top_k = 2, last = 4>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  %c3, %i3, %d3 = unisparse.block_select %m lengths [500, 500] block <128x128> rule <random = 1.0, max_blocks = 2>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  %c4, %i4, %d4 = unisparse.block_select %m lengths [500, 500] block <128x128> rule <top_k = 2, last = 3>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %c0, %c1, %c2, %c3, %c4 : tensor<1x8x4xi32>, tensor<1x8x4xi32>, tensor<1x8x4xi32>, tensor<1x8x4xi32>, tensor<1x8x4xi32>
}

// Lengths that become constants: composites by query blocks fit.
// CANON-LABEL: func.func @score_static_lengths(
// CANON:         lengths [512, 512] {{.*}} -> tensor<1x8x4x4xf32>
func.func @score_static_lengths(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x8x?x16xi32>) -> tensor<1x8x?x4xf32> {
  %l = arith.constant 512 : index
  %0 = unisparse.block_score %q, %k rows(%r) lengths [%l, 512] block <128x128> pooling <8x8, representatives = 16>
    : (tensor<1x8x?x64xf32>, tensor<1x2x64x64xf32>, index, tensor<1x8x?x16xi32>) -> tensor<1x8x?x4xf32>
  return %0 : tensor<1x8x?x4xf32>
}
