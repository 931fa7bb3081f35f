// Pages of tile code go all the way to LLVM for CPUs, with the launches around
// them, in both orders of walking and for both kinds of schedule.
// RUN: unisparse-opt %s --unisparse-decompose-attention --unisparse-select-schedule --convert-unisparse-to-unitile --unitile-to-cpu-pipeline \
// RUN:   | FileCheck %s --implicit-check-not="gpu." --implicit-check-not="unitile." --implicit-check-not="unrealized_conversion_cast"
// RUN: unisparse-opt %s --unisparse-decompose-attention --unisparse-select-schedule=chip=sm_90a --convert-unisparse-to-unitile --unitile-to-cpu-pipeline="descending vector-bits=512" \
// RUN:   | FileCheck %s --implicit-check-not="gpu." --implicit-check-not="unitile."

// The same from the tensor level on.
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="pages chip=sm_90" | FileCheck %s --implicit-check-not="gpu."
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="pages" -o /dev/null --mlir-disable-threading --mlir-print-ir-after=convert-unitile-to-linalg 2>&1 \
// RUN:   | FileCheck %s --check-prefix=LINALG --implicit-check-not=" unitile."

// A chip that there is not.
// RUN: not unisparse-opt %s --unisparse-to-cpu-pipeline="pages chip=sm_7" 2>&1 | FileCheck %s --check-prefix=CHIP
// CHIP: error: expected a chip among sm_80,{{.*}}, got 'sm_7'

// LINALG-LABEL: func.func @packed(
// LINALG:         scf.parallel
// LINALG:           scf.while
// LINALG:           scf.for
// LINALG:             linalg.matmul
// LINALG:             linalg.matmul
// LINALG:           memref.store
// LINALG-LABEL: func.func @selects(
// LINALG:         scf.parallel
// LINALG:           vector.load
// LINALG:         scf.parallel
// LINALG:           linalg.matmul
// LINALG:         scf.parallel
// LINALG:           scf.for %{{.*}} iter_args
// LINALG:         scf.parallel
// LINALG:           linalg.matmul

// CHECK-LABEL: llvm.func @packed(
// CHECK:         omp.parallel
// CHECK-LABEL: llvm.func @selects(
// CHECK:         omp.parallel
func.func @packed(%q: tensor<1x4x?x64xbf16>, %k: tensor<1x2x?x64xbf16>, %v: tensor<1x2x?x32xbf16>, %cu_q: tensor<?xi32>, %cu_k: tensor<?xi32>)
    -> (tensor<1x4x?x32xbf16>, tensor<1x4x?xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v cu_seqlens(%cu_q, %cu_k) block <128x64> causal return_lse
    : (tensor<1x4x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x2x?x32xbf16>, tensor<?xi32>, tensor<?xi32>) -> (tensor<1x4x?x32xbf16>, tensor<1x4x?xf32>)
  return %o, %lse : tensor<1x4x?x32xbf16>, tensor<1x4x?xf32>
}

func.func @selects(%q: tensor<1x4x512x64xf16>, %k: tensor<1x2x512x64xf16>, %v: tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <64x64> pooling <8x8> rule <top_k = 3> causal
    : (tensor<1x4x512x64xf16>, tensor<1x2x512x64xf16>, tensor<1x2x512x64xf16>)
      -> (tensor<1x4x512x64xf16>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x512x64xf16>
}
