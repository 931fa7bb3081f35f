// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-decompose-attention -split-input-file | FileCheck %s

// CHECK-LABEL: func.func @stages(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x4x512x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x2x500x64xf32>, %[[V:[a-z0-9]+]]: tensor<1x2x500x32xf32>
// CHECK-DAG:     %[[QC:.*]] = unisparse.pool %[[Q]] by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
// CHECK-DAG:     %[[KC:.*]] = unisparse.pool %[[K]] by 4 : (tensor<1x2x500x64xf32>) -> tensor<1x2x125x64xf32>
// CHECK:         %[[M:.*]] = unisparse.block_score %[[QC]], %[[KC]] lengths [512, 500] block <128x64> pooling <8x4> agg sum scale 5.000000e-01 alpha 2.000000e+00 :
// CHECK-SAME:      -> tensor<1x4x4x8xf32>
// CHECK:         %[[C:.*]], %[[I:.*]], %[[D:.*]] = unisparse.block_select %[[M]] lengths [512, 500] block <128x64> rule <top_p = 0.5, local = 2> :
// CHECK:         %[[O:.*]], %[[LSE:.*]] = unisparse.block_sparse_attention %[[Q]], %[[K]], %[[V]] selection(%[[C]], %[[I]]) block <128x64> return_lse scale 5.000000e-01 :
// CHECK-NOT:     unisparse.attention
// CHECK:         return %[[O]], %[[LSE]], %[[C]], %[[I]], %[[D]]
func.func @stages(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x500x64xf32>, %v: tensor<1x2x500x32xf32>)
    -> (tensor<1x4x512x32xf32>, tensor<1x4x512xf32>, tensor<1x4x4xi32>, tensor<1x4x4x8xi32>, tensor<1x4xf32>) {
  %o, %lse, %c, %i, %d = unisparse.attention %q, %k, %v block <128x64> pooling <8x4> rule <top_p = 0.5, local = 2> agg sum return_lse scale 0.5 alpha 2.0
    : (tensor<1x4x512x64xf32>, tensor<1x2x500x64xf32>, tensor<1x2x500x32xf32>)
      -> (tensor<1x4x512x32xf32>, tensor<1x4x512xf32>, tensor<1x4x4xi32>, tensor<1x4x4x8xi32>, tensor<1x4xf32>)
  return %o, %lse, %c, %i, %d : tensor<1x4x512x32xf32>, tensor<1x4x512xf32>, tensor<1x4x4xi32>, tensor<1x4x4x8xi32>, tensor<1x4xf32>
}

// causal, the shares and share group go to the stages that read them.
// CHECK-LABEL: func.func @shares(
// CHECK-SAME:    %[[P:[a-z0-9]+]]: tensor<2xf32>
// CHECK:         %[[M:.*]] = unisparse.block_score {{.*}} share group causal : {{.*}} -> tensor<1x2x4x4xf32>
// CHECK:         unisparse.block_select %[[M]] top_p(%[[P]]) lengths [512, 512] block <128x128> rule <top_p> causal :
// CHECK:         unisparse.block_sparse_attention {{.*}} block <128x128> causal :
func.func @shares(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %p: tensor<2xf32>) -> tensor<1x4x512x64xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) block <128x128> pooling <8x8> rule <top_p> share group causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<2xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return %o : tensor<1x4x512x64xf32>
}

// P4, ch <= g: the shared KV head is used as it is.
// CHECK-LABEL: func.func @pooled_heads_within_group(
// CHECK:         unisparse.pool %{{.*}} by 8 heads 2 : (tensor<1x8x512x64xf32>) -> tensor<1x4x64x64xf32>
// CHECK:         unisparse.pool %{{.*}} by 8 : (tensor<1x2x512x64xf32>) -> tensor<1x2x64x64xf32>
func.func @pooled_heads_within_group(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x4xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8, heads = 2> rule <top_k = 2>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  return %d : tensor<1x4xf32>
}

// P4, ch = 2 g: two KV heads are averaged too.
// CHECK-LABEL: func.func @pooled_heads_over_groups(
// CHECK:         unisparse.pool %{{.*}} by 8 heads 4 : (tensor<1x8x512x64xf32>) -> tensor<1x2x64x64xf32>
// CHECK:         unisparse.pool %{{.*}} by 8 heads 2 : (tensor<1x4x512x64xf32>) -> tensor<1x2x64x64xf32>
// CHECK:         unisparse.block_score {{.*}} -> tensor<1x2x4x4xf32>
func.func @pooled_heads_over_groups(%q: tensor<1x8x512x64xf32>, %k: tensor<1x4x512x64xf32>) -> tensor<1x2xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8, heads = 4> rule <top_k = 2> share group
    : (tensor<1x8x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return %d : tensor<1x2xf32>
}

// A rule that takes every candidate estimates nothing, and attends to all.
// CHECK-LABEL: func.func @dense(
// CHECK-NOT:     unisparse.pool
// CHECK-NOT:     unisparse.block_score
// CHECK:         %[[E:.*]] = tensor.empty() : tensor<1x4x4x4xf32>
// CHECK:         %[[C:.*]], %[[I:.*]], %[[D:.*]] = unisparse.block_select %[[E]] lengths [512, 512] block <128x128> rule <all> causal :
// CHECK:         %[[O:.*]] = unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <128x128> causal :
// CHECK:         return %[[O]], %[[C]]
func.func @dense(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> (tensor<1x4x512x64xf32>, tensor<1x4x4xi32>) {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <all> causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  return %o, %c : tensor<1x4x512x64xf32>, tensor<1x4x4xi32>
}

// -----

// CHECK-LABEL: func.func @packed_dynamic(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x4x?x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x2x?x64xf32>, %[[CQ:[a-z0-9]+]]: tensor<?xi32>, %[[CK:[a-z0-9]+]]: tensor<?xi32>
// CHECK:         %[[QC:.*]] = unisparse.pool %[[Q]] cu_seqlens(%[[CQ]]) by 8 :
// CHECK:         %[[KC:.*]] = unisparse.pool %[[K]] cu_seqlens(%[[CK]]) by 8 :
// CHECK-DAG:     %[[LQ:.*]] = tensor.dim %[[Q]], %c2
// CHECK-DAG:     %[[LK:.*]] = tensor.dim %[[K]], %c2
// CHECK:         unisparse.block_score %[[QC]], %[[KC]] lengths [%[[LQ]], %[[LK]]] cu_seqlens(%[[CQ]], %[[CK]]) block <128x128>
// CHECK:         unisparse.block_select {{.*}} cu_seqlens(%[[CQ]], %[[CK]]) block <128x128>
// CHECK:         unisparse.block_sparse_attention %[[Q]], %[[K]], %[[K]] selection({{.*}}) cu_seqlens(%[[CQ]], %[[CK]]) block <128x128>
func.func @packed_dynamic(%q: tensor<1x4x?x64xf32>, %k: tensor<1x2x?x64xf32>, %cq: tensor<?xi32>, %ck: tensor<?xi32>) -> tensor<1x4x?x64xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k cu_seqlens(%cq, %ck) block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>, tensor<?xi32>, tensor<?xi32>)
      -> (tensor<1x4x?x64xf32>, tensor<1x4x?xi32>, tensor<1x4x?x?xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x?x64xf32>
}

// The shape of the mass that a dense rule only names.
// CHECK-LABEL: func.func @dense_packed_dynamic(
// CHECK-NOT:     unisparse.block_score
// CHECK:         tensor.empty(%{{.*}}, %{{.*}}) : tensor<1x4x?x?xf32>
// CHECK:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} cu_seqlens
func.func @dense_packed_dynamic(%q: tensor<1x4x?x64xf32>, %k: tensor<1x2x?x64xf32>, %cq: tensor<?xi32>, %ck: tensor<?xi32>) -> tensor<1x4x?x64xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k cu_seqlens(%cq, %ck) block <128x128> pooling <8x8> rule <all>
    : (tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>, tensor<?xi32>, tensor<?xi32>)
      -> (tensor<1x4x?x64xf32>, tensor<1x4x?xi32>, tensor<1x4x?x?xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x?x64xf32>
}

// Nobody knows how many shares there are, nor then how many selections.
// CHECK-LABEL: func.func @dynamic_shares(
// CHECK:         %[[C:.*]], %{{.*}}, %{{.*}} = unisparse.block_select {{.*}} top_p(%{{.*}}) {{.*}} -> (tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
// CHECK:         unisparse.block_sparse_attention {{.*}} selection(%[[C]],
func.func @dynamic_shares(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %p: tensor<?xf32>) -> (tensor<1x4x512x64xf32>, tensor<1x?xf32>) {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) block <128x128> pooling <8x8, heads = 2> rule <top_p>
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<?xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x?x4xi32>, tensor<1x?x4x4xi32>, tensor<1x?xf32>)
  return %o, %d : tensor<1x4x512x64xf32>, tensor<1x?xf32>
}

// -----

// A dynamic dim whose size the IR happens to know keeps its type.
// CHECK-LABEL: func.func @dense_size_known_to_ir(
// CHECK:         return %{{.*}} : tensor<1x4x?xi32>
func.func @dense_size_known_to_ir(%x: tensor<1x4x600x64xf32>, %k: tensor<1x4x512x64xf32>) -> tensor<1x4x?xi32> {
  %c512 = arith.constant 512 : index
  %q = tensor.extract_slice %x[0, 0, 0, 0] [1, 4, %c512, 64] [1, 1, 1, 1] : tensor<1x4x600x64xf32> to tensor<1x4x?x64xf32>
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <all>
    : (tensor<1x4x?x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> (tensor<1x4x?x64xf32>, tensor<1x4x?xi32>, tensor<1x4x?x4xi32>, tensor<1x4xf32>)
  return %c : tensor<1x4x?xi32>
}

// I5 is about what is pooled: a rule that takes every candidate pools nothing,
// canonicalised or not, and its factors divide what they like.
// CHECK-LABEL: func.func @nothing_pooled(
// CHECK-NOT:     unisparse.pool
// CHECK-NOT:     unisparse.block_score
// CHECK:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <100x60> causal
// CHECK-NOT:     unisparse.pool
// CHECK-NOT:     unisparse.block_score
// CHECK:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <100x60> causal
// CHECK-NOT:     unisparse.pool
// CHECK-NOT:     unisparse.block_score
// CHECK:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <100x60> causal
// CHECK:         return
func.func @nothing_pooled(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) {
  %a, %c, %i, %d = unisparse.attention %q, %k, %k block <100x60> pooling <8x8> rule <all> causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x6xi32>, tensor<1x4x6x9xi32>, tensor<1x4xf32>)
  %b, %c1, %i1, %d1 = unisparse.attention %q, %k, %k block <100x60> pooling <8x8> rule <top_p = 1.0> causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x6xi32>, tensor<1x4x6x9xi32>, tensor<1x4xf32>)
  %o, %c2, %i2, %d2 = unisparse.attention %q, %k, %k block <100x60> pooling <8x8> rule <top_k = 3, dense_below = 512> causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x6xi32>, tensor<1x4x6x9xi32>, tensor<1x4xf32>)
  return %a, %b, %o : tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>
}
