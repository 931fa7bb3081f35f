// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-allocate-shared,convert-unitile-to-nvvm))' -split-input-file -verify-diagnostics | FileCheck %s

gpu.module @m {
  // Blocks within a warp: a row's sum takes 2 shuffles in the quad, its 8 rows
  // 3 more, for the upper and the lower half. Nobody waits for anybody.
  // CHECK-LABEL: gpu.func @within
  // CHECK-NOT:     nvvm.barrier0
  // CHECK-COUNT-7: nvvm.shfl.sync bfly
  // CHECK-NOT:     nvvm.shfl.sync
  // One lane writes, where row and column exist.
  // CHECK:         scf.if
  // CHECK:           arith.andi
  // CHECK:           scf.if
  // CHECK-NOT:         llvm.load
  // CHECK:             llvm.store %{{.*}} : f32, !llvm.ptr<1>
  // CHECK-NOT:     llvm.store
  // CHECK:         gpu.return
  gpu.func @within(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = unitile.fill %x : f32 -> !unitile.fragment<32x16xf32>
    unitile.store_blocks max %p blocks 16x16 to %m rows %row, %rows columns %row, %rows stride %stride : !unitile.fragment<32x16xf32>
    gpu.return
  }

  // Blocks of 8 rows: the halves of a warp's rows are two blocks, each written.
  // CHECK-LABEL: gpu.func @halves
  // CHECK-NOT:     nvvm.barrier0
  // CHECK-COUNT-5: nvvm.shfl.sync bfly
  // CHECK:         llvm.store
  // CHECK-COUNT-5: nvvm.shfl.sync bfly
  // CHECK-NOT:     nvvm.shfl.sync
  // CHECK:         llvm.store
  // CHECK:         gpu.return
  gpu.func @halves(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = unitile.fill %x : f32 -> !unitile.fragment<32x16xf32>
    unitile.store_blocks add %p blocks 8x16 to %m rows %row, %rows columns %row, %rows stride %stride : !unitile.fragment<32x16xf32>
    gpu.return
  }

  // Several columns of blocks: lane j keeps and writes column j.
  // CHECK-LABEL: gpu.func @lanes
  // CHECK-COUNT-14: nvvm.shfl.sync bfly
  // CHECK:         arith.select
  // CHECK-NOT:     nvvm.shfl.sync
  // CHECK:         llvm.store
  // CHECK-NOT:     llvm.store
  // CHECK:         gpu.return
  gpu.func @lanes(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = unitile.fill %x : f32 -> !unitile.fragment<32x16xf32>
    unitile.store_blocks max %p blocks 16x8 to %m rows %row, %rows columns %row, %rows stride %stride : !unitile.fragment<32x16xf32>
    gpu.return
  }

  // Rows of their own: four columns of blocks, or what there is of them, are one
  // for each lane of a quad, in three shuffles for the upper 8 rows and three for
  // the lower.
  // CHECK-LABEL: gpu.func @rows
  // CHECK-COUNT-3: nvvm.shfl.sync bfly
  // CHECK:         llvm.store %{{.*}} : f32, !llvm.ptr<1>
  // CHECK-COUNT-3: nvvm.shfl.sync bfly
  // CHECK-NOT:     nvvm.shfl.sync
  // CHECK:         llvm.store
  // CHECK-NOT:     llvm.store
  // CHECK:         gpu.return
  gpu.func @rows(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = unitile.fill %x : f32 -> !unitile.fragment<32x48xf32>
    unitile.store_blocks add %p blocks 1x16 to %m rows %row, %rows columns %row, %rows stride %stride : !unitile.fragment<32x48xf32>
    gpu.return
  }

  // A block of two warps: each leaves its part in shared memory, between
  // barriers, and a thread of the block combines the parts.
  // CHECK-LABEL: gpu.func @across
  // CHECK:         nvvm.barrier0
  // CHECK-COUNT-7: nvvm.shfl.sync bfly
  // CHECK:         llvm.store %{{.*}} : f32, !llvm.ptr<3>
  // CHECK:         nvvm.barrier0
  // CHECK:         scf.if
  // CHECK-COUNT-2:   llvm.load %{{.*}} : !llvm.ptr<3> -> f32
  // CHECK:           arith.maxnumf
  // CHECK:           llvm.store %{{.*}} : f32, !llvm.ptr<1>
  // CHECK-NOT:     nvvm.barrier0
  // CHECK:         gpu.return
  gpu.func @across(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %scratch = unitile.alloc : !unitile.shared<8x64xbf16>
    %p = unitile.fill %x : f32 -> !unitile.fragment<32x16xf32>
    unitile.store_blocks max %p blocks 32x16 to %m rows %row, %rows columns %row, %rows stride %stride
      scratch %scratch as !unitile.shared<8x64xbf16> : !unitile.fragment<32x16xf32>
    gpu.return
  }

  // Accumulating reads what is there, and only then.
  // CHECK-LABEL: gpu.func @accumulate
  // CHECK-SAME:    %[[LATER:[a-z0-9]*]]: i1
  // CHECK:         %[[OLD:.*]] = scf.if %[[LATER]] -> (f32)
  // CHECK-NEXT:      %[[WAS:.*]] = llvm.load %[[AT:.*]] : !llvm.ptr<1> -> f32
  // CHECK-NEXT:      scf.yield %[[WAS]]
  // CHECK-NEXT:    } else {
  // CHECK:         %[[SUM:.*]] = arith.addf %[[OLD]],
  // CHECK-NEXT:    llvm.store %[[SUM]], %[[AT]]
  gpu.func @accumulate(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64, %later: i1)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = unitile.fill %x : f32 -> !unitile.fragment<32x16xf32>
    unitile.store_blocks max %p blocks 16x16 to %m rows %row, %rows columns %row, %rows stride %stride
      accumulate %later : !unitile.fragment<32x16xf32>
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @pieces(%x: f32, %m: !llvm.ptr<1>, %row: i32, %rows: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %scratch = unitile.alloc : !unitile.shared<8x64xbf16>
    %p = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
    // expected-error@+2 {{expected 16 rows a warp with blocks of more than 16 rows, got '!unitile.fragment<64x16xf32>' in 2 warps}}
    // expected-error@+1 {{failed to legalize operation 'unitile.store_blocks'}}
    unitile.store_blocks max %p blocks 32x16 to %m rows %row, %rows columns %row, %rows stride %stride
      scratch %scratch as !unitile.shared<8x64xbf16> : !unitile.fragment<64x16xf32>
    gpu.return
  }
}
