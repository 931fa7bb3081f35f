// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Every op through the text, the generic form and bytecode. Options that have
// their default value are not printed.

// RUN: unisparse-opt %s --verify-roundtrip | FileCheck %s
// RUN: unisparse-opt %s --mlir-print-op-generic | unisparse-opt | FileCheck %s
// RUN: unisparse-opt %s --emit-bytecode | unisparse-opt | FileCheck %s
// RUN: unisparse-opt %s --mlir-print-op-generic | FileCheck %s --check-prefix=GENERIC

//===----------------------------------------------------------------------===//
// unisparse.pool
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @pool(
// CHECK-SAME:    %[[X:.*]]: tensor<2x8x1001x64xf16>
// CHECK:         %composites = unisparse.pool %[[X]] by 8 : (tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16>
// GENERIC:       "unisparse.pool"(%{{.*}}) <{block = 0 : i64, by = 8 : i64, heads = 1 : i64, norms = 0 : i64, representatives = 0 : i64, spread = 0 : i64}>
func.func @pool(%x: tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16> {
  %0 = unisparse.pool %x by 8 : (tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16>
  return %0 : tensor<2x8x126x64xf16>
}

// CHECK-LABEL: func.func @pool_one_head(
// CHECK:         unisparse.pool %{{.*}} by 8 : (
func.func @pool_one_head(%x: tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16> {
  %0 = unisparse.pool %x by 8 heads 1 : (tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16>
  return %0 : tensor<2x8x126x64xf16>
}

// CHECK-LABEL: func.func @pool_heads(
// CHECK:         unisparse.pool %{{.*}} by 8 heads 4 : (tensor<1x8x1024x64xbf16>) -> tensor<1x2x128x64xbf16>
func.func @pool_heads(%x: tensor<1x8x1024x64xbf16>) -> tensor<1x2x128x64xbf16> {
  %0 = unisparse.pool %x by 8 heads 4 : (tensor<1x8x1024x64xbf16>) -> tensor<1x2x128x64xbf16>
  return %0 : tensor<1x2x128x64xbf16>
}

// CHECK-LABEL: func.func @pool_packed(
// CHECK-SAME:    %[[X:.*]]: tensor<1x8x1000x64xf32>, %[[CU:.*]]: tensor<4xi32>
// CHECK:         unisparse.pool %[[X]] cu_seqlens(%[[CU]]) by 16 heads 2 : (tensor<1x8x1000x64xf32>, tensor<4xi32>) -> tensor<1x4x65x64xf32>
func.func @pool_packed(%x: tensor<1x8x1000x64xf32>, %cu: tensor<4xi32>) -> tensor<1x4x65x64xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 16 heads 2 : (tensor<1x8x1000x64xf32>, tensor<4xi32>) -> tensor<1x4x65x64xf32>
  return %0 : tensor<1x4x65x64xf32>
}

// CHECK-LABEL: func.func @pool_dynamic(
// CHECK:         unisparse.pool %{{.*}} cu_seqlens(%{{.*}}) by 8 heads 2 : (tensor<?x?x?x?xf32>, tensor<?xi32>) -> tensor<?x?x?x?xf32>
func.func @pool_dynamic(%x: tensor<?x?x?x?xf32>, %cu: tensor<?xi32>) -> tensor<?x?x?x?xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 heads 2 : (tensor<?x?x?x?xf32>, tensor<?xi32>) -> tensor<?x?x?x?xf32>
  return %0 : tensor<?x?x?x?xf32>
}

// Attributes of others stay.
// CHECK-LABEL: func.func @pool_attr_dict(
// CHECK:         unisparse.pool %{{.*}} by 8 {test.note = "kept"} :
func.func @pool_attr_dict(%x: tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16> {
  %0 = unisparse.pool %x by 8 {test.note = "kept"} : (tensor<2x8x1001x64xf16>) -> tensor<2x8x126x64xf16>
  return %0 : tensor<2x8x126x64xf16>
}

//===----------------------------------------------------------------------===//
// unisparse.block_score
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @score(
// CHECK-SAME:    %[[Q:.*]]: tensor<1x8x512x64xf16>, %[[K:.*]]: tensor<1x2x512x64xf16>
// CHECK:         %mass = unisparse.block_score %[[Q]], %[[K]] lengths [4096, 4096] block <128x128> pooling <8x8> :
// CHECK-SAME:      -> tensor<1x8x32x32xf32>
func.func @score(%q: tensor<1x8x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x8x32x32xf32> {
  %0 = unisparse.block_score %q, %k lengths [4096, 4096] block <128x128> pooling <8x8>
    : (tensor<1x8x512x64xf16>, tensor<1x2x512x64xf16>) -> tensor<1x8x32x32xf32>
  return %0 : tensor<1x8x32x32xf32>
}

// CHECK-LABEL: func.func @score_defaults(
// CHECK:         lengths [4096, 4096] block <128x128> pooling <8x8> :
func.func @score_defaults(%q: tensor<1x8x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x8x32x32xf32> {
  %0 = unisparse.block_score %q, %k lengths [4096, 4096] block <128x128> pooling <8x8, heads = 1>
    agg max share none alpha 1.0
    : (tensor<1x8x512x64xf16>, tensor<1x2x512x64xf16>) -> tensor<1x8x32x32xf32>
  return %0 : tensor<1x8x32x32xf32>
}

// CHECK-LABEL: func.func @score_options(
// CHECK:         lengths [4000, 5000] block <128x64> pooling <8x4> agg sum share group causal scale 1.250000e-01 alpha 5.000000e-01 :
// CHECK-SAME:      -> tensor<1x2x32x79xf32>
func.func @score_options(%q: tensor<1x8x500x64xf16>, %k: tensor<1x2x1250x64xf16>) -> tensor<1x2x32x79xf32> {
  %0 = unisparse.block_score %q, %k lengths [4000, 5000] block <128x64> pooling <8x4>
    agg sum share group causal scale 0.125 alpha 0.5
    : (tensor<1x8x500x64xf16>, tensor<1x2x1250x64xf16>) -> tensor<1x2x32x79xf32>
  return %0 : tensor<1x2x32x79xf32>
}

// CHECK-LABEL: func.func @score_packed(
// CHECK-SAME:    %[[CQ:[a-z0-9]+]]: tensor<4xi32>, %[[CK:[a-z0-9]+]]: tensor<4xi32>
// CHECK:         lengths [1000, 1100] cu_seqlens(%[[CQ]], %[[CK]]) block <128x128> pooling <8x8> :
// CHECK-SAME:      -> tensor<1x8x10x9xf32>
func.func @score_packed(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x140x64xf32>, %cq: tensor<4xi32>, %ck: tensor<4xi32>) -> tensor<1x8x10x9xf32> {
  %0 = unisparse.block_score %q, %k lengths [1000, 1100] cu_seqlens(%cq, %ck) block <128x128> pooling <8x8>
    : (tensor<1x8x128x64xf32>, tensor<1x2x140x64xf32>, tensor<4xi32>, tensor<4xi32>) -> tensor<1x8x10x9xf32>
  return %0 : tensor<1x8x10x9xf32>
}

// CHECK-LABEL: func.func @score_dynamic(
// CHECK-SAME:    %[[LK:[a-z0-9]+]]: index
// CHECK:         lengths [4096, %[[LK]]] block <128x128> pooling <8x8> causal :
// CHECK-SAME:      (tensor<?x8x512x64xf32>, tensor<?x2x?x64xf32>, index) -> tensor<?x8x32x?xf32>
func.func @score_dynamic(%q: tensor<?x8x512x64xf32>, %k: tensor<?x2x?x64xf32>, %lk: index) -> tensor<?x8x32x?xf32> {
  %0 = unisparse.block_score %q, %k lengths [4096, %lk] block <128x128> pooling <8x8> causal
    : (tensor<?x8x512x64xf32>, tensor<?x2x?x64xf32>, index) -> tensor<?x8x32x?xf32>
  return %0 : tensor<?x8x32x?xf32>
}

//===----------------------------------------------------------------------===//
// unisparse.block_select
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @select(
// CHECK-SAME:    %[[M:.*]]: tensor<1x8x32x32xf32>
// CHECK:         %counts, %indices, %density = unisparse.block_select %[[M]] lengths [4096, 4096] block <128x128> rule <top_p = 0.9> causal :
func.func @select(%m: tensor<1x8x32x32xf32>) -> tensor<1x8x32xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_p = 0.9, sink = 1, local = 1, min_blocks = 0, dense_below = 0> causal
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x32xi32>
}

// CHECK-LABEL: func.func @select_options(
// CHECK:         rule <top_k = 4, sink = 0, local = 3, min_blocks = 2, max_blocks = 0, dense_below = 2048> :
func.func @select_options(%m: tensor<1x8x32x32xf32>) -> tensor<1x8x32xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_k = 4, dense_below = 2048, max_blocks = 0, min_blocks = 2, local = 3, sink = 0>
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x32xi32>
}

// More shares than masses: a selection for each share [L5].
// CHECK-LABEL: func.func @select_top_p(
// CHECK-SAME:    %[[M:[a-z0-9]+]]: tensor<1x2x32x32xf32>, %[[P:[a-z0-9]+]]: tensor<8xf32>
// CHECK:         unisparse.block_select %[[M]] top_p(%[[P]]) lengths [4096, 4096] block <128x128> rule <top_p> :
// CHECK-SAME:      -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
func.func @select_top_p(%m: tensor<1x2x32x32xf32>, %p: tensor<8xf32>) -> tensor<1x8x32xi32> {
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [4096, 4096] block <128x128> rule <top_p>
    : (tensor<1x2x32x32xf32>, tensor<8xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x32xi32>
}

// CHECK-LABEL: func.func @select_packed_dynamic(
// CHECK-SAME:    %[[LQ:[a-z0-9]+]]: index, %[[LK:[a-z0-9]+]]: index
// CHECK:         lengths [%[[LQ]], %[[LK]]] cu_seqlens(%{{.*}}, %{{.*}}) block <128x128> rule <all> causal :
func.func @select_packed_dynamic(%m: tensor<1x8x?x?xf32>, %lq: index, %lk: index, %cq: tensor<?xi32>, %ck: tensor<?xi32>) -> tensor<1x8x?xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [%lq, %lk] cu_seqlens(%cq, %ck) block <128x128> rule <all> causal
    : (tensor<1x8x?x?xf32>, index, index, tensor<?xi32>, tensor<?xi32>) -> (tensor<1x8x?xi32>, tensor<1x8x?x?xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x?xi32>
}

//===----------------------------------------------------------------------===//
// unisparse.block_sparse_attention
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @attend(
// CHECK:         %o = unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <64x32> : (tensor<1x8x100x64xf32>, tensor<1x2x90x64xf32>, tensor<1x2x90x16xf32>) -> tensor<1x8x100x16xf32>
func.func @attend(%q: tensor<1x8x100x64xf32>, %k: tensor<1x2x90x64xf32>, %v: tensor<1x2x90x16xf32>) -> tensor<1x8x100x16xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x32>
    : (tensor<1x8x100x64xf32>, tensor<1x2x90x64xf32>, tensor<1x2x90x16xf32>) -> tensor<1x8x100x16xf32>
  return %o : tensor<1x8x100x16xf32>
}

// CHECK-LABEL: func.func @attend_options(
// CHECK-SAME:    %[[C:[a-z0-9]+]]: tensor<1x2x2xi32>, %[[I:[a-z0-9]+]]: tensor<1x2x2x3xi32>
// CHECK:         %o, %lse = unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} selection(%[[C]], %[[I]]) block <64x32> causal return_lse scale 1.250000e-01 :
// CHECK-SAME:      -> (tensor<1x8x90x16xf16>, tensor<1x8x90xf32>)
func.func @attend_options(%q: tensor<1x8x90x64xf16>, %k: tensor<1x2x90x64xf16>, %v: tensor<1x2x90x16xf16>, %c: tensor<1x2x2xi32>, %i: tensor<1x2x2x3xi32>) -> (tensor<1x8x90x16xf16>, tensor<1x8x90xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <64x32> causal return_lse scale 0.125
    : (tensor<1x8x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x90x16xf16>, tensor<1x2x2xi32>, tensor<1x2x2x3xi32>)
      -> (tensor<1x8x90x16xf16>, tensor<1x8x90xf32>)
  return %o, %lse : tensor<1x8x90x16xf16>, tensor<1x8x90xf32>
}

// Rows of indices are as long as the largest count needs, or longer (A4).
// CHECK-LABEL: func.func @attend_columns(
// CHECK-COUNT-3: selection(
func.func @attend_columns(%q: tensor<1x8x90x64xf16>, %k: tensor<1x2x90x64xf16>, %c: tensor<1x2x2xi32>, %none: tensor<1x2x2x0xi32>, %one: tensor<1x2x2x1xi32>, %four: tensor<1x2x2x4xi32>) {
  %0 = unisparse.block_sparse_attention %q, %k, %k selection(%c, %none) block <64x32>
    : (tensor<1x8x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x2xi32>, tensor<1x2x2x0xi32>) -> tensor<1x8x90x64xf16>
  %1 = unisparse.block_sparse_attention %q, %k, %k selection(%c, %one) block <64x32>
    : (tensor<1x8x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x2xi32>, tensor<1x2x2x1xi32>) -> tensor<1x8x90x64xf16>
  %4 = unisparse.block_sparse_attention %q, %k, %k selection(%c, %four) block <64x32>
    : (tensor<1x8x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x90x64xf16>, tensor<1x2x2xi32>, tensor<1x2x2x4xi32>) -> tensor<1x8x90x64xf16>
  return
}

// CHECK-LABEL: func.func @attend_packed_dynamic(
// CHECK:         selection(%{{.*}}, %{{.*}}) cu_seqlens(%{{.*}}, %{{.*}}) block <64x32> :
func.func @attend_packed_dynamic(%q: tensor<1x8x?x64xbf16>, %k: tensor<1x2x?x64xbf16>, %c: tensor<1x8x?xi32>, %i: tensor<1x8x?x?xi32>, %cq: tensor<?xi32>, %ck: tensor<?xi32>) -> tensor<1x8x?x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) cu_seqlens(%cq, %ck) block <64x32>
    : (tensor<1x8x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x8x?xi32>, tensor<1x8x?x?xi32>, tensor<?xi32>, tensor<?xi32>) -> tensor<1x8x?x64xbf16>
  return %o : tensor<1x8x?x64xbf16>
}

//===----------------------------------------------------------------------===//
// unisparse.attention
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @attention(
// CHECK:         %o, %counts, %indices, %density = unisparse.attention %{{.*}}, %{{.*}}, %{{.*}} block <128x128> pooling <8x8> rule <top_p = 0.9> :
func.func @attention(%q: tensor<1x8x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x8xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 0.9> agg max share none alpha 1.0
    : (tensor<1x8x512x64xf16>, tensor<1x2x512x64xf16>, tensor<1x2x512x64xf16>)
      -> (tensor<1x8x512x64xf16>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %d : tensor<1x8xf32>
}

// CHECK-LABEL: func.func @attention_options(
// CHECK-SAME:    %[[P:[a-z0-9]+]]: tensor<2xf32>
// CHECK:         %o, %lse, %counts, %indices, %density = unisparse.attention %{{.*}}, %{{.*}}, %{{.*}} top_p(%[[P]]) block <128x128> pooling <8x8, heads = 2> rule <top_p, local = 2> agg sum share group causal return_lse scale 2.500000e-01 alpha 2.000000e+00 :
// CHECK-SAME:      -> (tensor<1x8x512x64xf16>, tensor<1x8x512xf32>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
func.func @attention_options(%q: tensor<1x8x512x64xf16>, %k: tensor<1x2x512x64xf16>, %p: tensor<2xf32>) -> tensor<1x2xf32> {
  %o, %lse, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) block <128x128> pooling <8x8, heads = 2> rule <top_p, local = 2>
    agg sum share group causal return_lse scale 0.25 alpha 2.0
    : (tensor<1x8x512x64xf16>, tensor<1x2x512x64xf16>, tensor<1x2x512x64xf16>, tensor<2xf32>)
      -> (tensor<1x8x512x64xf16>, tensor<1x8x512xf32>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return %d : tensor<1x2xf32>
}

// CHECK-LABEL: func.func @attention_packed(
// CHECK:         cu_seqlens(%{{.*}}, %{{.*}}) block <128x128> pooling <8x8> rule <top_k = 8> causal :
// CHECK-SAME:      -> (tensor<1x8x1000x64xf16>, tensor<1x8x10xi32>, tensor<1x8x10x8xi32>, tensor<1x8xf32>)
func.func @attention_packed(%q: tensor<1x8x1000x64xf16>, %k: tensor<1x2x1000x64xf16>, %cu: tensor<4xi32>) -> tensor<1x8xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k cu_seqlens(%cu, %cu) block <128x128> pooling <8x8> rule <top_k = 8> causal
    : (tensor<1x8x1000x64xf16>, tensor<1x2x1000x64xf16>, tensor<1x2x1000x64xf16>, tensor<4xi32>, tensor<4xi32>)
      -> (tensor<1x8x1000x64xf16>, tensor<1x8x10xi32>, tensor<1x8x10x8xi32>, tensor<1x8xf32>)
  return %d : tensor<1x8xf32>
}

// CHECK-LABEL: func.func @attention_dynamic(
// CHECK:         unisparse.attention %{{.*}}, %{{.*}}, %{{.*}} block <128x128> pooling <8x8> rule <all> causal :
func.func @attention_dynamic(%q: tensor<?x8x?x64xf32>, %k: tensor<?x2x?x64xf32>) -> tensor<?x8xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <all> causal
    : (tensor<?x8x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>)
      -> (tensor<?x8x?x64xf32>, tensor<?x8x?xi32>, tensor<?x8x?x?xi32>, tensor<?x8xf32>)
  return %d : tensor<?x8xf32>
}
