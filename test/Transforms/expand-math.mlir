// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --pass-pipeline="builtin.module(func.func(unisparse-expand-math))" | FileCheck %s

// CHECK-LABEL: func.func @exp(
// CHECK-NOT:     math.exp
// CHECK:         math.fma %{{.*}} : vector<16xf32>
// CHECK-NOT:     math.exp
// CHECK:         return
func.func @exp(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// CHECK-LABEL: func.func @log(
// CHECK-NOT:     math.log
// CHECK:         return
func.func @log(%x: f32) -> f32 {
  %0 = math.log %x : f32
  return %0 : f32
}

// Of tanh, vectors.
// CHECK-LABEL: func.func @tanh(
// CHECK-NOT:     math.tanh
// CHECK:         math.fma %{{.*}} : vector<16xf32>
// CHECK-NOT:     math.tanh
// CHECK:         return
func.func @tanh(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.tanh %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// Only these are ours to make inexact.
// CHECK-LABEL: func.func @others(
// CHECK:         math.tanh
// CHECK:         math.log2
// CHECK:         math.expm1
// CHECK:         math.sin
func.func @others(%x: f32) -> (f32, f32, f32, f32) {
  %0 = math.tanh %x : f32
  %1 = math.log2 %x : f32
  %2 = math.expm1 %x : f32
  %3 = math.sin %x : f32
  return %0, %1, %2, %3 : f32, f32, f32, f32
}

// CHECK-LABEL: func.func @wider(
// CHECK:         math.exp %{{.*}} : f64
func.func @wider(%x: f64) -> f64 {
  %0 = math.exp %x : f64
  return %0 : f64
}
