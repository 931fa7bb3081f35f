// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract{hopper=false}))'
// RUN: not unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_90})' 2>&1 | FileCheck %s

// The pipeline asks for what its chip has.
// CHECK: [U18] expected a chip with wgmma and a copy engine, as sm_90a
gpu.module @m {
  gpu.func @u18(%map: !llvm.ptr {unitile.tensor_map}, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %k = unitile.alloc : !unitile.shared<64x64xbf16>
    %b = unitile.barriers arrivals 1 : !unitile.barriers<1>
    unitile.barrier
    // expected-error@+1 {{[U18] expected a chip with wgmma and a copy engine, as sm_90a}}
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !unitile.shared<64x64xbf16>, !unitile.barriers<1>
    gpu.return
  }
  gpu.func @u18_cluster() kernel attributes {known_block_size = array<i32: 128, 1, 1>, known_cluster_size = array<i32: 2, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and a copy engine, as sm_90a}}
    unitile.barrier cluster
    gpu.return
  }
}
