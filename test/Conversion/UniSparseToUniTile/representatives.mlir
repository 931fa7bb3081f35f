// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Pooling with representatives (P5) is one page, whose loops pass values on
// through its own memory; columns for groups of dims (P6) are written with the
// composite that has them.

// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --unisparse-to-gpu-pipeline=chip=sm_80 | FileCheck %s --check-prefix=GPU

// CHECK-LABEL: gpu.func @pool_blocks(
// CHECK-SAME:    %[[X:.*]]: memref<1x4x1001x64xf16, strided<[?, ?, ?, 1], offset: ?>>, %[[OUT:.*]]: memref<1x4x160x80xf16>, %[[ROWS:.*]]: memref<1x4x8x4xi32>, %{{.*}}: i32)
// CHECK-SAME:    unitile.schedule = #unitile.threads<lanes = 128, ctas = 6>
// The means, each with its two norms, and sums over an eighth of the block.
// CHECK:         %[[SUMS:.*]] = memref.alloca() : memref<8x64xf32, #gpu.address_space<workgroup>>
// CHECK:         scf.parallel
// CHECK:             arith.truncf %{{.*}} : vector<8xf32> to vector<8xf16>
// CHECK:             vector.store %{{.*}}, %[[OUT]]
// CHECK-COUNT-2:     memref.store %{{.*}}, %[[OUT]]
// CHECK:           vector.store %{{.*}}, %[[SUMS]]
// The block's mean.
// CHECK:         %[[CENTRE:.*]] = memref.alloca() : memref<64xf32,
// CHECK:         scf.parallel
// CHECK:           memref.store %{{.*}}, %[[CENTRE]]
// Distances, in parts of a row, and whole.
// CHECK:         %[[PARTS:.*]] = memref.alloca() : memref<8x129xf32,
// CHECK:         scf.parallel
// CHECK:           vector.load %[[CENTRE]]
// CHECK:           memref.store %{{.*}}, %[[PARTS]]
// CHECK:         %[[DISTANCES:.*]] = memref.alloca() : memref<128xf32,
// CHECK:         scf.parallel
// CHECK:           memref.store %{{.*}}, %[[DISTANCES]]
// A row's place is how many come before it.
// CHECK:         %[[FOUND:.*]] = memref.alloca() : memref<4xi32,
// CHECK:         scf.parallel
// CHECK:           vector.load %[[DISTANCES]]
// CHECK:           memref.store %{{.*}}, %[[FOUND]]
// CHECK:         %[[ORDER:.*]] = memref.alloca() : memref<4xi32,
// CHECK:         scf.parallel
// CHECK:           memref.store %{{.*}}, %[[ORDER]]
// CHECK:         scf.parallel
// CHECK:           vector.store %{{.*}}, %[[OUT]]
// CHECK:             memref.store %{{.*}}, %[[ROWS]]
// CHECK-LABEL: func.func @pool(
// CHECK:         gpu.launch_func @{{.*}}::@pool_blocks blocks in (%c8, %c4, %c1)
// CHECK-NOT:     gpu.launch_func

// GPU: gpu.binary
func.func @pool(%x: tensor<1x4x1001x64xf16>) -> (tensor<1x4x160x80xf16>, tensor<1x4x8x4xi32>) {
  %0, %rows = unisparse.pool %x by 8 representatives 4 of 128 norms 4 times 0.0625
    : (tensor<1x4x1001x64xf16>) -> (tensor<1x4x160x80xf16>, tensor<1x4x8x4xi32>)
  return %0, %rows : tensor<1x4x160x80xf16>, tensor<1x4x8x4xi32>
}

// -----

// Of a long block a row's distance has fewer parts, which fit every chip.
// CHECK-LABEL: gpu.func @pool_blocks(
// CHECK:         memref.alloca() : memref<3x2049xf32,

// GPU: gpu.binary
func.func @long_blocks(%x: tensor<1x4x4096x64xf16>) -> (tensor<1x4x136x64xf16>, tensor<1x4x2x4xi32>) {
  %0, %rows = unisparse.pool %x by 32 representatives 4 of 2048
    : (tensor<1x4x4096x64xf16>) -> (tensor<1x4x136x64xf16>, tensor<1x4x2x4xi32>)
  return %0, %rows : tensor<1x4x136x64xf16>, tensor<1x4x2x4xi32>
}

// -----

// Keys: a piece of variances beside each of means.
// CHECK-LABEL: gpu.func @pool(
// CHECK-SAME:    %{{.*}}, %[[OUT:.*]]: memref<1x2x?x128xbf16>
// CHECK:         scf.parallel
// CHECK:           vector.store %{{.*}}, %[[OUT]]
// CHECK:           %[[SQUARES:.*]] = scf.for
// CHECK:             arith.subf
// CHECK:             arith.mulf
// CHECK:           arith.cmpf ogt
// CHECK:           arith.select
// CHECK:           vector.store %{{.*}}, %[[OUT]]

// GPU: gpu.binary
func.func @spread(%x: tensor<1x4x?x64xbf16>, %cu: tensor<?xi32>) -> tensor<1x2x?x128xbf16> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 heads 2 spread 1 : (tensor<1x4x?x64xbf16>, tensor<?xi32>) -> tensor<1x2x?x128xbf16>
  return %0 : tensor<1x2x?x128xbf16>
}

// -----

// Rows of random masses are read from nowhere (L10); the last blocks are dense (L8).
// CHECK-LABEL: gpu.func @select(
// CHECK-NOT:     memref<1x8x4x4xf32>
// CHECK:         %c-1640531527_i32
// CHECK-LABEL: func.func @random(

// GPU: gpu.binary
func.func @random(%m: tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>) {
  %c, %i, %d = unisparse.block_select %m lengths [500, 500] block <128x128> rule <random = 0.5, last = 1, seed = 7> causal
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %c, %i : tensor<1x8x4xi32>, tensor<1x8x4x4xi32>
}

// -----

// CHECK-LABEL: gpu.func @select(
// CHECK:         %[[TOP:.*]] = scf.parallel
// CHECK:           arith.maxui
// CHECK:         arith.bitcast %[[TOP]] : i32 to f32
// GPU: gpu.binary
func.func @threshold(%m: tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>) {
  %c, %i, %d = unisparse.block_select %m lengths [500, 500] block <128x128> rule <threshold = 0.5> causal
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return %c, %i : tensor<1x8x4xi32>, tensor<1x8x4x4xi32>
}
