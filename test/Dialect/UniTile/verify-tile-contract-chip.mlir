// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-verify-tile-contract{hopper=false}))'
// RUN: not unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_80})' 2>&1 | FileCheck %s
// RUN: not unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_90})' 2>&1 | FileCheck %s

// The pipeline asks for what its chip has.
// CHECK-COUNT-14: [U18] expected a chip with wgmma and TMA, as sm_90a
!tile = !unitile.shared<64x64xbf16>
!in = !unitile.fragment<64x64xbf16>
!sums = !unitile.pending<64x64xf32>
!barriers = !unitile.barriers<1>
gpu.module @m {
  gpu.func @u18_tensor_copy(%map: !llvm.ptr {unitile.tensor_map}, %k: !tile, %b: !barriers, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !tile, !barriers
    gpu.return
  }
  gpu.func @u18_cluster() kernel attributes {known_block_size = array<i32: 128, 1, 1>, known_cluster_size = array<i32: 2, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.barrier cluster
    gpu.return
  }
  gpu.func @u18_barriers() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    %b = unitile.barriers arrivals 1 : !barriers
    gpu.return
  }
  gpu.func @u18_await(%b: !barriers, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.await %b[%i] parity %i : !barriers
    gpu.return
  }
  gpu.func @u18_test(%b: !barriers, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    %0 = unitile.test %b[%i] parity %i : !barriers
    gpu.return
  }
  gpu.func @u18_arrive(%b: !barriers, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.arrive %b[%i] : !barriers
    gpu.return
  }
  gpu.func @u18_clear(%k: !tile, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.clear %k[%i] from %i : !tile
    gpu.return
  }
  gpu.func @u18_write(%k: !tile, %x: !in, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.write %x to %k[%i] : !in, !tile
    gpu.return
  }
  gpu.func @u18_send(%map: !llvm.ptr {unitile.tensor_map}, %k: !tile, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.tensor_store %k[%i] to %map[%i, %i] : !tile
    gpu.return
  }
  gpu.func @u18_send_wait() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.tensor_store_wait
    gpu.return
  }
  gpu.func @u18_mma_fence() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.mma_fence
    gpu.return
  }
  gpu.func @u18_mma_start(%a: !in, %k: !tile, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    %s = unitile.mma_start %a, %k[%i] : !in, !tile -> !sums
    gpu.return
  }
  gpu.func @u18_mma_wait(%s: !sums) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    %r = unitile.mma_wait 0, %s : !sums
    gpu.return
  }
  gpu.func @u18_roles() kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    // expected-error@+1 {{[U18] expected a chip with wgmma and TMA, as sm_90a}}
    unitile.partitions producer {
    } consumers {
    }
    gpu.return
  }
}

// -----

// What every chip has.
!tile = !unitile.shared<64x64xbf16>
gpu.module @m {
  gpu.func @all(%p: !llvm.ptr<1>, %i: i32, %s: i64, %x: f32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %k = unitile.alloc : !tile
    %w = unitile.words 4 : !llvm.ptr<3>
    unitile.copy_async %p row %i limit %i stride %s to %k[%i] : !tile
    unitile.commit
    unitile.wait 0
    unitile.barrier
    %a = unitile.load %k[%i] : !tile -> !unitile.fragment<64x64xbf16>
    %zero = unitile.fill %x : f32 -> !unitile.fragment<64x64xf32>
    %sums = unitile.mma %a, %k[%i], %zero : !unitile.fragment<64x64xbf16>, !tile, !unitile.fragment<64x64xf32>
    %none = unitile.fill %x : f32 -> !unitile.rows<64xf32>
    %top = unitile.reduce max %sums, %none : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
    unitile.store %top to %p row %i limit %i stride %s : !unitile.rows<64xf32>
    gpu.return
  }
}
