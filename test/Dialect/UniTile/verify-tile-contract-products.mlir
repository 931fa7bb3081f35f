// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract))'

!in = !unitile.fragment<64x64xbf16>
!ring = !unitile.shared<64x64xbf16, 2>
!bar = !unitile.barriers<2>
!sums = !unitile.pending<64x64xf32>

gpu.module @m {
  // The first while the second is in flight; then the second; one from before a
  // loop when all are done.
  gpu.func @right(%map: !llvm.ptr, %a: !in, %i: i32) kernel {
    %k = unitile.alloc : !ring
    %b = unitile.barriers arrivals 1 : !bar
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !ring, !bar
    unitile.await %b[%i] parity %i : !bar
    %s = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    %t = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    %sr = unitile.mma_wait 1, %s : !sums
    %tr = unitile.mma_wait 0, %t : !sums
    %u = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    scf.for %n = %i to %i step %i : i32 {
      %ur = unitile.mma_wait 0, %u : !sums
    }
    gpu.return
  }

  gpu.func @u34_latest(%map: !llvm.ptr, %a: !in, %i: i32) kernel {
    %k = unitile.alloc : !ring
    %b = unitile.barriers arrivals 1 : !bar
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !ring, !bar
    unitile.await %b[%i] parity %i : !bar
    %s = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    %t = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    // expected-error@+1 {{[U34] expected at most 0 products in flight, as many as were started behind that which is waited for, got 1}}
    %tr = unitile.mma_wait 1, %t : !sums
    gpu.return
  }

  // Started on one way only.
  gpu.func @u34_branch(%map: !llvm.ptr, %a: !in, %i: i32, %c: i1) kernel {
    %k = unitile.alloc : !ring
    %b = unitile.barriers arrivals 1 : !bar
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !ring, !bar
    unitile.await %b[%i] parity %i : !bar
    %s = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    scf.if %c {
      %t = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    }
    // expected-error@+1 {{[U34] expected at most 0 products in flight}}
    %sr = unitile.mma_wait 1, %s : !sums
    gpu.return
  }

  gpu.func @u34_elsewhere(%map: !llvm.ptr, %a: !in, %i: i32, %c: i1) kernel {
    %k = unitile.alloc : !ring
    %b = unitile.barriers arrivals 1 : !bar
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !ring, !bar
    unitile.await %b[%i] parity %i : !bar
    %s = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
    scf.if %c {
      %t = unitile.mma_start %a, %k[%i] : !in, !ring -> !sums
      // expected-error@+1 {{[U34] expected no products in flight behind the wait for one that was not started in its block, got 1}}
      %sr = unitile.mma_wait 1, %s : !sums
    }
    gpu.return
  }
}
