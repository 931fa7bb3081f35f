// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-instrument-stages -split-input-file -verify-diagnostics | FileCheck %s

// CHECK-DAG:     func.func private @unisparse_stage_begin(i32) attributes {llvm.emit_c_interface}
// CHECK-DAG:     func.func private @unisparse_stage_end(i32) attributes {llvm.emit_c_interface}

// CHECK-LABEL: func.func @stages(
// CHECK:         %[[S0:.*]] = arith.constant 0 : i32
// CHECK-NEXT:    call @unisparse_stage_begin(%[[S0]])
// CHECK-NEXT:    unisparse.pool
// CHECK-NEXT:    call @unisparse_stage_end(%[[S0]])
// CHECK-NEXT:    %[[S1:.*]] = arith.constant 1 : i32
// CHECK-NEXT:    call @unisparse_stage_begin(%[[S1]])
// CHECK-NEXT:    unisparse.block_score
// CHECK-NEXT:    call @unisparse_stage_end(%[[S1]])
// CHECK-NEXT:    %[[S2:.*]] = arith.constant 2 : i32
// CHECK-NEXT:    call @unisparse_stage_begin(%[[S2]])
// CHECK-NEXT:    unisparse.block_select
// CHECK-NEXT:    call @unisparse_stage_end(%[[S2]])
// CHECK-NEXT:    %[[S3:.*]] = arith.constant 3 : i32
// CHECK-NEXT:    call @unisparse_stage_begin(%[[S3]])
// CHECK-NEXT:    unisparse.block_sparse_attention
// CHECK-NEXT:    call @unisparse_stage_end(%[[S3]])
// CHECK-NEXT:    return
func.func @stages(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32> {
  %0 = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
  %m = unisparse.block_score %0, %0 lengths [512, 512] block <128x128> pooling <8x8> : (tensor<1x4x64x64xf32>, tensor<1x4x64x64xf32>) -> tensor<1x4x4x4xf32>
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_k = 2> : (tensor<1x4x4x4xf32>) -> (tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128> : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>) -> tensor<1x4x512x64xf32>
  return %o : tensor<1x4x512x64xf32>
}

// -----

// Declared or defined already: used as they are.
// CHECK-LABEL: func.func @unisparse_stage_begin(
// CHECK-NOT:     func.func{{.*}}@unisparse_stage_begin
// CHECK-LABEL: func.func @declared(
// CHECK:         call @unisparse_stage_begin(
func.func @unisparse_stage_begin(%stage: i32) { return }
func.func private @unisparse_stage_end(i32)
func.func @declared(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32> {
  %0 = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
  return %0 : tensor<1x4x64x64xf32>
}

// -----

// expected-error@+1 {{expected @unisparse_stage_begin to be a function of type '(i32) -> ()', as stages are to call it}}
func.func private @unisparse_stage_begin(i64)

// -----

// expected-error@+1 {{expected @unisparse_stage_end to be a function of type '(i32) -> ()', as stages are to call it}}
memref.global @unisparse_stage_end : memref<1xi32>
