// Passes that stand where they have nothing to work on say so, and what is missing.

// RUN: split-file %s %t
// RUN: not unisparse-opt %t/attention.mlir --unisparse-select-schedule 2>&1 | FileCheck %s --check-prefix=SCHEDULE
// RUN: unisparse-opt %t/dense.mlir --convert-unisparse-to-unitile --unisparse-select-schedule -o /dev/null 2>&1 | FileCheck %s --check-prefix=LATE
// RUN: not unisparse-opt %t/dense.mlir --convert-unisparse-to-unitile --unitile-to-nvvm-pipeline 2>&1 | FileCheck %s --check-prefix=PAGE
// RUN: unisparse-opt %t/dense.mlir --unitile-to-nvvm-pipeline -o /dev/null 2>&1 | FileCheck %s --check-prefix=STAGE
// RUN: not unisparse-opt %t/dense.mlir --unisparse-to-gpu-pipeline=chip=sm_80 --unisparse-to-cpu-pipeline 2>&1 | FileCheck %s --check-prefix=LAUNCH
// RUN: unisparse-opt %t/own.mlir --unitile-to-cpu-pipeline | FileCheck %s --check-prefix=OWN

// SCHEDULE: error: 'unisparse.attention' op expected to be decomposed before a schedule is selected; run unisparse-decompose-attention
// LATE: remark: expected stages to select schedules of, got pages, which have theirs; run it before convert-unisparse-to-unitile
// PAGE: error: 'unitile.{{[a-z]+}}' op [U30] expected to have its copies and steps by now; run unitile-pipeline or unitile-specialise-warps
// PAGE-NOT: error:
// STAGE: remark: expected stages to be kernels by now, got 'unisparse.block_sparse_attention', which stays host code; run convert-unisparse-to-unitile
// LAUNCH: error: 'gpu.launch_func' op expected no launch in a program for CPUs; start from tensors, or run unitile-launch-to-parallel
// LAUNCH-NOT: error:
// OWN: llvm.func @own

//--- attention.mlir
!t = tensor<1x4x256x64xf16>
func.func @f(%q: !t) -> !t {
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <64x64> pooling <8x8> rule <top_p = 0.5> causal
    : (!t, !t, !t) -> (!t, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
  return %o : !t
}
//--- dense.mlir
!t = tensor<1x4x256x64xf16>
func.func @f(%q: !t) -> !t {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> causal : (!t, !t, !t) -> !t
  return %o : !t
}
//--- own.mlir
func.func @own(%x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = arith.addf %x, %x : tensor<8xf32>
  return %0 : tensor<8xf32>
}
