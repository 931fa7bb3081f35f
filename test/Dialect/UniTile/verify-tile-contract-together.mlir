// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract))'

!frag = !unitile.fragment<128x64xf32>
!rows = !unitile.rows<128xf32>

gpu.module @m {
  // Conditions and bounds of the CTA, of a warp for what a warp does together, of
  // a thread around what threads do alone.
  gpu.func @right(%p: !llvm.ptr<1>, %c: i1, %n: i32, %s: i64, %x: !frag, %top: !rows, %bound: f32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c1 = arith.constant 1 : i32
    %c32 = arith.constant 32 : index
    %id = gpu.block_id x
    %first = arith.cmpi eq, %id, %c32 : index
    scf.if %first {
      unitile.barrier
    }
    scf.for %i = %c1 to %n step %c1 : i32 {
      unitile.barrier
    }
    %below = unitile.all_below %x, %bound : !frag
    scf.if %below {
      %0 = unitile.reduce max %x, %top : !frag, !rows
    }
    %t = gpu.thread_id x
    %warp = arith.divui %t, %c32 : index
    %own = arith.cmpi eq, %warp, %id : index
    scf.if %own {
      %0 = unitile.reduce max %x, %top : !frag, !rows
    }
    %low = arith.cmpi ult, %t, %c32 : index
    scf.if %low {
      %0 = unitile.reduce max %x, %top : !frag, !rows
    }
    %zero = arith.constant 0 : index
    %one = arith.cmpi eq, %t, %zero : index
    scf.if %one {
      unitile.store %top to %p row %n limit %n stride %s : !rows
    }
    unitile.barrier
    gpu.return
  }

  // A sum over a warp by shuffles is one for all of it.
  gpu.func @butterfly(%x: f32, %bound: f32, %yes: i1) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c4 = arith.constant 4 : i32
    %c8 = arith.constant 8 : i32
    %c16 = arith.constant 16 : i32
    %c32 = arith.constant 32 : i32
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %f = arith.sitofp %lane : i32 to f32
    %f16, %v0 = gpu.shuffle xor %f, %c16, %c32 : f32
    %s16 = arith.addf %f, %f16 : f32
    %f8, %v1 = gpu.shuffle xor %s16, %c8, %c32 : f32
    %s8 = arith.addf %s16, %f8 : f32
    %f4, %v2 = gpu.shuffle xor %s8, %c4, %c32 : f32
    %s4 = arith.addf %f4, %s8 : f32
    %f2, %v3 = gpu.shuffle xor %s4, %c2, %c32 : f32
    %s2 = arith.addf %s4, %f2 : f32
    %f1, %v4 = gpu.shuffle xor %s2, %c1, %c32 : f32
    %s1 = arith.addf %s2, %f1 : f32
    %c = arith.cmpf olt, %s1, %bound : f32
    scf.if %c {
      %lanes = unitile.ballot %yes
      %many = arith.cmpi ugt, %lanes, %c16 : i32
      scf.if %many {
        %0 = unitile.ballot %yes
      }
    }
    gpu.return
  }

  // The producer feeds; the consumers meet among themselves.
  gpu.func @roles() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    unitile.partitions producer {
    } consumers {
      unitile.barrier consumers
    }
    unitile.barrier
    gpu.return
  }
}

// -----

!frag = !unitile.fragment<128x64xf32>
!in = !unitile.fragment<128x64xbf16>
!rows = !unitile.rows<128xf32>
!tile = !unitile.shared<128x64xbf16>
!bar = !unitile.barriers<1>

gpu.module @m {
  gpu.func @u33_if(%n: index) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.barrier
    }
    gpu.return
  }

  gpu.func @u33_else(%n: index) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.lane_id
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
    } else {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      gpu.barrier
    }
    gpu.return
  }

  // A loop from thread to thread, and what stands deeper in it.
  gpu.func @u33_for(%n: index, %p: i1) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c1 = arith.constant 1 : index
    scf.for %i = %t to %n step %c1 {
      scf.if %p {
        // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.for that may differ between threads}}
        unitile.barrier
      }
    }
    gpu.return
  }

  gpu.func @u33_while(%n: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %r = scf.while (%a = %n) : (i32) -> i32 {
      %t = nvvm.read.ptx.sreg.tid.x : i32
      %c = arith.cmpi ult, %a, %t : i32
      scf.condition(%c) %a : i32
    } do {
    ^bb0(%a: i32):
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.while that may differ between threads}}
      unitile.barrier
      scf.yield %a : i32
    }
    gpu.return
  }

  // A loop carries what differs into the next round, and out of it.
  gpu.func @u33_carried(%n: i32, %m: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c1 = arith.constant 1 : i32
    %sum = scf.for %i = %c1 to %n step %c1 iter_args(%s = %m) -> i32 : i32 {
      %c = arith.cmpi ult, %s, %n : i32
      scf.if %c {
        // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
        unitile.barrier
      }
      %l = nvvm.read.ptx.sreg.laneid : i32
      %next = arith.addi %s, %l : i32
      scf.yield %next : i32
    }
    gpu.return
  }

  // Threads that went round unequally often hold different counts.
  gpu.func @u33_count(%n: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %t = nvvm.read.ptx.sreg.tid.x : i32
    %count = scf.for %i = %t to %n step %c1 iter_args(%s = %c0) -> i32 : i32 {
      %next = arith.addi %s, %c1 : i32
      scf.yield %next : i32
    }
    %c = arith.cmpi ult, %count, %n : i32
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.barrier
    }
    gpu.return
  }

  // Chosen on two ways.
  gpu.func @u33_chosen(%n: index) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    %d = scf.if %c -> i1 {
      %true = arith.constant true
      scf.yield %true : i1
    } else {
      %false = arith.constant false
      scf.yield %false : i1
    }
    scf.if %d {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.barrier
    }
    gpu.return
  }

  // Each thread that takes a number has its own; each that asks, its own answer.
  gpu.func @u33_taken(%p: !llvm.ptr<1>, %n: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %own = llvm.atomicrmw add %p, %n monotonic : !llvm.ptr<1>, i32
    %c = arith.cmpi ult, %own, %n : i32
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.barrier
    }
    gpu.return
  }

  gpu.func @u33_test(%n: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %b = unitile.barriers arrivals 1 : !bar
    %c = unitile.test %b[%n] parity %n : !bar
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.barrier
    }
    gpu.return
  }

  // Without the neighbours, a sum over half of a warp.
  gpu.func @u33_half(%x: f32, %bound: f32, %yes: i1) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c2 = arith.constant 2 : i32
    %c4 = arith.constant 4 : i32
    %c8 = arith.constant 8 : i32
    %c16 = arith.constant 16 : i32
    %c32 = arith.constant 32 : i32
    %f16, %v0 = gpu.shuffle xor %x, %c16, %c32 : f32
    %s16 = arith.addf %x, %f16 : f32
    %f8, %v1 = gpu.shuffle xor %s16, %c8, %c32 : f32
    %s8 = arith.addf %s16, %f8 : f32
    %f4, %v2 = gpu.shuffle xor %s8, %c4, %c32 : f32
    %s4 = arith.addf %s8, %f4 : f32
    %f2, %v3 = gpu.shuffle xor %s4, %c2, %c32 : f32
    %s2 = arith.addf %s4, %f2 : f32
    %c = arith.cmpf olt, %s2, %bound : f32
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.ballot %yes
    }
    gpu.return
  }

  // One lane speaks for its warp.
  gpu.func @u33_arrive(%n: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %b = unitile.barriers arrivals 1 : !bar
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %c = arith.cmpi ult, %lane, %n : i32
    scf.if %c {
      unitile.arrive by_thread %b[%n] : !bar
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      unitile.arrive %b[%n] : !bar
    }
    gpu.return
  }

  // What a warp agrees on is not what all do.
  gpu.func @u33_below(%x: !frag, %bound: f32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c = unitile.all_below %x, %bound : !frag
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between warps}}
      unitile.barrier
    }
    gpu.return
  }

  gpu.func @u33_warpgroup(%n: index) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c128 = arith.constant 128 : index
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %c128 : index
    scf.if %c {
      unitile.mma_fence
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between warpgroups}}
      unitile.pass_turn
    }
    gpu.return
  }

  gpu.func @u33_switch() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    scf.index_switch %t
    case 0 {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.index_switch that may differ between threads}}
      unitile.barrier
      scf.yield
    }
    default {
      scf.yield
    }
    gpu.return
  }

  gpu.func @u33_branch(%n: index) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    cf.cond_br %c, ^bb1, ^bb2
  ^bb1:
    // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got a branch that may differ between threads}}
    unitile.barrier
    cf.br ^bb2
  ^bb2:
    gpu.return
  }

  // The barrier is only one of what warps, warpgroups and all do together.
  gpu.func @u33_reduce(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.reduce max %x, %top : !frag, !rows
    }
    gpu.return
  }
  gpu.func @u33_sum_groups(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.sum_groups %x columns 8 : !frag -> !unitile.fragment<128x8xf32>
    }
    gpu.return
  }
  gpu.func @u33_all_below(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.all_below %x, %bound : !frag
    }
    gpu.return
  }
  gpu.func @u33_load(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.load %k[%i] : !tile -> !in
    }
    gpu.return
  }
  gpu.func @u33_mma(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.mma %a, %k[%i], %y : !in, !tile, !unitile.fragment<128x128xf32>
    }
    gpu.return
  }
  gpu.func @u33_write(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      unitile.write %a to %k[%i] : !in, !tile
    }
    gpu.return
  }
  gpu.func @u33_mma_wait(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warp to come by together, got scf.if that may differ between threads}}
      %0 = unitile.mma_wait 0, %s : !unitile.pending<128x64xf32>
    }
    gpu.return
  }
  gpu.func @u33_mma_fence(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warpgroup to come by together, got scf.if that may differ between threads}}
      unitile.mma_fence
    }
    gpu.return
  }
  gpu.func @u33_mma_start(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warpgroup to come by together, got scf.if that may differ between threads}}
      %0 = unitile.mma_start %a, %k[%i] : !in, !tile -> !unitile.pending<128x128xf32>
    }
    gpu.return
  }
  gpu.func @u33_send(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a warpgroup to come by together, got scf.if that may differ between threads}}
      unitile.tensor_store %k[%i] to %map[%i, %i] : !tile
    }
    gpu.return
  }
  gpu.func @u33_barriers(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      %b = unitile.barriers arrivals 1 : !bar
    }
    gpu.return
  }
  gpu.func @u33_copy_async(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.copy_async %p row %i limit %i stride %w to %k[%i] : !tile
    }
    gpu.return
  }
  gpu.func @u33_take_turn(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.take_turn
    }
    gpu.return
  }
  gpu.func @u33_pass_turn(%map: !llvm.ptr, %p: !llvm.ptr<1>, %x: !frag, %y: !unitile.fragment<128x128xf32>, %top: !rows, %bound: f32, %a: !in,
                       %s: !unitile.pending<128x64xf32>, %k: !tile, %i: i32, %w: i64, %n: index)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = gpu.thread_id x
    %c = arith.cmpi ult, %t, %n : index
    scf.if %c {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got scf.if that may differ between threads}}
      unitile.pass_turn
    }
    gpu.return
  }

  // One thread is the producer, and the consumers are not all.
  gpu.func @u33_producer() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    unitile.partitions producer {
      // expected-error@+1 {{[U33] expected all threads of a warpgroup to come by together, got the one thread that is unitile.partitions' producer}}
      unitile.mma_fence
    } consumers {
    }
    gpu.return
  }

  gpu.func @u33_consumers() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    unitile.partitions producer {
    } consumers {
      // expected-error@+1 {{[U33] expected all threads of a CTA to come by together, got unitile.partitions' consumers alone}}
      unitile.barrier
    }
    gpu.return
  }

  gpu.func @u33_no_roles() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    // expected-error@+1 {{[U33] expected a barrier of consumers in the consumers' region of unitile.partitions}}
    unitile.barrier consumers
    gpu.return
  }
}
