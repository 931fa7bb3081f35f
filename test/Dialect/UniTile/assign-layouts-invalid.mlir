// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts))'

!row = !unitile.fragment<64x64xbf16, #unitile.row_fragment>
!acc = !unitile.fragment<64x64xf32>

gpu.module @m {
  // Nothing moves elements between lanes here: the product cannot have what the
  // person wants.
  gpu.func @u36_product(%n: i32, %z: bf16, %y: f32) kernel {
    %k = unitile.alloc : !unitile.shared<64x64xbf16>
    // expected-error@+1 {{[U36] expected one layout of what is computed together, got #unitile.row_fragment and #unitile.mma_fragment}}
    %a = unitile.fill %z : bf16 -> !row
    %zero = unitile.fill %y : f32 -> !acc
    %s = unitile.mma %a, %k[%n], %zero : !row, !unitile.shared<64x64xbf16>, !acc
    gpu.return
  }
}

// -----

!asked = !unitile.fragment<64x64xf32, #unitile.row_fragment>

gpu.module @m {
  // Into a loop.
  gpu.func @u36_loop(%n: i32, %z: f32, %w: bf16) kernel {
    %k = unitile.alloc : !unitile.shared<64x64xbf16>
    %a = unitile.fill %w : bf16 -> !unitile.fragment<64x64xbf16>
    %x = unitile.fill %z : f32 -> !asked
    %o = scf.for %i = %n to %n step %n iter_args(%t = %x) -> !asked : i32 {
      // expected-error@+1 {{[U36] expected one layout of what is computed together, got #unitile.row_fragment and #unitile.mma_fragment}}
      %s = unitile.mma %a, %k[%n], %t : !unitile.fragment<64x64xbf16>, !unitile.shared<64x64xbf16>, !asked
      scf.yield %s : !asked
    }
    gpu.return
  }
}
