// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract))'

!tile = !unitile.shared<64x64xbf16>
!frag = !unitile.fragment<64x64xbf16>

gpu.module @m {
  // Two tiles take turns in a loop, one copied while the other is read.
  gpu.func @right(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %k = unitile.alloc : !tile
    %v = unitile.alloc : !tile
    unitile.copy_async %p row %c0 limit %n stride %stride to %k[%c0] : !tile
    unitile.commit
    scf.for %i = %c0 to %n step %c1 : i32 {
      unitile.copy_async %p row %i limit %n stride %stride to %v[%c0] : !tile
      unitile.commit
      unitile.wait 1
      unitile.barrier
      %a = unitile.load %k[%c0] : !tile -> !frag
      unitile.barrier
      unitile.copy_async %p row %i limit %n stride %stride to %k[%c0] : !tile
      unitile.commit
      unitile.wait 1
      unitile.barrier
      %b = unitile.load %v[%c0] : !tile -> !frag
      unitile.barrier
    }
    unitile.wait 0
    gpu.return
  }
}

// -----

!tile = !unitile.shared<64x64xbf16>
!frag = !unitile.fragment<64x64xbf16>

gpu.module @m {
  gpu.func @u7_untouched(%s: i32) kernel {
    %k = unitile.alloc : !tile
    // expected-error@+1 {{[U7] reads a tile that nothing may have been copied into}}
    %a = unitile.load %k[%s] : !tile -> !frag
    gpu.return
  }

  gpu.func @u7_in_flight(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !tile
    %v = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    unitile.copy_async %p row %n limit %n stride %stride to %v[%n] : !tile
    unitile.commit
    unitile.wait 1
    unitile.barrier
    %a = unitile.load %k[%n] : !tile -> !frag
    // expected-error@+1 {{[U7] reads a tile whose copy may be in flight; unitile.wait for its group first}}
    %b = unitile.load %v[%n] : !tile -> !frag
    unitile.wait 0
    gpu.return
  }

  gpu.func @u7_not_committed(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.wait 0
    unitile.barrier
    // expected-error@+1 {{[U7] reads a tile whose copy may be in flight}}
    %a = unitile.load %k[%n] : !tile -> !frag
    unitile.commit
    unitile.wait 0
    gpu.return
  }

  gpu.func @u7_no_barrier(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    unitile.wait 0
    // expected-error@+1 {{[U7] reads a tile that other threads copied parts of; put a unitile.barrier behind the unitile.wait}}
    %a = unitile.load %k[%n] : !tile -> !frag
    gpu.return
  }

  // Right in the first round, wrong from the second on.
  gpu.func @u7_loop(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %c1 = arith.constant 1 : i32
    %k = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    unitile.wait 0
    unitile.barrier
    scf.for %i = %n to %n step %c1 : i32 {
      // expected-error@+1 {{[U7] reads a tile whose copy may be in flight}}
      %a = unitile.load %k[%n] : !tile -> !frag
      unitile.barrier
      unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
      unitile.commit
    }
    unitile.wait 0
    gpu.return
  }

  // Copied on one way only.
  gpu.func @u7_branch(%p: !llvm.ptr<1>, %n: i32, %stride: i64, %c: i1) kernel {
    %k = unitile.alloc : !tile
    scf.if %c {
      unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
      unitile.commit
    }
    unitile.wait 0
    unitile.barrier
    // expected-error@+1 {{[U7] reads a tile that nothing may have been copied into}}
    %a = unitile.load %k[%n] : !tile -> !frag
    gpu.return
  }

  gpu.func @u8(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    unitile.wait 0
    unitile.barrier
    %a = unitile.load %k[%n] : !tile -> !frag
    // expected-error@+1 {{[U8] overwrites a tile that other threads may still read; put a unitile.barrier before it}}
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    unitile.wait 0
    gpu.return
  }

  // expected-error@+1 {{[U9] may end while copies are in flight; put a unitile.wait 0 before the end}}
  gpu.func @u9(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    gpu.return
  }

  // A tile that TMA fills is guarded by barriers, not followed.
  gpu.func @copy_engine(%map: !llvm.ptr, %n: i32) kernel {
    %k = unitile.alloc : !tile
    %b = unitile.barriers arrivals 1 : !unitile.barriers<1>
    unitile.barrier
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %b[%n] : !tile, !unitile.barriers<1>
    unitile.await %b[%n] parity %n : !unitile.barriers<1>
    %a = unitile.load %k[%n] : !tile -> !frag
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @u30_parallel(%n: index) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{[U30] expected to have its threads by now; run unitile-distribute-threads}}
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      scf.reduce
    }
    gpu.return
  }
}
