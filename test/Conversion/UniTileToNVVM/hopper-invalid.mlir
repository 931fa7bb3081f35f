// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-allocate-shared{limit=232448},unitile-assign-layouts,convert-unitile-to-nvvm))'

gpu.module @m {
  gpu.func @rows(%x: bf16, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %k = unitile.alloc : !unitile.shared<64x16xbf16>
    %a = unitile.fill %x : bf16 -> !unitile.fragment<128x16xbf16>
    // expected-error@+2 {{expected 64 rows for each of whole warpgroups, got 128 rows for 4 warps}}
    // expected-error@+1 {{failed to legalize operation 'unitile.mma_start'}}
    %s = unitile.mma_start %a, %k[%i] : !unitile.fragment<128x16xbf16>, !unitile.shared<64x16xbf16> -> !unitile.pending<128x64xf32>
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @turns() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    unitile.partitions producer {
      %c0 = arith.constant 0 : i32
    } consumers {
      // expected-error@+2 {{expected two warpgroups to take turns, got 1}}
      // expected-error@+1 {{failed to legalize operation 'unitile.take_turn'}}
      unitile.take_turn
    }
    gpu.return
  }
}
