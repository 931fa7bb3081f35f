// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the CPU cannot run is refused in words, at the level that needs it.

// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline -split-input-file -verify-diagnostics
// RUN: not unisparse-opt %s --unisparse-to-cpu-pipeline="vector-bits=300" 2>&1 | FileCheck %s --check-prefix=BITS

// BITS: vector-bits
// BITS-SAME: 300

func.func @dynamic_head_dim(%q: tensor<1x4x512x?xf32>) -> tensor<1x4x512x?xf32> {
  // expected-error@+1 {{expected a static head_dim to be lowered, got 'tensor<1x4x512x?xf32>'; cast the operand to a type that names it}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <64x64> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x4x512x?xf32>, tensor<1x4x512x?xf32>, tensor<1x4x512x?xf32>)
      -> (tensor<1x4x512x?xf32>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x512x?xf32>
}

// -----

func.func @dynamic_heads(%q: tensor<1x?x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x?x512x64xf32> {
  // expected-error@+1 {{expected a static number of heads to be lowered, got 'tensor<1x?x512x64xf32>'}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <64x64> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x?x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x?x512x64xf32>, tensor<1x?x8xi32>, tensor<1x?x8x8xi32>, tensor<1x?xf32>)
  return %o : tensor<1x?x512x64xf32>
}

// -----

// Nothing to divide by or to tile.
func.func @no_heads(%m: tensor<1x0x8x8xf32>) -> tensor<1x0x8xi32> {
  // expected-error@+1 {{'unisparse.block_select' op expected a positive number of heads to be lowered, got 'tensor<1x0x8x8xf32>'}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <64x64> rule <top_p = 0.5>
    : (tensor<1x0x8x8xf32>) -> (tensor<1x0x8xi32>, tensor<1x0x8x8xi32>, tensor<1x0xf32>)
  return %c : tensor<1x0x8xi32>
}

// -----

func.func @huge_block(%q: tensor<1x2x512x64xf32>) -> tensor<1x2x512x64xf32> {
  // expected-error@+1 {{expected blocks of at most 4096x4096 to be lowered, got 1048576x64}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <1048576x64> : (tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x2x512x64xf32>
  return %o : tensor<1x2x512x64xf32>
}

// -----

// An op of a level that the pipeline does not know.
func.func @foreign(%x: f32) -> f32 {
  // expected-error@+1 {{'spirv.FAdd' op expected only llvm and omp ops at the end of the CPU pipeline; the pipeline has no lowering for this one}}
  %0 = spirv.FAdd %x, %x : f32
  return %0 : f32
}

// -----

func.func @unknown(%q: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error@+1 {{'tosa.abs' op expected an op that can work on buffers, got one on tensors that this pipeline does not lower}}
  %s = tosa.abs %q : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %s : tensor<4x8xf32>
}

// -----

module {
  // expected-error@+1 {{expected one module to be lowered, got a module inside of it; lower that one by itself}}
  module @inner {
  }
}

// -----

// expected-error@+1 {{expected an index of 64 bits in the data layout, got 32}}
module attributes {dlti.dl_spec = #dlti.dl_spec<index = 32>} {
}

