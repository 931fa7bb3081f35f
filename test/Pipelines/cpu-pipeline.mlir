// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Each level keeps its contract, and the whole ends in what translates to LLVM
// IR: every program below goes all the way.

// The tensor level and the loop level by themselves.
// RUN: unisparse-opt %s --pass-pipeline="builtin.module(canonicalize,unisparse-decompose-attention,canonicalize,cse,unisparse-verify-tensor-contract)" \
// RUN:   | FileCheck %s --check-prefix=STAGES --implicit-check-not=unisparse.attention
// RUN: unisparse-opt %s --pass-pipeline="builtin.module(canonicalize,unisparse-decompose-attention,canonicalize,cse,unisparse-verify-tensor-contract,convert-unisparse-to-loops,one-shot-bufferize{bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map},canonicalize,cse,buffer-deallocation-pipeline,convert-bufferization-to-memref,unisparse-verify-loops-contract)" \
// RUN:   | FileCheck %s --check-prefix=LOOPS --implicit-check-not="tensor<" --implicit-check-not=" unisparse."

// The whole, whose levels close with the contracts.
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline \
// RUN:   | FileCheck %s --implicit-check-not="func.func" --implicit-check-not="arith." --implicit-check-not="memref." --implicit-check-not="unisparse." --implicit-check-not="unrealized_conversion_cast" --implicit-check-not="vector<32xf32>"
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline -o /dev/null --mlir-disable-threading --mlir-print-ir-after=unisparse-verify-loops-contract 2>&1 \
// RUN:   | FileCheck %s --check-prefix=LOOPS --implicit-check-not="tensor<"
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline -o /dev/null --mlir-print-ir-after=unisparse-verify-tensor-contract --mlir-print-ir-after=unisparse-verify-llvm-contract --mlir-disable-threading 2>&1 \
// RUN:   | FileCheck %s --check-prefix=ORDER

// Wider vectors: wider strips, more rows in registers.
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="vector-bits=512" | FileCheck %s --check-prefix=WIDE
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="vector-bits=512" -o /dev/null --mlir-disable-threading --mlir-print-ir-after=unisparse-vectorize-contractions 2>&1 | FileCheck %s --check-prefix=ROWS8
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="vector-bits=256" -o /dev/null --mlir-disable-threading --mlir-print-ir-after=unisparse-vectorize-contractions 2>&1 | FileCheck %s --check-prefix=ROWS4

// Programs are LLVM IR in the end.
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline | mlir-translate --mlir-to-llvmir | FileCheck %s --check-prefix=LLVMIR

// Stages for the host to time.
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="instrument-stages=true" | FileCheck %s --check-prefix=TIMED

// ORDER:       IR Dump After {{.*}}unisparse-verify-tensor-contract
// ORDER:       IR Dump After {{.*}}unisparse-verify-llvm-contract

// STAGES-LABEL: func.func @attention(
// STAGES:         unisparse.pool
// STAGES:         unisparse.pool
// STAGES:         unisparse.block_score
// STAGES:         unisparse.block_select
// STAGES:         unisparse.block_sparse_attention

// LOOPS-LABEL: func.func @attention(
// LOOPS-SAME:    memref<?x4x?x64xf16>
// LOOPS:         scf.parallel
// LOOPS:           linalg.matmul
// LOOPS:         memref.dealloc

// ROWS4-LABEL: func.func @attention(
// ROWS4:         %{{.*}}:4 = scf.for {{.*}} -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// ROWS8-LABEL: func.func @attention(
// ROWS8:         %{{.*}}:8 = scf.for {{.*}} -> (vector<32xf32>,

// WIDE-LABEL:  llvm.func @attention(
// WIDE:          vector<32xf32>

// TIMED-DAG:   llvm.func @_mlir_ciface_unisparse_stage_begin(i32)
// TIMED-DAG:   llvm.func @_mlir_ciface_unisparse_stage_end(i32)
// TIMED-LABEL: llvm.func @attention(
// TIMED-COUNT-10: llvm.call @unisparse_stage_

// LLVMIR-LABEL: define {{.*}} @attention(
// LLVMIR:         call void {{.*}}@__kmpc_fork_call(
// LLVMIR:       call void @__kmpc_dispatch_init_{{8u|4u|8|4}}

// Rows of query blocks are handed out as threads get free.
// CHECK-LABEL: llvm.func @attention(
// CHECK:         omp.parallel
// CHECK:           omp.wsloop schedule(dynamic)
// CHECK-NOT:       omp.wsloop {
// CHECK:           vector<16xf32>
// CHECK-NOT:       llvm.call @expf
func.func @attention(%q: tensor<?x4x?x64xf16>, %k: tensor<?x2x?x64xf16>) -> tensor<?x4x?x64xf16> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <64x64> pooling <8x8> rule <top_p = 0.5> causal
    : (tensor<?x4x?x64xf16>, tensor<?x2x?x64xf16>, tensor<?x2x?x64xf16>)
      -> (tensor<?x4x?x64xf16>, tensor<?x4x?xi32>, tensor<?x4x?x?xi32>, tensor<?x4xf32>)
  return %o : tensor<?x4x?x64xf16>
}

// CHECK-LABEL: llvm.func @bf16_packed(
func.func @bf16_packed(%q: tensor<1x4x?x64xbf16>, %k: tensor<1x2x?x64xbf16>, %p: tensor<2xf32>, %cq: tensor<?xi32>, %ck: tensor<?xi32>) -> (tensor<1x4x?x64xbf16>, tensor<1x4x?xf32>, tensor<1x2xf32>) {
  %o, %lse, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) cu_seqlens(%cq, %ck) block <64x64> pooling <8x8, heads = 2> rule <top_p> agg sum share group causal return_lse
    : (tensor<1x4x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<2xf32>, tensor<?xi32>, tensor<?xi32>)
      -> (tensor<1x4x?x64xbf16>, tensor<1x4x?xf32>, tensor<1x2x?xi32>, tensor<1x2x?x?xi32>, tensor<1x2xf32>)
  return %o, %lse, %d : tensor<1x4x?x64xbf16>, tensor<1x4x?xf32>, tensor<1x2xf32>
}

// A dense rule leaves one stage.
// STAGES-LABEL: func.func @dense(
// STAGES-NOT:     unisparse.pool
// STAGES-NOT:     unisparse.block_s{{core|elect}}
// STAGES:         unisparse.block_sparse_attention {{.*}} block <64x64> causal :
// CHECK-LABEL: llvm.func @dense(
func.func @dense(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32> {
  %o, %lse, %c, %i, %d = unisparse.attention %q, %k, %k block <64x64> pooling <8x8> rule <top_p = 1.0> causal return_lse
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x512xf32>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x512x64xf32>
}

// Two attentions over the same q and k share their estimate.
// STAGES-LABEL: func.func @two_values(
// STAGES-COUNT-1: unisparse.block_select
// STAGES-NOT:     unisparse.block_select
// STAGES-COUNT-2: unisparse.block_sparse_attention
// CHECK-LABEL: llvm.func @two_values(
func.func @two_values(%q: tensor<1x4x512x64xf32>, %k: tensor<1x4x512x64xf32>, %v: tensor<1x4x512x64xf32>, %w: tensor<1x4x512x64xf32>) -> (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) {
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <64x64> pooling <8x8> rule <top_k = 2>
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  %o1, %c1, %i1, %d1 = unisparse.attention %q, %k, %w block <64x64> pooling <8x8> rule <top_k = 2>
    : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  return %o, %o1 : tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>
}

// A program around it: slices in, a projection and a sum out.
// LOOPS-LABEL: func.func @program(
// CHECK-LABEL: llvm.func @program(
func.func @program(%x: tensor<1x4x1000x64xf32>, %w: tensor<64x64xf32>) -> tensor<1x4x512x64xf32> {
  %zero = arith.constant 0.0 : f32
  %q = tensor.extract_slice %x[0, 0, 100, 0] [1, 4, 512, 64] [1, 1, 1, 1] : tensor<1x4x1000x64xf32> to tensor<1x4x512x64xf32>
  %k = tensor.extract_slice %x[0, 1, 200, 0] [1, 2, 600, 64] [1, 1, 1, 1] : tensor<1x4x1000x64xf32> to tensor<1x2x600x64xf32>
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 0.5> causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x600x64xf32>, tensor<1x2x600x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x5xi32>, tensor<1x4xf32>)
  %rows = tensor.collapse_shape %o [[0, 1, 2], [3]] : tensor<1x4x512x64xf32> into tensor<2048x64xf32>
  %e = tensor.empty() : tensor<2048x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2048x64xf32>) -> tensor<2048x64xf32>
  %p = linalg.matmul ins(%rows, %w : tensor<2048x64xf32>, tensor<64x64xf32>) outs(%f : tensor<2048x64xf32>) -> tensor<2048x64xf32>
  %r = tensor.expand_shape %p [[0, 1, 2], [3]] output_shape [1, 4, 512, 64] : tensor<2048x64xf32> into tensor<1x4x512x64xf32>
  %sum = linalg.add ins(%r, %q : tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) outs(%r : tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %sum : tensor<1x4x512x64xf32>
}
