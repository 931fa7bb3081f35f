// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unitile-persist

// Parts of two memories may be two numbers.
gpu.module @kernels {
  gpu.func @two(%a: memref<?x64xf32>, %b: memref<?x64xf32>) kernel attributes {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>} {
    %0 = unitile.worker of %a : memref<?x64xf32>
    // expected-error@+1 {{expected parts of one memory in a kernel, got arguments #0 and #1}}
    %1 = unitile.worker of %b : memref<?x64xf32>
    %c0 = arith.constant 0 : i32
    unitile.walk to %c0 block {
    ^bb0(%n: i32):
      unitile.yield %n, %n : i32, i32
    } score {
    ^bb0(%k: i32, %l: i32):
      %f = arith.constant 0.0 : f32
      %s = unitile.fill %f : f32 -> !unitile.fragment<64x64xf32>
      unitile.yield %s : !unitile.fragment<64x64xf32>
    } mask {
    ^bb0(%s: !unitile.fragment<64x64xf32>, %k: i32, %l: i32):
      unitile.yield %s : !unitile.fragment<64x64xf32>
    } update {
    ^bb0(%s: !unitile.fragment<64x64xf32>, %k: i32, %l: i32):
      unitile.yield
    } finish {
      unitile.yield
    }
    gpu.return
  }
}
