// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts,convert-unitile-to-nvvm))' -split-input-file -verify-diagnostics | FileCheck %s

// A thread of 4 warps holds 64 x 16 / 128 elements, two rows each.
gpu.module @m {
  // CHECK-LABEL: gpu.func @elementwise
  // CHECK-NOT:     unitile.
  // CHECK-COUNT-8: arith.mulf
  // CHECK-NOT:     arith.mulf
  // CHECK:         gpu.return
  gpu.func @elementwise(%x: f32, %y: f32, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %a = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
    %r = unitile.map indices -> !unitile.rows<64xf32> {
    ^bb0(%i: i32):
      %f = arith.sitofp %i : i32 to f32
      unitile.yield %f : f32
    }
    %m = unitile.map ins(%a, %r : !unitile.fragment<64x16xf32>, !unitile.rows<64xf32>) -> !unitile.fragment<64x16xf32> {
    ^bb0(%e: f32, %top: f32):
      %p = arith.mulf %e, %top : f32
      unitile.yield %p : f32
    }
    unitile.store %m to %o row %row limit %row stride %stride : !unitile.fragment<64x16xf32>
    gpu.return
  }
  // Two shuffles finish a row's sum across the quad: two rows, four shuffles.
  // CHECK-LABEL: gpu.func @reduce
  // CHECK-COUNT-4: nvvm.shfl.sync bfly
  // CHECK-NOT:     nvvm.shfl.sync
  // CHECK:         gpu.return
  gpu.func @reduce(%f: f32, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %x = unitile.fill %f : f32 -> !unitile.fragment<64x16xf32>
    %m = unitile.fill %f : f32 -> !unitile.rows<64xf32>
    %s = unitile.reduce max %x, %m : !unitile.fragment<64x16xf32>, !unitile.rows<64xf32>
    unitile.store %s to %o row %row limit %row stride %stride : !unitile.rows<64xf32>
    gpu.return
  }
}

// -----

gpu.module @m {
  // expected-error@+1 {{expected a known_block_size of whole warps along x}}
  gpu.func @no_size(%x: f32) kernel {
    %a = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @rows(%x: f32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    // expected-error@+1 {{expected a number of rows that is a multiple of 128, 16 for each of the kernel's 8 warps, got '!unitile.fragment<64x16xf32, #unitile.mma_fragment>'}}
    %a = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @no_offset(%s: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+2 {{expected an offset in shared memory; run unitile-allocate-shared}}
    // expected-error@+1 {{failed to legalize operation 'unitile.alloc'}}
    %k = unitile.alloc : !unitile.shared<64x64xbf16>
    gpu.return
  }
}
