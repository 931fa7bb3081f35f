// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-allocate-shared))' -split-input-file -verify-diagnostics | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: gpu.func @in_order
  // CHECK-SAME:    unitile.shared_bytes = 55296 : i64
  // CHECK:         unitile.alloc offset 0 : !unitile.shared<8x64xbf16>
  // CHECK:         unitile.alloc offset 1024 : !unitile.shared<128x128xbf16>
  // One row of 80 columns takes two panels of 64.
  // CHECK:         unitile.alloc offset 33792 : !unitile.shared<64x80xf16>
  // CHECK:         unitile.alloc offset 50176 : !unitile.shared<8x16xf16>
  // Of f32, a panel has 32 columns.
  // CHECK:         unitile.alloc offset 51200 : !unitile.shared<8x80xf32>
  // CHECK:         unitile.alloc offset 54272 : !unitile.shared<8x32xf32>
  gpu.func @in_order() kernel {
    %a = unitile.alloc : !unitile.shared<8x64xbf16>
    %b = unitile.alloc : !unitile.shared<128x128xbf16>
    %c = unitile.alloc : !unitile.shared<64x80xf16>
    %d = unitile.alloc : !unitile.shared<8x16xf16>
    %e = unitile.alloc : !unitile.shared<8x80xf32>
    %f = unitile.alloc : !unitile.shared<8x32xf32>
    gpu.return
  }
  // CHECK-LABEL: gpu.func @kept
  // CHECK:         unitile.alloc offset 12288 : !unitile.shared<8x64xbf16>
  // CHECK:         unitile.alloc offset 4096 : !unitile.shared<64x64xbf16>
  gpu.func @kept() kernel {
    %a = unitile.alloc : !unitile.shared<8x64xbf16>
    %b = unitile.alloc offset 4096 : !unitile.shared<64x64xbf16>
    gpu.return
  }
}

// -----

gpu.module @m {
  // expected-error@+1 {{expected tiles of at most 101376 bytes of shared memory, got 131072}}
  gpu.func @too_much() kernel {
    %a = unitile.alloc : !unitile.shared<128x128xbf16, 4>
    gpu.return
  }
}
