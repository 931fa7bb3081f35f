// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-pass-maps-by-value))' | FileCheck %s

gpu.module @m {
  // CHECK:      llvm.func @k(%{{.*}}: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}, %{{.*}}: !llvm.ptr<1>, %{{.*}}: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant})
  // CHECK-NOT:  unitile.tensor_maps
  llvm.func @k(%a: !llvm.ptr, %b: !llvm.ptr<1>, %c: !llvm.ptr)
      attributes {gpu.kernel, nvvm.kernel, unitile.tensor_maps = array<i32: 0, 2>} {
    llvm.return
  }
  // CHECK: llvm.func @none(%{{.*}}: !llvm.ptr) attributes {gpu.kernel, nvvm.kernel}
  llvm.func @none(%a: !llvm.ptr) attributes {gpu.kernel, nvvm.kernel} {
    llvm.return
  }
}
