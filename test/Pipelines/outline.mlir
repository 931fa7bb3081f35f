// RUN: unisparse-opt %s -split-input-file --unisparse-outline=chips=sm_80 | FileCheck %s

// What is beside the attention stays, and its function is called.
// CHECK-DAG:     llvm.mlir.global internal constant @attention_artifact("UNISPARS
// CHECK-DAG:     llvm.func @unisparse_call(!llvm.ptr, i64, !llvm.ptr, i32, !llvm.ptr, i32)
// CHECK:         func.func @model(
// CHECK:           %[[X:.*]] = linalg.exp
// CHECK-NOT:       unisparse.
// CHECK:           %[[O:.*]] = call @attention(%[[X]], %arg1)
// CHECK:           linalg.exp ins(%[[O]]
// CHECK:         func.func private @attention(%{{.*}}: tensor<1x4x512x64xf16>, %{{.*}}: tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16>
// CHECK:           llvm.call @unisparse_call(
!q = tensor<1x4x512x64xf16>
!k = tensor<1x2x512x64xf16>
func.func @model(%x: !q, %k: !k) -> !q {
  %q = linalg.exp ins(%x : !q) outs(%x : !q) -> !q
  %o = unisparse.block_sparse_attention %q, %k, %k block <64x64> causal : (!q, !k, !k) -> !q
  %r = linalg.exp ins(%o : !q) outs(%o : !q) -> !q
  return %r : !q
}

// -----

// The stages and a program's own linalg between and in front of them go with
// their attention; what others use of them comes back, wherever they stand.
// CHECK-LABEL: func.func @selects(
// CHECK-NOT:     unisparse.
// CHECK-NOT:     linalg.
// CHECK:         %[[R:.*]]:2 = call @attention(%arg0, %arg1)
// CHECK:         linalg.exp ins(%[[R]]#0 : tensor<1x4x8x8xf32>)
// CHECK:         return %[[R]]#1
// CHECK:       func.func private @attention(%{{.*}}, %{{.*}}) -> (tensor<1x4x8x8xf32>, tensor<1x4x512x64xf16>)
!q = tensor<1x4x512x64xf16>
!k = tensor<1x2x512x64xf16>
#token = affine_map<(b, h, a, d, t) -> (b, h, a * 8 + t, d)>
#weight = affine_map<(b, h, a, d, t) -> (t)>
#composite = affine_map<(b, h, a, d, t) -> (b, h, a, d)>
func.func @selects(%q: !q, %k: !k) -> (!q, tensor<1x4x8x8xf32>) {
  %weights = arith.constant dense<[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2]> : tensor<8xf16>
  %zero = arith.constant 0.0 : f16
  %e = tensor.empty() : tensor<1x2x64x64xf16>
  %none = linalg.fill ins(%zero : f16) outs(%e : tensor<1x2x64x64xf16>) -> tensor<1x2x64x64xf16>
  %kc = linalg.generic {indexing_maps = [#token, #weight, #composite],
                        iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%k, %weights : !k, tensor<8xf16>) outs(%none : tensor<1x2x64x64xf16>) {
  ^bb0(%x: f16, %w: f16, %sum: f16):
    %part = arith.mulf %x, %w : f16
    %more = arith.addf %sum, %part : f16
    linalg.yield %more : f16
  } -> tensor<1x2x64x64xf16>
  %qc = unisparse.pool %q by 8 : (!q) -> tensor<1x4x64x64xf16>
  %mass = unisparse.block_score %qc, %kc lengths [512, 512] block <64x64> pooling <8x8> causal
    : (tensor<1x4x64x64xf16>, tensor<1x2x64x64xf16>) -> tensor<1x4x8x8xf32>
  %shown = linalg.exp ins(%mass : tensor<1x4x8x8xf32>) outs(%mass : tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %2 = linalg.square ins(%mass : tensor<1x4x8x8xf32>) outs(%mass : tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %c, %i, %d = unisparse.block_select %2 lengths [512, 512] block <64x64> rule <top_p = 0.9> causal
    : (tensor<1x4x8x8xf32>) -> (tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <64x64> causal
    : (!q, !k, !k, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>) -> !q
  return %o, %shown : !q, tensor<1x4x8x8xf32>
}

// -----

// One artifact for a loop of unknown length, another for a branch.
// CHECK-LABEL: func.func @around(
// CHECK:         scf.for
// CHECK:           call @attention(
// CHECK:         scf.if
// CHECK:           call @attention_0(
// CHECK-DAG:   func.func private @attention(
// CHECK-DAG:   func.func private @attention_0(
!q = tensor<1x4x?x64xf16>
func.func @around(%q: !q, %n: index, %c: i1) -> !q {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %q) -> !q {
    %o = unisparse.block_sparse_attention %x, %q, %q block <64x64> : (!q, !q, !q) -> !q
    scf.yield %o : !q
  }
  %s = scf.if %c -> !q {
    %o, %counts, %indices, %d = unisparse.attention %r, %q, %q block <64x64> pooling <8x8> rule <top_k = 4>
      : (!q, !q, !q) -> (!q, tensor<1x4x?xi32>, tensor<1x4x?x?xi32>, tensor<1x4xf32>)
    scf.yield %o : !q
  } else {
    scf.yield %r : !q
  }
  return %s : !q
}

// -----

// Two policies are two artifacts; a function that is called twice has one.
// CHECK-LABEL: func.func private @layer(
// CHECK-SAME:    %[[X:.*]]: tensor<1x4x512x64xf16>
// CHECK-NEXT:    %[[A:.*]] = call @attention(%[[X]])
// CHECK-NEXT:    %[[B:.*]] = call @attention_0(%[[A]])
// CHECK-NEXT:    return %[[B]]
// CHECK:       func.func @twice(
// CHECK-COUNT-2: call @layer(
// CHECK-COUNT-2: llvm.call @unisparse_call(
// CHECK-NOT:     llvm.call @unisparse_call(
!q = tensor<1x4x512x64xf16>
func.func private @layer(%x: !q) -> !q {
  %a, %ca, %ia, %da = unisparse.attention %x, %x, %x block <64x64> pooling <8x8> rule <top_k = 4>
    : (!q, !q, !q) -> (!q, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  %b, %cb, %ib, %db = unisparse.attention %a, %a, %a block <128x128> pooling <16x16> rule <top_p = 0.5>
    : (!q, !q, !q) -> (!q, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  return %b : !q
}
func.func @twice(%x: !q) -> !q {
  %a = call @layer(%x) : (!q) -> !q
  %b = call @layer(%a) : (!q) -> !q
  return %b : !q
}

// -----

// The artifact calls tensors as the program does.
// CHECK:       llvm.mlir.global internal constant @attention_artifact("UNISPARS{{.*}}tokens.size(2){{.*}}keys.size(2)
// CHECK:       func.func @named(
// CHECK:       func.func private @attention(%{{[a-z0-9]+}}: tensor<1x4x?x64xf16>, %{{[a-z0-9]+}}: tensor<1x4x?x64xf16>)
!q = tensor<1x4x?x64xf16>
func.func @named(%x: !q loc("tokens"), %y: !q) -> !q {
  %k = linalg.exp ins(%y : !q) outs(%y : !q) -> !q loc("keys")
  %o = unisparse.block_sparse_attention %x, %k, %k block <64x64> : (!q, !q, !q) -> !q
  return %o : !q
}
