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

// A thread's positions are one conversion and literals: its elements stand in two
// rows 8 apart, in pairs of columns 8 apart.
gpu.module @m {
  // CHECK-LABEL: gpu.func @positions
  // CHECK-SAME:    %[[KEY:.*]]: i32, %[[QUERY:.*]]: i32, %[[FACTOR:.*]]: i32
  // CHECK-COUNT-2: arith.sitofp
  // CHECK-NOT:     arith.sitofp
  // CHECK:         arith.addf %[[D:.*]], %{{.*}} : f32
  // CHECK:         gpu.return
  gpu.func @positions(%key: i32, %query: i32, %factor: i32, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %m = unitile.map indices -> !unitile.fragment<64x16xf32> {
    ^bb0(%i: i32, %j: i32):
      %t = arith.addi %key, %j overflow<nsw> : i32
      %s = arith.addi %query, %i overflow<nsw> : i32
      %two = arith.constant 2 : i32
      %twice = arith.muli %factor, %two : i32
      %d = arith.subi %t, %s overflow<nsw> : i32
      %f = arith.addi %d, %twice overflow<nsw> : i32
      %x = arith.sitofp %f : i32 to f32
      // The magnitude of another sum.
      %a = math.absi %d : i32
      %y = arith.sitofp %a : i32 to f32
      %p = arith.mulf %x, %y : f32
      unitile.yield %p : f32
    }
    unitile.store %m to %o row %row limit %row stride %stride : !unitile.fragment<64x16xf32>
    gpu.return
  }
  // What may wrap, or is no sum, is converted element by element.
  // CHECK-LABEL: gpu.func @other_positions
  // CHECK-COUNT-24: arith.sitofp
  // CHECK-NOT:     arith.sitofp
  // CHECK:         gpu.return
  gpu.func @other_positions(%key: i32, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %m = unitile.map indices -> !unitile.fragment<64x16xf32> {
    ^bb0(%i: i32, %j: i32):
      %t = arith.addi %key, %j : i32
      %x = arith.sitofp %t : i32 to f32
      %s = arith.muli %j, %i overflow<nsw> : i32
      %y = arith.sitofp %s : i32 to f32
      %z = arith.sitofp %j : i32 to f32
      %p = arith.mulf %x, %y : f32
      %q = arith.mulf %p, %z : f32
      unitile.yield %q : f32
    }
    unitile.store %m to %o row %row limit %row stride %stride : !unitile.fragment<64x16xf32>
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
