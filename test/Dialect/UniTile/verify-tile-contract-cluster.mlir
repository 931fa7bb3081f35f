// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract))'

!tile = !unitile.shared<64x64xbf16>
!bar = !unitile.barriers<1>

gpu.module @m {
  // All meet before anything reaches another block, and behind it.
  gpu.func @right(%map: !llvm.ptr, %i: i32, %c: i1) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    %k = unitile.alloc : !tile
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier cluster
    scf.if %c {
      unitile.tensor_copy after_writes %map[%i, %i] to %k[%i] on %b[%i] ctas 3 : !tile, !bar
      unitile.await cluster %b[%i] parity %i : !bar
      unitile.arrive %b[%i] of 1 : !bar
    }
    unitile.barrier cluster
    gpu.return
  }
  // A cluster that nothing reaches through has nothing to wait for.
  gpu.func @apart(%i: i32) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    unitile.await %b[%i] parity %i : !bar
    gpu.return
  }
}

// -----

!tile = !unitile.shared<64x64xbf16>
!bar = !unitile.barriers<1>

gpu.module @m {
  gpu.func @u19_copy(%map: !llvm.ptr, %i: i32) kernel {
    %k = unitile.alloc : !tile
    %b = unitile.barriers arrivals 1 : !bar
    // expected-error@+1 {{[U19] expected a kernel with a known_cluster_size of at least 2, got 0}}
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] ctas 3 : !tile, !bar
    gpu.return
  }

  gpu.func @u19_mask(%map: !llvm.ptr, %i: i32) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    %k = unitile.alloc : !tile
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier cluster
    // expected-error@+1 {{[U19] expected a kernel with a known_cluster_size of at least 3, got 2}}
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] ctas 4 : !tile, !bar
    unitile.barrier cluster
    gpu.return
  }

  gpu.func @u19_after_writes(%map: !llvm.ptr, %i: i32) kernel {
    %k = unitile.alloc : !tile
    %b = unitile.barriers arrivals 1 : !bar
    // expected-error@+1 {{[U19] expected after_writes with ctas only}}
    unitile.tensor_copy after_writes %map[%i, %i] to %k[%i] on %b[%i] : !tile, !bar
    gpu.return
  }

  gpu.func @u19_arrive(%i: i32) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier cluster
    // expected-error@+1 {{[U19] expected a kernel with a known_cluster_size of at least 3, got 2}}
    unitile.arrive %b[%i] of 2 : !bar
    unitile.barrier cluster
    gpu.return
  }

  gpu.func @u19_await(%i: i32) kernel {
    %b = unitile.barriers arrivals 1 : !bar
    // expected-error@+1 {{[U19] expected a kernel with a known_cluster_size of at least 2, got 0}}
    unitile.await cluster %b[%i] parity %i : !bar
    gpu.return
  }

  gpu.func @u19_barrier() kernel {
    // expected-error@+1 {{[U19] expected a kernel with a known_cluster_size of at least 2, got 0}}
    unitile.barrier cluster
    gpu.return
  }
}

// -----

!bar = !unitile.barriers<1>

gpu.module @m {
  gpu.func @u20_start(%i: i32) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    // expected-error@+1 {{[U20] reaches other CTAs, whose barriers may not have started; put a unitile.barrier cluster behind the kernel's barriers}}
    unitile.arrive %b[%i] of 0 : !bar
    unitile.barrier cluster
    gpu.return
  }

  gpu.func @u20_start_behind(%i: i32) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    unitile.barrier cluster
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier
    // expected-error@+1 {{[U20] reaches other CTAs, whose barriers may not have started}}
    unitile.arrive %b[%i] of 0 : !bar
    unitile.barrier cluster
    gpu.return
  }

  gpu.func @u20_end(%i: i32, %c: i1) kernel attributes {known_cluster_size = array<i32: 2, 1, 1>} {
    %b = unitile.barriers arrivals 1 : !bar
    unitile.barrier cluster
    scf.if %c {
      // expected-error@+1 {{[U20] reaches other CTAs, which may have ended; put a unitile.barrier cluster before the kernel's end}}
      unitile.arrive %b[%i] of 0 : !bar
    }
    unitile.barrier
    gpu.return
  }

  // The producer's other threads would not come by.
  gpu.func @u20_place(%i: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>, known_cluster_size = array<i32: 2, 1, 1>} {
    unitile.partitions producer {
      // expected-error@+1 {{[U20] expected a barrier of a cluster in the kernel's own block}}
      unitile.barrier cluster
    } consumers {
      %c0 = arith.constant 0 : i32
    }
    gpu.return
  }
}
