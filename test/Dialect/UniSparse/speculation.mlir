// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Invariant stages leave loops, as long as they rely on no promise that may
// only hold where they stand: of packed ends, given selections, or lengths
// under causal.

// RUN: unisparse-opt %s --loop-invariant-code-motion | FileCheck %s

func.func private @use(tensor<1x8x64x64xf32>)
func.func private @use_dynamic(tensor<1x8x?x64xf32>)
func.func private @use_o(tensor<1x8x512x64xf32>)
func.func private @use_c(tensor<1x8x4xi32>)

// CHECK-LABEL: func.func @hoisted(
// CHECK-DAG:     unisparse.pool
// CHECK-DAG:     unisparse.block_select
// CHECK-DAG:     unisparse.block_sparse_attention
// CHECK:         scf.for
// CHECK-NOT:       unisparse.
// CHECK:         return
func.func @hoisted(%n: index, %x: tensor<1x8x512x64xf32>, %m: tensor<1x8x4x4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x64xf32>
    func.call @use(%0) : (tensor<1x8x64x64xf32>) -> ()
    %c, %s, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_k = 2> causal : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
    func.call @use_c(%c) : (tensor<1x8x4xi32>) -> ()
    %o = unisparse.block_sparse_attention %x, %x, %x block <128x128> causal : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32>
    func.call @use_o(%o) : (tensor<1x8x512x64xf32>) -> ()
  }
  return
}

// The lengths of a score are a promise about its composites, causal or not.
// CHECK-LABEL: func.func @dynamic_lengths(
// CHECK:         scf.for
// CHECK:           unisparse.block_score
func.func private @use_m(tensor<1x8x?x?xf32>)
func.func @dynamic_lengths(%n: index, %l: index, %x: tensor<1x8x?x64xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %0 = unisparse.block_score %x, %x lengths [%l, %l] block <128x128> pooling <8x8> : (tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>, index, index) -> tensor<1x8x?x?xf32>
    func.call @use_m(%0) : (tensor<1x8x?x?xf32>) -> ()
  }
  return
}

// CHECK-LABEL: func.func @packed(
// CHECK:         scf.for
// CHECK:           unisparse.pool
func.func @packed(%n: index, %x: tensor<1x8x?x64xf32>, %cu: tensor<?xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x?x64xf32>, tensor<?xi32>) -> tensor<1x8x?x64xf32>
    func.call @use_dynamic(%0) : (tensor<1x8x?x64xf32>) -> ()
  }
  return
}

// CHECK-LABEL: func.func @given_selection(
// CHECK:         scf.for
// CHECK:           unisparse.block_sparse_attention
func.func @given_selection(%n: index, %x: tensor<1x8x512x64xf32>, %c: tensor<1x8x4xi32>, %s: tensor<1x8x4x4xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %o = unisparse.block_sparse_attention %x, %x, %x selection(%c, %s) block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>) -> tensor<1x8x512x64xf32>
    func.call @use_o(%o) : (tensor<1x8x512x64xf32>) -> ()
  }
  return
}

// CHECK-LABEL: func.func @causal_lengths(
// CHECK:         scf.for
// CHECK:           unisparse.block_sparse_attention
func.func @causal_lengths(%n: index, %q: tensor<1x8x512x64xf32>, %k: tensor<1x8x?x64xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %o = unisparse.block_sparse_attention %q, %k, %k block <128x128> causal : (tensor<1x8x512x64xf32>, tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>) -> tensor<1x8x512x64xf32>
    func.call @use_o(%o) : (tensor<1x8x512x64xf32>) -> ()
  }
  return
}
