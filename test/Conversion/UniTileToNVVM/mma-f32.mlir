// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts,convert-unitile-to-nvvm,canonicalize,cse))' | FileCheck %s

gpu.module @m {
  // Two runs of 16 columns, each from zero, each added to the accumulator.
  // CHECK-LABEL: gpu.func @by_columns
  // CHECK-DAG:     %[[MASK:.*]] = arith.constant -8192 : i32
  // CHECK-DAG:     %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-NOT:     nvvm.ldmatrix
  // a: pairs at 4 times 8 columns, rows l / 4 and l / 4 + 8.
  // CHECK-COUNT-8: llvm.load %{{.*}} : !llvm.ptr<3> -> vector<2xf32>
  // a is split where it is used, into two parts.
  // CHECK:         %[[X:.*]] = llvm.inline_asm has_side_effects "", "=f,0"
  // CHECK:         %[[BIG:.*]] = nvvm.convert.float.to.tf32 %[[X]] {rnd = #nvvm.fp_rnd_mode<rna>}
  // CHECK-NEXT:    %[[KEPT:.*]] = arith.andi %[[BIG]], %[[MASK]]
  // CHECK-NEXT:    %[[F:.*]] = llvm.bitcast %[[KEPT]] : i32 to f32
  // CHECK-NEXT:    %[[REST:.*]] = arith.subf %[[X]], %[[F]]
  // CHECK-NEXT:    %[[SMALL:.*]] = nvvm.convert.float.to.tf32 %[[REST]] {rnd = #nvvm.fp_rnd_mode<rna>}
  // b: one pair for each 8 columns.
  // CHECK:         llvm.load %{{.*}} : !llvm.ptr<3> -> vector<2xf32>
  // The products with small parts are summed apart from the main one.
  // CHECK:         nvvm.mma.sync A[%[[SMALL]], {{.*}} C[%[[ZERO]], %[[ZERO]], %[[ZERO]], %[[ZERO]]]
  // CHECK-SAME:      multiplicandAPtxType = #nvvm.mma_type<tf32>
  // CHECK-SAME:      shape = #nvvm.shape<m = 16, n = 8, k = 8>
  // CHECK:         nvvm.mma.sync A[%[[BIG]], {{.*}} C[%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}]
  // CHECK:         nvvm.mma.sync A[%[[BIG]], {{.*}} C[%[[ZERO]], %[[ZERO]], %[[ZERO]], %[[ZERO]]]
  // CHECK-COUNT-3: nvvm.mma.sync
  // CHECK:         %[[FINITE:.*]] = "llvm.intr.is.fpclass"(%[[MAIN:.*]]) <{bit = 504 : i32}>
  // CHECK-NEXT:    %[[SUM:.*]] = arith.addf %[[MAIN]], %{{.*}} : f32
  // CHECK-NEXT:    %[[ALL:.*]] = arith.select %[[FINITE]], %[[SUM]], %[[MAIN]] : f32
  // CHECK-NEXT:    arith.addf %{{.*}}, %[[ALL]] : f32
  // CHECK-COUNT-6: nvvm.mma.sync
  // CHECK-NOT:     nvvm.mma.sync
  // CHECK:         gpu.return
  gpu.func @by_columns(%s: i32, %x: f32, %o: !llvm.ptr<1>, %stride: i64) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %q = unitile.alloc offset 0 : !unitile.shared<16x32xf32>
    %k = unitile.alloc offset 2048 : !unitile.shared<8x32xf32>
    %a = unitile.load %q[%s] : !unitile.shared<16x32xf32> -> !unitile.fragment<16x32xf32>
    %z = unitile.fill %x : f32 -> !unitile.fragment<16x8xf32>
    %r = unitile.mma %a, %k[%s], %z : !unitile.fragment<16x32xf32>, !unitile.shared<8x32xf32>, !unitile.fragment<16x8xf32>
    unitile.store %r to %o row %s limit %s stride %stride : !unitile.fragment<16x8xf32>
    gpu.return
  }

  // 24 rows of b: a run of 16 and one of 8; two elements of a column each.
  // CHECK-LABEL: gpu.func @by_rows
  // CHECK-COUNT-4: llvm.load %{{.*}} : !llvm.ptr<3> -> f32
  // CHECK-COUNT-6: nvvm.mma.sync
  // CHECK-COUNT-4: llvm.load %{{.*}} : !llvm.ptr<3> -> f32
  // CHECK-COUNT-6: nvvm.mma.sync
  // CHECK-COUNT-2: llvm.load %{{.*}} : !llvm.ptr<3> -> f32
  // CHECK-COUNT-3: nvvm.mma.sync
  // CHECK-COUNT-2: llvm.load %{{.*}} : !llvm.ptr<3> -> f32
  // CHECK-COUNT-3: nvvm.mma.sync
  // CHECK-NOT:     nvvm.mma.sync
  // CHECK:         gpu.return
  gpu.func @by_rows(%s: i32, %x: f32, %o: !llvm.ptr<1>, %stride: i64) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %v = unitile.alloc offset 0 : !unitile.shared<24x16xf32>
    %p = unitile.fill %x : f32 -> !unitile.fragment<16x24xf32>
    %z = unitile.fill %x : f32 -> !unitile.fragment<16x16xf32>
    %r = unitile.mma %p, %v[%s], %z by_rows : !unitile.fragment<16x24xf32>, !unitile.shared<24x16xf32>, !unitile.fragment<16x16xf32>
    unitile.store %r to %o row %s limit %s stride %stride : !unitile.fragment<16x16xf32>
    gpu.return
  }
}
