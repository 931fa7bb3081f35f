// RUN: unisparse-opt %s --unitile-assume-multiprocessors=count=108 | FileCheck %s
// RUN: not unisparse-opt %s --unitile-assume-multiprocessors=count=0 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline='chip=sm_80 multiprocessors=108 format=llvm' | FileCheck %s --check-prefix=HOST --implicit-check-not=unitile.multiprocessors

// NONE: error: multiprocessors: expected a count of at least 1, got 0
// NONE-NOT: {{.}}

// CHECK-LABEL: func.func @plain(
// CHECK-NEXT:    %[[C:.*]] = arith.constant 108 : index
// CHECK-NEXT:    return %[[C]]
func.func @plain() -> index {
  %0 = unitile.multiprocessors
  return %0 : index
}

// Two CTAs of a multiprocessor score at once.
// HOST-LABEL: func.func @attention(
// HOST:         %[[MOST:.*]] = arith.constant 216 : index
// HOST:         %[[CTAS:.*]] = arith.minui %{{.*}}, %[[MOST]] : index
// HOST:         gpu.launch_func {{.*}}@score blocks in (%[[CTAS]], %
func.func @attention(%q: tensor<1x4x?x64xf16>, %k: tensor<1x2x?x64xf16>) -> tensor<1x4x?x64xf16> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <64x64> pooling <8x8> rule <top_p = 0.8> causal
    : (tensor<1x4x?x64xf16>, tensor<1x2x?x64xf16>, tensor<1x2x?x64xf16>) -> (tensor<1x4x?x64xf16>, tensor<1x4x?xi32>, tensor<1x4x?x?xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x?x64xf16>
}
