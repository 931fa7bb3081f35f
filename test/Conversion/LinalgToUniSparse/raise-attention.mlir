// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-raise-attention --split-input-file --verify-diagnostics --allow-unregistered-dialect | FileCheck %s
// forms.py has attention itself; these are programs around it.

// expected-remark @below {{expected dense attention as linalg on tensors, found none}}
module {
  // CHECK-LABEL: @feed_forward
  // CHECK-NOT: unisparse.
  func.func @feed_forward(%x: tensor<8x16xf32>, %w: tensor<16x16xf32>) -> tensor<8x16xf32> {
    %zero = arith.constant dense<0.0> : tensor<8x16xf32>
    %y = linalg.matmul ins(%x, %w : tensor<8x16xf32>, tensor<16x16xf32>) outs(%zero : tensor<8x16xf32>) -> tensor<8x16xf32>
    // A sigmoid is no softmax.
    %z = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]}
        ins(%y, %w : tensor<8x16xf32>, tensor<16x16xf32>) outs(%zero : tensor<8x16xf32>) {
    ^bb0(%a: f32, %b: f32, %acc: f32):
      %n = arith.negf %a : f32
      %e = math.exp %n : f32
      %one = arith.constant 1.0 : f32
      %d = arith.addf %e, %one : f32
      %s = arith.divf %a, %d : f32
      %p = arith.mulf %s, %b : f32
      %r = arith.addf %acc, %p : f32
      linalg.yield %r : f32
    } -> tensor<8x16xf32>
    return %z : tensor<8x16xf32>
  }
}

// -----

// Tensors are gone: too late.
// expected-remark @below {{expected dense attention as linalg on tensors, found none}}
module {
  func.func @late(%x: memref<8x16xf32>, %w: memref<16x16xf32>, %y: memref<8x16xf32>) {
    linalg.matmul ins(%x, %w : memref<8x16xf32>, memref<16x16xf32>) outs(%y : memref<8x16xf32>)
    return
  }
}

// -----

// A composite's policy stays with the op, for unisparse-sparsify-attention.
// CHECK-LABEL: @composite
// CHECK: unisparse.block_sparse_attention {{.*}} causal scale 2.0{{.*}} {unisparse.block = #unisparse.block<64x64>, unisparse.min_length = 2048 : i64, unisparse.rule = #unisparse.rule<top_k = 4>}
func.func @composite(%q: tensor<2x256x8x64xf16>, %k: tensor<2x256x2x64xf16>, %v: tensor<2x256x2x64xf16>) -> tensor<2x256x8x64xf16> {
  %o = "stablehlo.composite"(%q, %k, %v) <{composite_attributes = {block = "64x64", causal = true, min_length = 2048 : i64, scale = 2.0 : f64, top_k = 4 : i64}, decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x2x64xf16>, tensor<2x256x2x64xf16>) -> tensor<2x256x8x64xf16>
  return %o : tensor<2x256x8x64xf16>
}

// -----

// Every digit of a share, numbers of any type.
// CHECK-LABEL: @composite_digits
// CHECK: {unisparse.rule = #unisparse.rule<top_p = 1.2345678901234{{[0-9]*}}E-7>}
// CHECK: {unisparse.rule = #unisparse.rule<top_k = 200>}
func.func @composite_digits(%q: tensor<2x256x8x64xf16>) -> (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) {
  %p = "stablehlo.composite"(%q, %q, %q) <{composite_attributes = {p = 1.2345678901234567e-7 : f64}, decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16>
  %k = "stablehlo.composite"(%q, %q, %q) <{composite_attributes = {top_k = 200 : ui8}, decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16>
  return %p, %k : tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>
}

// -----

func.func @composite_wide(%q: tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16> {
  // expected-remark @below {{attention stays as it is: }}
  %o = "stablehlo.composite"(%q, %q, %q) <{composite_attributes = {top_k = 36893488147419103236 : i128}, decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16>
  return %o : tensor<2x256x8x64xf16>
}

// -----

// What is no valid op stays, whole.
// CHECK-LABEL: @composites_that_stay
// CHECK-NOT: unisparse.block_sparse_attention
// CHECK-NOT: linalg.transpose
// CHECK: return
func.func @composites_that_stay(%q: tensor<2x256x8x64xf16>, %k: tensor<2x256x3x64xf16>, %d: tensor<2x256x8x64xf64>)
    -> (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf64>, tensor<2x256x8x64xi32>, tensor<2x256x8x32xf16>, tensor<*xf16>, tensor<2x256x8x64xf16>) {
  // expected-remark @below {{attention stays as it is: [I3] expected the heads of k to divide the 8 heads of q, got 3}}
  %0 = "stablehlo.composite"(%q, %k, %k) <{decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x3x64xf16>, tensor<2x256x3x64xf16>) -> tensor<2x256x8x64xf16>
  // expected-remark @below {{attention stays as it is: operand #0 must be 4D tensor of 32-bit float or 16-bit float or bfloat16}}
  %1 = "stablehlo.composite"(%d, %d, %d) <{decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf64>, tensor<2x256x8x64xf64>, tensor<2x256x8x64xf64>) -> tensor<2x256x8x64xf64>
  // expected-remark @below {{attention stays as it is: expected a result of floats, got i32}}
  %2 = "stablehlo.composite"(%q, %q, %q) <{decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xi32>
  // expected-remark @below {{attention stays as it is: expected a result like tensor<2x256x8x64xf16>, got tensor<2x256x8x32xf16>}}
  %3 = "stablehlo.composite"(%q, %q, %q) <{decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x32xf16>
  // expected-remark @below {{attention stays as it is: expected a result of a known rank}}
  %4 = "stablehlo.composite"(%q, %q, %q) <{decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<*xf16>
  // expected-remark @below {{attention stays as it is: [A1] expected a finite scale, got INF}}
  %5 = "stablehlo.composite"(%q, %q, %q) <{composite_attributes = {scale = 0x7FF0000000000000 : f64}, decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16>
  return %0, %1, %2, %3, %4, %5 : tensor<2x256x8x64xf16>, tensor<2x256x8x64xf64>, tensor<2x256x8x64xi32>, tensor<2x256x8x32xf16>, tensor<*xf16>, tensor<2x256x8x64xf16>
}

// -----

// CHECK-LABEL: @tm_tensor_that_stays
func.func @tm_tensor_that_stays(%q: tensor<4x16x?xf16>, %k: tensor<4x20x8xf16>, %o: tensor<4x16x8xf16>) -> (tensor<4x16x8xf16>, f32, tensor<4x16x8xf16>) {
  // expected-remark @below {{attention stays as it is: expected a static head_dim}}
  %0 = "tm_tensor.attention"(%q, %q, %k, %o) : (tensor<4x16x?xf16>, tensor<4x16x?xf16>, tensor<4x20x8xf16>, tensor<4x16x8xf16>) -> tensor<4x16x8xf16>
  // expected-remark @below {{attention stays as it is: expected tensors [batch, length, head_dim]}}
  %1 = "tm_tensor.attention"(%k, %k, %k, %o) : (tensor<4x20x8xf16>, tensor<4x20x8xf16>, tensor<4x20x8xf16>, tensor<4x16x8xf16>) -> f32
  // expected-remark @below {{attention stays as it is: expected scale to be a float}}
  %2 = "tm_tensor.attention"(%o, %k, %k, %o) {scale = 2 : i32} : (tensor<4x16x8xf16>, tensor<4x20x8xf16>, tensor<4x20x8xf16>, tensor<4x16x8xf16>) -> tensor<4x16x8xf16>
  return %0, %1, %2 : tensor<4x16x8xf16>, f32, tensor<4x16x8xf16>
}

// -----

func.func @composite_unknown(%q: tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16> {
  // expected-remark @below {{attention stays as it is: expected attributes causal, scale, p, top_k, rule, block, pooling and min_length, got dropout = 1.000000e-01 : f64}}
  %o = "stablehlo.composite"(%q, %q, %q) <{composite_attributes = {dropout = 0.1 : f64}, decomposition = @dense, name = "unisparse.attention"}>
    : (tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>, tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16>
  return %o : tensor<2x256x8x64xf16>
}

// -----

// Somebody else's composite is none of ours.
// expected-remark @below {{expected dense attention as linalg on tensors, found none}}
module {
  func.func @composite_other(%q: tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16> {
    %o = "stablehlo.composite"(%q) <{decomposition = @dense, name = "chlo.top_k"}> : (tensor<2x256x8x64xf16>) -> tensor<2x256x8x64xf16>
    return %o : tensor<2x256x8x64xf16>
  }
}

// -----

!t = !torch.vtensor<[2,8,?,64],f32>

// CHECK-LABEL: @torch_dynamic
// CHECK: %[[Q:.*]] = "torch_c.to_builtin_tensor"(%arg0) : (!torch.vtensor<[2,8,?,64],f32>) -> tensor<2x8x?x64xf32>
// CHECK: cf.assert {{.*}}, "I7: queries of is_causal == its keys" {unisparse.check = #unisparse.check<"I7", "queries of is_causal" equal "its keys">}
// CHECK: unisparse.block_sparse_attention %[[Q]]{{.*}} causal
// CHECK: "torch_c.from_builtin_tensor"
func.func @torch_dynamic(%q: !t, %k: !t, %v: !t) -> !t {
  %zero = "torch.constant.float"() <{value = 0.0 : f64}> : () -> !torch.float
  %true = "torch.constant.bool"() <{value = true}> : () -> !torch.bool
  %false = "torch.constant.bool"() <{value = false}> : () -> !torch.bool
  %none = "torch.constant.none"() : () -> !torch.none
  %o = "torch.aten.scaled_dot_product_attention"(%q, %k, %v, %none, %zero, %true, %none, %false) : (!t, !t, !t, !torch.none, !torch.float, !torch.bool, !torch.none, !torch.bool) -> !t
  return %o : !t
}

// -----

!t = !torch.vtensor<[2,8,32,64],f32>

func.func @torch_dropout(%q: !t, %k: !t, %v: !t) -> !t {
  %p = "torch.constant.float"() <{value = 0.1 : f64}> : () -> !torch.float
  %true = "torch.constant.bool"() <{value = true}> : () -> !torch.bool
  %none = "torch.constant.none"() : () -> !torch.none
  // expected-remark @below {{attention stays as it is: expected dropout_p to be 0}}
  %o = "torch.aten.scaled_dot_product_attention"(%q, %k, %v, %none, %p, %true, %none, %true) : (!t, !t, !t, !torch.none, !torch.float, !torch.bool, !torch.none, !torch.bool) -> !t
  return %o : !t
}
