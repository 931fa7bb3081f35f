// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract))'

!tile = !unitile.shared<64x64xbf16>
!ring = !unitile.shared<64x64xbf16, 2>
!bar = !unitile.barriers<2>
!frag = !unitile.fragment<64x64xbf16>
!sums = !unitile.pending<64x64xf32>

gpu.module @m {
  // Each way to fill: by threads, by TMA, by what has been computed.
  gpu.func @right(%p: !llvm.ptr<1>, %map: !llvm.ptr, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !ring
    %v = unitile.alloc : !ring
    %o = unitile.alloc : !ring
    %q = unitile.alloc : !tile
    %b = unitile.barriers arrivals 1 : !bar
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !ring
    unitile.tensor_copy %map[%n, %n] to %v[%n] on %b[%n] : !ring, !bar
    unitile.tensor_copy %map[%n, %n] to %q[%n] on %b[%n] : !tile, !bar
    unitile.commit
    unitile.wait 0
    unitile.await %b[%n] parity %n : !bar
    unitile.barrier
    %a = unitile.load %k[%n] : !ring -> !frag
    %s = unitile.mma_start %q, %v[%n] : !tile, !ring -> !sums
    %r = unitile.mma_wait 0, %s : !sums
    unitile.write %a to %o[%n] : !frag, !ring
    unitile.tensor_store %o[%n] to %map[%n, %n] : !ring
    gpu.return
  }

  // What a warpgroup has written it sends, once and again; others read it behind
  // a barrier.
  gpu.func @written(%map: !llvm.ptr, %x: !frag, %n: i32) kernel {
    %o = unitile.alloc : !tile
    unitile.write %x to %o[%n] : !frag, !tile
    unitile.tensor_store %o[%n] to %map[%n, %n] : !tile
    unitile.tensor_store_wait
    unitile.write %x to %o[%n] : !frag, !tile
    unitile.tensor_store %o[%n] to %map[%n, %n] : !tile
    unitile.barrier
    %a = unitile.load %o[%n] : !tile -> !frag
    gpu.return
  }
}

// -----

!tile = !unitile.shared<64x64xbf16>
!ring = !unitile.shared<64x64xbf16, 2>
!bar = !unitile.barriers<2>
!frag = !unitile.fragment<64x64xbf16>
!acc = !unitile.fragment<64x64xf32>
!sums = !unitile.pending<64x64xf32>

gpu.module @m {
  gpu.func @u32_load(%n: i32) kernel {
    %k = unitile.alloc : !ring
    // expected-error@+1 {{[U32] reads a tile that nothing fills; put a unitile.copy_async, unitile.tensor_copy or unitile.write before it}}
    %a = unitile.load %k[%n] : !ring -> !frag
    gpu.return
  }

  gpu.func @u32_mma(%x: !frag, %c: !acc, %n: i32) kernel {
    %k = unitile.alloc : !ring
    // expected-error@+1 {{[U32] reads a tile that nothing fills}}
    %s = unitile.mma %x, %k[%n], %c : !frag, !ring, !acc
    gpu.return
  }

  gpu.func @u32_mma_start(%x: !frag, %n: i32) kernel {
    %k = unitile.alloc : !ring
    // expected-error@+1 {{[U32] reads a tile that nothing fills}}
    %s = unitile.mma_start %x, %k[%n] : !frag, !ring -> !sums
    gpu.return
  }

  // Zeros behind the rows that have come fill nothing.
  gpu.func @u32_send(%map: !llvm.ptr, %n: i32) kernel {
    %k = unitile.alloc : !ring
    unitile.clear %k[%n] from %n : !ring
    // expected-error@+1 {{[U32] reads a tile that nothing fills}}
    unitile.tensor_store %k[%n] to %map[%n, %n] : !ring
    gpu.return
  }

  // Only b has been filled.
  gpu.func @u7_mma_start_a(%map: !llvm.ptr, %n: i32) kernel {
    %q = unitile.alloc : !tile
    %k = unitile.alloc : !ring
    %b = unitile.barriers arrivals 1 : !bar
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %b[%n] : !ring, !bar
    unitile.await %b[%n] parity %n : !bar
    // expected-error@+1 {{[U7] reads a tile that nothing may have been copied into}}
    %s = unitile.mma_start %q, %k[%n] : !tile, !ring -> !sums
    gpu.return
  }

  gpu.func @u7_mma_start_b(%x: !frag, %p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !tile
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !tile
    unitile.commit
    // expected-error@+1 {{[U7] reads a tile whose copy may be in flight}}
    %s = unitile.mma_start %x, %k[%n] : !frag, !tile -> !sums
    unitile.wait 0
    gpu.return
  }

  gpu.func @u7_send(%map: !llvm.ptr, %n: i32) kernel {
    %o = unitile.alloc : !tile
    // expected-error@+1 {{[U7] reads a tile that nothing may have been copied into}}
    unitile.tensor_store %o[%n] to %map[%n, %n] : !tile
    gpu.return
  }

  gpu.func @u7_written(%x: !frag, %n: i32) kernel {
    %o = unitile.alloc : !tile
    unitile.write %x to %o[%n] : !frag, !tile
    // expected-error@+1 {{[U7] reads a tile that other threads wrote parts of; put a unitile.barrier behind the unitile.write}}
    %a = unitile.load %o[%n] : !tile -> !frag
    gpu.return
  }

  gpu.func @u8_write(%x: !frag, %n: i32) kernel {
    %o = unitile.alloc : !tile
    unitile.write %x to %o[%n] : !frag, !tile
    unitile.barrier
    %a = unitile.load %o[%n] : !tile -> !frag
    // expected-error@+1 {{[U8] overwrites a tile that other threads may still read; put a unitile.barrier before it}}
    unitile.write %x to %o[%n] : !frag, !tile
    gpu.return
  }

  // Under another name an empty tile is no better.
  gpu.func @u32_name(%n: i32) kernel {
    %k = unitile.alloc : !ring
    %v = scf.for %i = %n to %n step %n iter_args(%t = %k) -> !ring : i32 {
      // expected-error@+1 {{[U32] expected a tile that unitile.alloc gives, got what a loop or a branch hands on}}
      %a = unitile.load %t[%n] : !ring -> !frag
      scf.yield %t : !ring
    }
    // expected-error@+1 {{[U32] expected a tile that unitile.alloc gives}}
    %a = unitile.load %v[%n] : !ring -> !frag
    gpu.return
  }

  gpu.func @u32_barriers_name(%n: i32) kernel {
    %b = unitile.barriers arrivals 1 : !bar
    scf.for %i = %n to %n step %n iter_args(%t = %b) -> !bar : i32 {
      // expected-error@+1 {{[U32] expected barriers that unitile.barriers gives, got what a loop or a branch hands on}}
      unitile.await %t[%n] parity %n : !bar
      scf.yield %t : !bar
    }
    gpu.return
  }
}

// -----

!tile = !unitile.shared<64x64xbf16>
!ring = !unitile.shared<64x64xbf16, 3>
!bar = !unitile.barriers<3>
!frag = !unitile.fragment<64x64xbf16>
!sums = !unitile.pending<64x64xf32>

gpu.module @m {
  // The answer of a test, from the step before, or a wait.
  gpu.func @tested(%map: !llvm.ptr, %x: !frag, %n: i32) kernel {
    %k = unitile.alloc : !ring
    %full = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %full[%n] : !ring, !bar
    %first = unitile.test %full[%n] parity %n : !bar
    %last = scf.for %i = %n to %n step %n iter_args(%ready = %first) -> i1 : i32 {
      scf.if %ready {
      } else {
        unitile.await %full[%n] parity %n : !bar
      }
      %s = unitile.mma_start %x, %k[%n] : !frag, !ring -> !sums
      %r = unitile.mma_wait 0, %s : !sums
      %next = unitile.test %full[%n] parity %n : !bar
      scf.yield %next : i1
    }
    gpu.return
  }

  gpu.func @u7_not_awaited(%map: !llvm.ptr, %x: !frag, %n: i32) kernel {
    %k = unitile.alloc : !ring
    %full = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %full[%n] : !ring, !bar
    // expected-error@+1 {{[U7] reads a tile whose TMA load may be in flight; unitile.await its barrier first}}
    %s = unitile.mma_start %x, %k[%n] : !frag, !ring -> !sums
    unitile.await %full[%n] parity %n : !bar
    gpu.return
  }

  // For something else.
  gpu.func @u7_other_barriers(%map: !llvm.ptr, %n: i32) kernel {
    %k = unitile.alloc : !tile
    %full = unitile.barriers arrivals 1 : !bar
    %empty = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %full[%n] : !tile, !bar
    unitile.await %empty[%n] parity %n : !bar
    // expected-error@+1 {{[U7] reads a tile whose TMA load may be in flight}}
    %a = unitile.load %k[%n] : !tile -> !frag
    gpu.return
  }

  // What the producer waits for its consumers have not waited for.
  gpu.func @u7_roles(%map: !llvm.ptr, %n: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %k = unitile.alloc : !ring
    %full = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    unitile.partitions producer {
      unitile.tensor_copy %map[%n, %n] to %k[%n] on %full[%n] : !ring, !bar
      unitile.await %full[%n] parity %n : !bar
    } consumers {
      // expected-error@+1 {{[U7] reads a tile whose TMA load may be in flight}}
      %a = unitile.load %k[%n] : !ring -> !frag
    }
    gpu.return
  }
}

// -----

!ring = !unitile.shared<64x64xbf16, 3>
!frag = !unitile.fragment<64x64xbf16>

gpu.module @m {
  // Two stages on their way, one to read; one barrier for all, waited for by
  // the thread that fills.
  gpu.func @right(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !ring
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !ring
    unitile.commit
    unitile.copy_async %p row %n limit %n stride %stride to %k[%n] : !ring
    unitile.commit
    scf.for %i = %n to %n step %n : i32 {
      unitile.copy_async %p row %i limit %n stride %stride to %k[%n] : !ring
      unitile.commit
      unitile.wait 2
      unitile.barrier
      %a = unitile.load %k[%n] : !ring -> !frag
      unitile.barrier
    }
    unitile.wait 0
    gpu.return
  }

  gpu.func @tail(%map: !llvm.ptr, %n: i32) kernel {
    %k = unitile.alloc : !ring
    %full = unitile.barriers arrivals 1 : !unitile.barriers<1>
    unitile.barrier
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %full[%n] : !ring, !unitile.barriers<1>
    unitile.await %full[%n] parity %n : !unitile.barriers<1>
    %a = unitile.load %k[%n] : !ring -> !frag
    gpu.return
  }

  gpu.func @u35_groups(%p: !llvm.ptr<1>, %n: i32, %stride: i64) kernel {
    %k = unitile.alloc : !ring
    scf.for %i = %n to %n step %n : i32 {
      unitile.copy_async %p row %i limit %n stride %stride to %k[%n] : !ring
      unitile.commit
      unitile.wait 3
      unitile.barrier
      // expected-error@+1 {{[U35] expected at most 2 groups of copies in flight into a tile of 3 stages that is read, got 3}}
      %a = unitile.load %k[%n] : !ring -> !frag
      unitile.barrier
    }
    unitile.wait 0
    gpu.return
  }

  gpu.func @u35_barriers(%map: !llvm.ptr, %n: i32) kernel {
    %k = unitile.alloc : !ring
    %full = unitile.barriers arrivals 1 : !unitile.barriers<2>
    unitile.barrier
    // expected-error@+1 {{[U35] expected a barrier for each of the tile's 3 stages, or a unitile.await behind the copy, got 2}}
    unitile.tensor_copy %map[%n, %n] to %k[%n] on %full[%n] : !ring, !unitile.barriers<2>
    gpu.return
  }
}
