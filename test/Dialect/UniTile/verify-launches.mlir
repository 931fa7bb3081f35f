// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --pass-pipeline='builtin.module(gpu.module(unitile-allocate-shared),unitile-verify-launches)'
// RUN: not unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline)' 2>&1 | FileCheck %s

// The pipeline looks where kernels are laid out.
// CHECK: [U25] expected at least 40960 bytes of dynamic shared memory, what @m::@u25_bytes lays out, got 32768
module attributes {gpu.container_module} {
  gpu.module @m {
    gpu.func @u25_bytes() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %q = unitile.alloc : !unitile.shared<64x64xbf16>
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      gpu.return
    }
  }
  func.func @host() {
    %c1 = arith.constant 1 : index
    %c128 = arith.constant 128 : index
    %bytes = arith.constant 32768 : i32
    // expected-error@+1 {{'gpu.launch_func' op [U25] expected at least 40960 bytes of dynamic shared memory, what @m::@u25_bytes lays out, got 32768}}
    gpu.launch_func @m::@u25_bytes blocks in (%c1, %c1, %c1) threads in (%c128, %c1, %c1) dynamic_shared_memory_size %bytes
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.module @m {
    gpu.func @u25_none() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %q = unitile.alloc : !unitile.shared<64x64xbf16>
      gpu.return
    }
  }
  func.func @host() {
    %c1 = arith.constant 1 : index
    %c128 = arith.constant 128 : index
    // expected-error@+1 {{[U25] expected at least 8192 bytes of dynamic shared memory, what @m::@u25_none lays out, got 0}}
    gpu.launch_func @m::@u25_none blocks in (%c1, %c1, %c1) threads in (%c128, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.module @m {
    gpu.func @u25_threads() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      gpu.return
    }
  }
  func.func @host() {
    %c1 = arith.constant 1 : index
    %c256 = arith.constant 256 : index
    // expected-error@+1 {{[U25] expected 128 threads, the known_block_size of @m::@u25_threads, got 256}}
    gpu.launch_func @m::@u25_threads blocks in (%c1, %c1, %c1) threads in (%c256, %c1, %c1)
    return
  }
}

// -----

// More than needed, and numbers that are computed.
module attributes {gpu.container_module} {
  gpu.module @m {
    gpu.func @enough() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %q = unitile.alloc : !unitile.shared<64x64xbf16>
      gpu.return
    }
  }
  func.func @host(%bytes: i32, %threads: index) {
    %c1 = arith.constant 1 : index
    %c128 = arith.constant 128 : index
    %more = arith.constant 16384 : i32
    gpu.launch_func @m::@enough blocks in (%c1, %c1, %c1) threads in (%c128, %c1, %c1) dynamic_shared_memory_size %more
    gpu.launch_func @m::@enough blocks in (%c1, %c1, %c1) threads in (%threads, %c1, %c1) dynamic_shared_memory_size %bytes
    return
  }
}
