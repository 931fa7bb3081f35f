// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(convert-unitile-to-nvvm,canonicalize,cse))' -split-input-file -verify-diagnostics | FileCheck %s

!x = !unitile.fragment<128x16xf32, #unitile.row_fragment>
!m = !unitile.rows<128xf32, #unitile.row_fragment>

// The lowering asks the layout and knows none: with a thread for each row, 16
// elements are a thread's, no lane asks another, and a row is stored by pairs.
gpu.module @m {
  // CHECK-LABEL: gpu.func @rows
  // CHECK-SAME:      %[[F:.*]]: f32, %[[O:.*]]: !llvm.ptr<1>, %[[ROW:.*]]: i32
  // Thread t has row t: 32 w + l.
  // CHECK-DAG:     %[[C32:.*]] = arith.constant 32 : i32
  // CHECK-DAG:     %[[T:.*]] = nvvm.read.ptx.sreg.tid.x : i32
  // CHECK-DAG:     %[[W:.*]] = arith.divui %[[T]], %[[C32]]
  // CHECK-DAG:     %[[L:.*]] = arith.remui %[[T]], %[[C32]]
  // CHECK-DAG:     %[[B:.*]] = arith.muli %[[W]], %[[C32]]
  // CHECK:         %[[R:.*]] = arith.addi %[[B]], %[[L]]
  // CHECK-NOT:     nvvm.shfl
  // CHECK-COUNT-16: arith.maxnumf
  // CHECK-NOT:     nvvm.shfl
  // CHECK:         arith.addi %[[ROW]], %[[R]]
  // CHECK:         scf.if
  // CHECK-COUNT-8:   llvm.store {{.*}} : vector<2xf32>
  // CHECK-NOT:       llvm.store {{.*}} : vector<2xf32>
  // CHECK:         gpu.return
  gpu.func @rows(%f: f32, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %x = unitile.map indices -> !x {
    ^bb0(%i: i32, %j: i32):
      %k = arith.muli %i, %j : i32
      %y = arith.sitofp %k : i32 to f32
      unitile.yield %y : f32
    }
    %low = unitile.fill %f : f32 -> !m
    %top = unitile.reduce max %x, %low : !x, !m
    %d = unitile.map ins(%x, %top : !x, !m) -> !x {
    ^bb0(%e: f32, %t: f32):
      %s = arith.subf %e, %t : f32
      unitile.yield %s : f32
    }
    unitile.store %d to %o row %row limit %row stride %stride : !x
    gpu.return
  }

  // Columns c and c + 8 are the same thread's, as are all of a group.
  // CHECK-LABEL: gpu.func @columns
  // CHECK-NOT:     nvvm.shfl
  // CHECK-COUNT-8: arith.maxnumf
  // CHECK-NOT:     nvvm.shfl
  // Two groups of 8: seven additions each.
  // CHECK-COUNT-14: arith.addf
  // CHECK-NOT:     arith.addf
  // CHECK-NOT:     nvvm.shfl
  // CHECK:         gpu.return
  gpu.func @columns(%o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %x = unitile.map indices -> !x {
    ^bb0(%i: i32, %j: i32):
      %k = arith.muli %i, %j : i32
      %y = arith.sitofp %k : i32 to f32
      unitile.yield %y : f32
    }
    %f = unitile.fold max %x : !x -> !unitile.fragment<128x8xf32, #unitile.row_fragment>
    %g = unitile.sum_groups %x columns 8 : !x -> !unitile.fragment<128x8xf32, #unitile.row_fragment>
    unitile.store %f to %o row %row limit %row stride %stride : !unitile.fragment<128x8xf32, #unitile.row_fragment>
    unitile.store %g to %o row %row limit %row stride %stride : !unitile.fragment<128x8xf32, #unitile.row_fragment>
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @no_layout(%f: f32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{expected a layout; run unitile-assign-layouts}}
    %x = unitile.fill %f : f32 -> !unitile.fragment<64x16xf32>
    gpu.return
  }
}

// -----

!a = !unitile.fragment<64x16xbf16, #unitile.mma_fragment>
!acc = !unitile.fragment<64x64xf32, #unitile.mma_fragment>

gpu.module @m {
  gpu.func @no_atom(%x: bf16, %z: f32, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %k = unitile.alloc offset 0 : !unitile.shared<64x16xbf16>
    %a = unitile.fill %x : bf16 -> !a
    %o = unitile.fill %z : f32 -> !acc
    // expected-error@+1 {{expected an atom; run unitile-assign-layouts}}
    %s = unitile.mma %a, %k[%i], %o : !a, !unitile.shared<64x16xbf16>, !acc
    gpu.return
  }
}

// -----

gpu.module @m {
  // 32 rows for each warp, not 16.
  gpu.func @share_out(%f: f32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{expected a number of rows that is a multiple of 128, 32 for each of the kernel's 4 warps, got '!unitile.rows<64xf32, #unitile.row_fragment>'}}
    %x = unitile.fill %f : f32 -> !unitile.rows<64xf32, #unitile.row_fragment>
    gpu.return
  }
}

// -----

gpu.module @m {
  // ldmatrix gives other elements.
  gpu.func @load(%i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %k = unitile.alloc offset 0 : !unitile.shared<128x16xbf16>
    // expected-error@+1 {{expected a layout of matrices of 8 x 8, got '!unitile.fragment<128x16xbf16, #unitile.row_fragment>'}}
    %x = unitile.load %k[%i] : !unitile.shared<128x16xbf16> -> !unitile.fragment<128x16xbf16, #unitile.row_fragment>
    gpu.return
  }
}
