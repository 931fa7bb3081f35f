// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Result types by inference (an op that parses has the type it infers, see
// invalid.mlir for the others) and result sizes as arithmetic on operands.

// RUN: unisparse-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse -split-input-file | FileCheck %s
// RUN: unisparse-opt %s --reify-result-shapes -split-input-file | FileCheck %s --check-prefix=REIFY

// CHECK-DAG:     #[[$CEIL8:.*]] = affine_map<()[s0] -> (s0 ceildiv 8)>
// CHECK-DAG:     #[[$HALF:.*]] = affine_map<()[s0] -> (s0 floordiv 2)>
// CHECK-DAG:     #[[$SLOTS8:.*]] = affine_map<()[s0, s1] -> (s0 + s1 floordiv 8 - 1)>
// CHECK-DAG:     #[[$SLOTS8_3:.*]] = affine_map<()[s0] -> (s0 floordiv 8 + 3)>
// CHECK-DAG:     #[[$SLOTS1000:.*]] = affine_map<()[s0] -> (s0 + 124)>
// CHECK-DAG:     #[[$CEIL128:.*]] = affine_map<()[s0] -> (s0 ceildiv 128)>
// CHECK-DAG:     #[[$CEIL64:.*]] = affine_map<()[s0] -> (s0 ceildiv 64)>
// CHECK-DAG:     #[[$SLOTS128:.*]] = affine_map<()[s0, s1] -> (s0 + s1 floordiv 128 - 1)>

//===----------------------------------------------------------------------===//
// unisparse.pool
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @pool_dims(
// CHECK-SAME:    %[[X:.*]]: tensor<?x?x?x?xf32>
// CHECK-DAG:     %[[B:.*]] = tensor.dim %[[X]], %c0
// CHECK-DAG:     %[[H:.*]] = tensor.dim %[[X]], %c1
// CHECK-DAG:     %[[L:.*]] = tensor.dim %[[X]], %c2
// CHECK-DAG:     %[[D:.*]] = tensor.dim %[[X]], %c3
// CHECK-DAG:     %[[H2:.*]] = affine.apply #[[$HALF]]()[%[[H]]]
// CHECK-DAG:     %[[A:.*]] = affine.apply #[[$CEIL8]]()[%[[L]]]
// CHECK-NOT:     unisparse.pool
// CHECK:         return %[[B]], %[[H2]], %[[A]], %[[D]]
func.func @pool_dims(%x: tensor<?x?x?x?xf32>) -> (index, index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %0 = unisparse.pool %x by 8 heads 2 : (tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32>
  %b = tensor.dim %0, %c0 : tensor<?x?x?x?xf32>
  %h = tensor.dim %0, %c1 : tensor<?x?x?x?xf32>
  %a = tensor.dim %0, %c2 : tensor<?x?x?x?xf32>
  %d = tensor.dim %0, %c3 : tensor<?x?x?x?xf32>
  return %b, %h, %a, %d : index, index, index, index
}

// floor(L / 8) + S slots, S one less than the ends.
// CHECK-LABEL: func.func @pool_packed_dims(
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<1x8x?x64xf32>, %[[CU:[a-z0-9]+]]: tensor<?xi32>
// CHECK-DAG:     %[[L:.*]] = tensor.dim %[[X]], %c2
// CHECK-DAG:     %[[E:.*]] = tensor.dim %[[CU]], %c0
// CHECK:         %[[A:.*]] = affine.apply #[[$SLOTS8]]()[%[[E]], %[[L]]]
// CHECK:         return %[[A]]
func.func @pool_packed_dims(%x: tensor<1x8x?x64xf32>, %cu: tensor<?xi32>) -> index {
  %c2 = arith.constant 2 : index
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x?x64xf32>, tensor<?xi32>) -> tensor<1x8x?x64xf32>
  %a = tensor.dim %0, %c2 : tensor<1x8x?x64xf32>
  return %a : index
}

// CHECK-LABEL: func.func @pool_packed_three(
// CHECK:         affine.apply #[[$SLOTS8_3]]()
func.func @pool_packed_three(%x: tensor<1x8x?x64xf32>, %cu: tensor<4xi32>) -> index {
  %c2 = arith.constant 2 : index
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x?x64xf32>, tensor<4xi32>) -> tensor<1x8x?x64xf32>
  %a = tensor.dim %0, %c2 : tensor<1x8x?x64xf32>
  return %a : index
}

// CHECK-LABEL: func.func @pool_packed_1000(
// CHECK:         affine.apply #[[$SLOTS1000]]()
func.func @pool_packed_1000(%x: tensor<1x8x1000x64xf32>, %cu: tensor<?xi32>) -> index {
  %c2 = arith.constant 2 : index
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x1000x64xf32>, tensor<?xi32>) -> tensor<1x8x?x64xf32>
  %a = tensor.dim %0, %c2 : tensor<1x8x?x64xf32>
  return %a : index
}

//===----------------------------------------------------------------------===//
// unisparse.block_score
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @score_dims(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<?x?x?x64xf32>, %[[K:[a-z0-9]+]]: tensor<?x?x?x64xf32>, %[[LQ:[a-z0-9]+]]: index, %[[LK:[a-z0-9]+]]: index
// CHECK-DAG:     %[[B:.*]] = tensor.dim %[[Q]], %c0
// CHECK-DAG:     %[[H:.*]] = tensor.dim %[[Q]], %c1
// CHECK-DAG:     %[[R:.*]] = affine.apply #[[$CEIL128]]()[%[[LQ]]]
// CHECK-DAG:     %[[J:.*]] = affine.apply #[[$CEIL64]]()[%[[LK]]]
// CHECK:         return %[[B]], %[[H]], %[[R]], %[[J]]
func.func @score_dims(%q: tensor<?x?x?x64xf32>, %k: tensor<?x?x?x64xf32>, %lq: index, %lk: index) -> (index, index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %0 = unisparse.block_score %q, %k lengths [%lq, %lk] block <128x64> pooling <8x8> : (tensor<?x?x?x64xf32>, tensor<?x?x?x64xf32>, index, index) -> tensor<?x?x?x?xf32>
  %b = tensor.dim %0, %c0 : tensor<?x?x?x?xf32>
  %h = tensor.dim %0, %c1 : tensor<?x?x?x?xf32>
  %r = tensor.dim %0, %c2 : tensor<?x?x?x?xf32>
  %j = tensor.dim %0, %c3 : tensor<?x?x?x?xf32>
  return %b, %h, %r, %j : index, index, index, index
}

// S6: masses of the KV heads. A packed batch: slots of rows, blocks of keys.
// CHECK-LABEL: func.func @score_packed_shared_dims(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x?x?x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x?x?x64xf32>, %[[LQ:[a-z0-9]+]]: index, %[[LK:[a-z0-9]+]]: index, %[[CU:[a-z0-9]+]]: tensor<?xi32>
// CHECK-DAG:     %[[H:.*]] = tensor.dim %[[K]], %c1
// CHECK-DAG:     %[[E:.*]] = tensor.dim %[[CU]], %c0
// CHECK-DAG:     %[[R:.*]] = affine.apply #[[$SLOTS128]]()[%[[E]], %[[LQ]]]
// CHECK-DAG:     %[[J:.*]] = affine.apply #[[$CEIL64]]()[%[[LK]]]
// CHECK:         return %[[H]], %[[R]], %[[J]]
func.func @score_packed_shared_dims(%q: tensor<1x?x?x64xf32>, %k: tensor<1x?x?x64xf32>, %lq: index, %lk: index, %cu: tensor<?xi32>) -> (index, index, index) {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %0 = unisparse.block_score %q, %k lengths [%lq, %lk] cu_seqlens(%cu, %cu) block <128x64> pooling <8x8> share group
    : (tensor<1x?x?x64xf32>, tensor<1x?x?x64xf32>, index, index, tensor<?xi32>, tensor<?xi32>) -> tensor<1x?x?x?xf32>
  %h = tensor.dim %0, %c1 : tensor<1x?x?x?xf32>
  %r = tensor.dim %0, %c2 : tensor<1x?x?x?xf32>
  %j = tensor.dim %0, %c3 : tensor<1x?x?x?xf32>
  return %h, %r, %j : index, index, index
}

//===----------------------------------------------------------------------===//
// unisparse.block_select
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @select_dims(
// CHECK-SAME:    %[[M:[a-z0-9]+]]: tensor<?x?x?x?xf32>
// CHECK-DAG:     %[[B:.*]] = tensor.dim %[[M]], %c0
// CHECK-DAG:     %[[H:.*]] = tensor.dim %[[M]], %c1
// CHECK-DAG:     %[[R:.*]] = tensor.dim %[[M]], %c2
// CHECK-DAG:     %[[J:.*]] = tensor.dim %[[M]], %c3
// CHECK-NOT:     unisparse.block_select
// CHECK:         return %[[R]], %[[J]], %[[B]], %[[H]]
func.func @select_dims(%m: tensor<?x?x?x?xf32>, %lq: index, %lk: index) -> (index, index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c, %i, %d = unisparse.block_select %m lengths [%lq, %lk] block <128x64> rule <top_k = 3>
    : (tensor<?x?x?x?xf32>, index, index) -> (tensor<?x?x?xi32>, tensor<?x?x?x?xi32>, tensor<?x?xf32>)
  %r = tensor.dim %c, %c2 : tensor<?x?x?xi32>
  %j = tensor.dim %i, %c3 : tensor<?x?x?x?xi32>
  %b = tensor.dim %d, %c0 : tensor<?x?xf32>
  %h = tensor.dim %d, %c1 : tensor<?x?xf32>
  return %r, %j, %b, %h : index, index, index, index
}

//===----------------------------------------------------------------------===//
// unisparse.block_sparse_attention
//===----------------------------------------------------------------------===//

// o has v's columns; lse has q's rows.
// CHECK-LABEL: func.func @attend_dims(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<?x8x?x?xf32>, %[[K:[a-z0-9]+]]: tensor<?x2x?x?xf32>, %[[V:[a-z0-9]+]]: tensor<?x2x?x?xf32>
// CHECK-DAG:     %[[B:.*]] = tensor.dim %[[Q]], %c0
// CHECK-DAG:     %[[L:.*]] = tensor.dim %[[Q]], %c2
// CHECK-DAG:     %[[DV:.*]] = tensor.dim %[[V]], %c3
// CHECK-NOT:     unisparse.block_sparse_attention
// CHECK:         return %[[B]], %[[DV]], %[[L]]
func.func @attend_dims(%q: tensor<?x8x?x?xf32>, %k: tensor<?x2x?x?xf32>, %v: tensor<?x2x?x?xf32>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v block <128x128> return_lse
    : (tensor<?x8x?x?xf32>, tensor<?x2x?x?xf32>, tensor<?x2x?x?xf32>) -> (tensor<?x8x?x?xf32>, tensor<?x8x?xf32>)
  %b = tensor.dim %o, %c0 : tensor<?x8x?x?xf32>
  %d = tensor.dim %o, %c3 : tensor<?x8x?x?xf32>
  %l = tensor.dim %lse, %c2 : tensor<?x8x?xf32>
  return %b, %d, %l : index, index, index
}

//===----------------------------------------------------------------------===//
// unisparse.attention
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @attention_dims(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x?x?x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x2x?x64xf32>
// CHECK-DAG:     %[[HQ:.*]] = tensor.dim %[[Q]], %c1
// CHECK-DAG:     %[[LQ:.*]] = tensor.dim %[[Q]], %c2
// CHECK-DAG:     %[[LK:.*]] = tensor.dim %[[K]], %c2
// CHECK-DAG:     %[[H:.*]] = affine.apply #[[$HALF]]()[%[[HQ]]]
// CHECK-DAG:     %[[R:.*]] = affine.apply #[[$CEIL128]]()[%[[LQ]]]
// CHECK-DAG:     %[[J:.*]] = affine.apply #[[$CEIL64]]()[%[[LK]]]
// CHECK:         return %[[LQ]], %[[H]], %[[R]], %[[J]]
func.func @attention_dims(%q: tensor<1x?x?x64xf32>, %k: tensor<1x2x?x64xf32>) -> (index, index, index, index) {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %o, %lse, %c, %i, %d = unisparse.attention %q, %k, %k block <128x64> pooling <8x8, heads = 2> rule <top_p = 0.5> return_lse
    : (tensor<1x?x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>) -> (tensor<1x?x?x64xf32>, tensor<1x?x?xf32>, tensor<1x?x?xi32>, tensor<1x?x?x?xi32>, tensor<1x?xf32>)
  %l = tensor.dim %lse, %c2 : tensor<1x?x?xf32>
  %h = tensor.dim %d, %c1 : tensor<1x?xf32>
  %r = tensor.dim %c, %c2 : tensor<1x?x?xi32>
  %j = tensor.dim %i, %c3 : tensor<1x?x?x?xi32>
  return %l, %h, %r, %j : index, index, index, index
}

// S6: no more selections than KV heads.
// CHECK-LABEL: func.func @attention_shared_dims(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x?x512x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x?x512x64xf32>
// CHECK-DAG:     %[[HQ:.*]] = tensor.dim %[[Q]], %c1
// CHECK-DAG:     %[[HKV:.*]] = tensor.dim %[[K]], %c1
// CHECK:         %[[H:.*]] = affine.min {{.*}}()[%[[HKV]], %[[HQ]]]
// CHECK:         return %[[H]]
func.func @attention_shared_dims(%q: tensor<1x?x512x64xf32>, %k: tensor<1x?x512x64xf32>) -> index {
  %c1 = arith.constant 1 : index
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 0.5> share group
    : (tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>) -> (tensor<1x?x512x64xf32>, tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  %h = tensor.dim %d, %c1 : tensor<1x?xf32>
  return %h : index
}

// L5: no fewer than the shares name; P4: composite heads.
// CHECK-LABEL: func.func @attention_packed_top_p_dims(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x8x?x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x2x?x64xf32>, %[[P:[a-z0-9]+]]: tensor<?xf32>, %[[CU:[a-z0-9]+]]: tensor<?xi32>
// CHECK-DAG:     %[[HP:.*]] = tensor.dim %[[P]], %c0
// CHECK-DAG:     %[[L:.*]] = tensor.dim %[[Q]], %c2
// CHECK-DAG:     %[[E:.*]] = tensor.dim %[[CU]], %c0
// CHECK-DAG:     %[[R:.*]] = affine.apply #[[$SLOTS128]]()[%[[E]], %[[L]]]
// CHECK-DAG:     %[[H:.*]] = affine.max #{{.*}}()[%[[HP]]]
// CHECK:         return %[[R]], %[[H]]
func.func @attention_packed_top_p_dims(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x?x64xf32>, %p: tensor<?xf32>, %cu: tensor<?xi32>) -> (index, index) {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %o, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) cu_seqlens(%cu, %cu) block <128x128> pooling <8x8, heads = 2> rule <top_p>
    : (tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>)
      -> (tensor<1x8x?x64xf32>, tensor<1x?x?xi32>, tensor<1x?x?x?xi32>, tensor<1x?xf32>)
  %r = tensor.dim %c, %c2 : tensor<1x?x?xi32>
  %h = tensor.dim %d, %c1 : tensor<1x?xf32>
  return %r, %h : index, index
}

//===----------------------------------------------------------------------===//
// Static shapes: inferred and reified shapes agree, so nothing is cast.
//===----------------------------------------------------------------------===//

// ch = 8 pools two KV heads of g = 4: as many selections as composite heads,
// under share group too (S6, P4).
// REIFY-LABEL: func.func @static_shapes(
// REIFY-NOT:     tensor.cast
// REIFY:         return
func.func @static_shapes(%q: tensor<2x16x1000x64xf16>, %k: tensor<2x4x1100x64xf16>, %v: tensor<2x4x1100x32xf16>, %p: tensor<16xf32>) -> (tensor<2x2x8xi32>, tensor<2x16x8x18xi32>) {
  %0 = unisparse.pool %q by 8 heads 8 : (tensor<2x16x1000x64xf16>) -> tensor<2x2x125x64xf16>
  %1 = unisparse.pool %k by 4 heads 2 : (tensor<2x4x1100x64xf16>) -> tensor<2x2x275x64xf16>
  %m = unisparse.block_score %0, %1 lengths [1000, 1100] block <128x64> pooling <8x4> share group : (tensor<2x2x125x64xf16>, tensor<2x2x275x64xf16>) -> tensor<2x2x8x18xf32>
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x64> pooling <8x4, heads = 8> rule <top_p = 0.5> share group
    : (tensor<2x16x1000x64xf16>, tensor<2x4x1100x64xf16>, tensor<2x4x1100x32xf16>) -> (tensor<2x16x1000x32xf16>, tensor<2x2x8xi32>, tensor<2x2x8x18xi32>, tensor<2x2xf32>)
  %o1, %c1, %i1, %d1 = unisparse.attention %q, %k, %v top_p(%p) block <128x64> pooling <8x4, heads = 8> rule <top_p>
    : (tensor<2x16x1000x64xf16>, tensor<2x4x1100x64xf16>, tensor<2x4x1100x32xf16>, tensor<16xf32>) -> (tensor<2x16x1000x32xf16>, tensor<2x16x8xi32>, tensor<2x16x8x18xi32>, tensor<2x16xf32>)
  return %c, %i1 : tensor<2x2x8xi32>, tensor<2x16x8x18xi32>
}

// -----

// L5: as many heads as the larger of mass and shares, which nobody knows here.
// CHECK-LABEL: func.func @select_top_p_dims(
// CHECK-SAME:    %[[M:[a-z0-9]+]]: tensor<1x?x4x4xf32>, %[[P:[a-z0-9]+]]: tensor<?xf32>
// CHECK-DAG:     %[[HM:.*]] = tensor.dim %[[M]], %c1
// CHECK-DAG:     %[[HP:.*]] = tensor.dim %[[P]], %c0
// CHECK:         %[[H:.*]] = affine.max #{{.*}}()[%[[HM]], %[[HP]]]
// CHECK:         return %[[H]]
func.func @select_top_p_dims(%m: tensor<1x?x4x4xf32>, %p: tensor<?xf32>) -> index {
  %c1 = arith.constant 1 : index
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p>
    : (tensor<1x?x4x4xf32>, tensor<?xf32>) -> (tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  %h = tensor.dim %d, %c1 : tensor<1x?xf32>
  return %h : index
}

// -----

// Nor is one of them known to be the larger.
// CHECK-LABEL: func.func @select_top_p_unknown(
// CHECK:         -> (tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
func.func @select_top_p_unknown(%m: tensor<1x2x4x4xf32>, %p: tensor<?xf32>) -> tensor<1x?xf32> {
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p>
    : (tensor<1x2x4x4xf32>, tensor<?xf32>) -> (tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  return %d : tensor<1x?xf32>
}
