// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What types leave open is asserted before a stage starts; what they settle is not.

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @attend(
// CHECK:         cf.assert %{{.*}}, "I2: q.size(0) == k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I2: q.size(0) == v.size(0)"
// CHECK:         cf.assert %{{.*}}, "I4: k.size(2) == v.size(2)"
// CHECK:         %[[FITS:.*]] = arith.cmpi sle, %{{.*}}, %{{.*}} : index
// CHECK:         cf.assert %[[FITS]], "I7: the length of q <= the length of k"
// CHECK:         cf.assert %{{.*}}, "A4: q.size(0) == counts.size(0)"
// CHECK:         cf.assert %{{.*}}, "A4: counts.size(0) == indices.size(0)"
// CHECK:         cf.assert %{{.*}}, "A4: counts.size(2) == query blocks"
// CHECK:         cf.assert %{{.*}}, "A4: indices.size(2) == query blocks"
// CHECK-NOT:     cf.assert
// CHECK:         scf.parallel
func.func @attend(%q: tensor<?x4x?x64xf32>, %k: tensor<?x2x?x64xf32>, %v: tensor<?x2x?x64xf32>, %c: tensor<?x4x?xi32>, %i: tensor<?x4x?x?xi32>) -> tensor<?x4x?x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <32x32> causal
    : (tensor<?x4x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x4x?xi32>, tensor<?x4x?x?xi32>) -> tensor<?x4x?x64xf32>
  return %o : tensor<?x4x?x64xf32>
}

// -----

// CHECK-LABEL: func.func @settled(
// CHECK-NOT:     cf.assert
// CHECK:         return
func.func @settled(%q: tensor<2x4x100x64xf32>, %k: tensor<2x2x200x64xf32>) -> tensor<2x4x100x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k block <32x32> causal
    : (tensor<2x4x100x64xf32>, tensor<2x2x200x64xf32>, tensor<2x2x200x64xf32>) -> tensor<2x4x100x64xf32>
  return %o : tensor<2x4x100x64xf32>
}

// -----

// CHECK-LABEL: func.func @packed(
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens_q.size(0) == cu_seqlens_k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I8: 1 <= cu_seqlens_q.size(0)"
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens_q[0] == 0"
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens_q[S] == the length"
// CHECK:         scf.for
// CHECK:           cf.assert %{{.*}}, "I8: cu_seqlens_q[i] <= cu_seqlens_q[i + 1]"
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens_k[0] == 0"
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens_k[S] == the length"
// CHECK:         scf.for
// CHECK:           cf.assert %{{.*}}, "I8: cu_seqlens_k[i] <= cu_seqlens_k[i + 1]"
// CHECK:         scf.for
// CHECK:           cf.assert %{{.*}}, "I7: the queries of a sequence <= its keys"
// CHECK:         scf.parallel
func.func @packed(%q: tensor<1x4x100x64xf32>, %k: tensor<1x2x200x64xf32>, %a: tensor<?xi32>, %b: tensor<?xi32>) -> tensor<1x4x100x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k cu_seqlens(%a, %b) block <32x32> causal
    : (tensor<1x4x100x64xf32>, tensor<1x2x200x64xf32>, tensor<1x2x200x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<1x4x100x64xf32>
  return %o : tensor<1x4x100x64xf32>
}

// -----

// CHECK-LABEL: func.func @estimate(
// CHECK:         cf.assert %{{.*}}, "I2: q.size(0) == k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I7: the length of q <= the length of k"
// CHECK:         cf.assert %{{.*}}, "S4: q.size(2) == the composites of its length"
// CHECK:         cf.assert %{{.*}}, "S4: k.size(2) == the composites of its length"
// CHECK:         scf.parallel
func.func @estimate(%q: tensor<?x4x?x64xf32>, %k: tensor<?x2x?x64xf32>, %lq: index, %lk: index) -> tensor<?x4x?x?xf32> {
  %m = unisparse.block_score %q, %k lengths [%lq, %lk] block <32x32> pooling <8x8> causal
    : (tensor<?x4x?x64xf32>, tensor<?x2x?x64xf32>, index, index) -> tensor<?x4x?x?xf32>
  return %m : tensor<?x4x?x?xf32>
}

// -----

// CHECK-LABEL: func.func @select(
// CHECK:         cf.assert %{{.*}}, "I7: the length of q <= the length of k"
// CHECK:         cf.assert %{{.*}}, "L6: mass.size(2) == query blocks"
// CHECK:         cf.assert %{{.*}}, "L6: mass.size(3) == key blocks"
// CHECK:         scf.parallel
func.func @select(%m: tensor<?x4x?x?xf32>, %lq: index, %lk: index) -> tensor<?x4x?x?xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [%lq, %lk] block <32x32> rule <top_p = 0.5> causal
    : (tensor<?x4x?x?xf32>, index, index) -> (tensor<?x4x?xi32>, tensor<?x4x?x?xi32>, tensor<?x4xf32>)
  return %i : tensor<?x4x?x?xi32>
}

// -----

// CHECK-LABEL: func.func @pool(
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens[0] == 0"
// CHECK:         cf.assert %{{.*}}, "I8: cu_seqlens[S] == the length"
// CHECK:           cf.assert %{{.*}}, "I8: cu_seqlens[i] <= cu_seqlens[i + 1]"
// CHECK:         scf.parallel
func.func @pool(%x: tensor<1x4x100x64xf32>, %cu: tensor<3xi32>) -> tensor<1x4x14x64xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x4x100x64xf32>, tensor<3xi32>) -> tensor<1x4x14x64xf32>
  return %0 : tensor<1x4x14x64xf32>
}
