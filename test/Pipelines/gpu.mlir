// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline=chip=sm_90 | FileCheck %s
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline=chip=sm_120 | FileCheck %s --check-prefix=SM120
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline='chip=sm_80 format=llvm' | FileCheck %s --check-prefix=LLVM
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline=chip=sm_90 | unisparse-opt --unisparse-verify-launch-contract -o /dev/null
// RUN: not unisparse-opt %s --unisparse-to-gpu-pipeline=chip=sm_10 2>&1 | FileCheck %s --check-prefix=CHIP

// CHIP: error: expected a chip among sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100a, sm_120, got 'sm_10'

// PTX for the chip, with every stage's kernel.
// CHECK:       gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<O = 3, chip = "sm_90"
// CHECK-SAME:    .target sm_90
// CHECK-SAME:    .visible .entry pool(
// CHECK-SAME:    .visible .entry pool_0(
// CHECK-SAME:    .visible .entry score(
// CHECK-SAME:    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// CHECK-SAME:    .visible .entry select(
// CHECK-SAME:    vote.sync.ballot.b32
// CHECK-SAME:    .visible .entry density(
// CHECK-SAME:    .visible .entry attend(
// CHECK-SAME:    cp.async.cg.shared.global
// CHECK-SAME:    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// SM120:       gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<O = 3, chip = "sm_120"
// SM120-SAME:    .target sm_120
// Or kernels in the LLVM dialect, and nothing of other levels in them.
// LLVM:        gpu.module @unisparse_kernels [#nvvm.target<O = 3, chip = "sm_80"
// LLVM-NOT:      {{(= |^ *)(unitile|gpu|scf|arith|vector|math)[.]}}
// LLVM:          llvm.func @attend({{.*}}nvvm.kernel
// LLVM:        func.func @main(

// The host function takes q, k and v with their strides, and launches the
// kernels one after another.
// CHECK-LABEL: func.func @main(
// CHECK-SAME:    memref<?x4x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK-SAME:    memref<?x2x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK-SAME:    memref<?x2x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
// CHECK-SAME:    -> (memref<?x4x?x128xbf16>, memref<?x4x?xi32>, memref<?x4x?x?xi32>, memref<?x4xf32>)
// CHECK-NOT:     tensor
// CHECK-NOT:     unisparse.
// CHECK:         gpu.launch_func @unisparse_kernels::@pool blocks
// CHECK:         gpu.launch_func @unisparse_kernels::@pool_0 blocks
// CHECK:         cf.assert %{{.*}}, "I2: q.size(0) == k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I7: the length of q <= the length of k"
// CHECK:         gpu.launch_func @unisparse_kernels::@score blocks
// CHECK:         gpu.launch_func @unisparse_kernels::@select blocks
// CHECK:         gpu.launch_func @unisparse_kernels::@density blocks
// A selection of the program's own has the right sizes: nothing to assert.
// CHECK-NOT:     "A4
// CHECK:         cf.assert %{{.*}}, "I4: k.size(2) == v.size(2)"
// CHECK-NOT:     "A4
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks
// CHECK:         return
func.func @main(%q: tensor<?x4x?x128xbf16>, %k: tensor<?x2x?x128xbf16>, %v: tensor<?x2x?x128xbf16>)
    -> (tensor<?x4x?x128xbf16>, tensor<?x4x?xi32>, tensor<?x4x?x?xi32>, tensor<?x4xf32>) {
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.9> causal
    : (tensor<?x4x?x128xbf16>, tensor<?x2x?x128xbf16>, tensor<?x2x?x128xbf16>)
      -> (tensor<?x4x?x128xbf16>, tensor<?x4x?xi32>, tensor<?x4x?x?xi32>, tensor<?x4xf32>)
  return %o, %c, %i, %d : tensor<?x4x?x128xbf16>, tensor<?x4x?xi32>, tensor<?x4x?x?xi32>, tensor<?x4xf32>
}
