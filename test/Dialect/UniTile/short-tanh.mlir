// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-short-tanh),canonicalize)' -split-input-file | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: gpu.func @capped
  // CHECK-SAME:    %[[S:[^:]*]]: !unitile.fragment<128x64xf32>
  // CHECK-DAG:     %[[SCALE:.*]] = arith.constant 2.000000e-03 : f32
  // CHECK-DAG:     %[[BOUND:.*]] = arith.constant 374.999969 : f32
  // CHECK-DAG:     %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-DAG:     %[[EIGHT:.*]] = arith.constant 8 : i32
  // CHECK-DAG:     %[[NONE:.*]] = arith.constant 0 : i32
  // CHECK:         consumers {
  // CHECK:           %[[SIZES:.*]] = unitile.map indices ins(%[[S]]
  // CHECK-NEXT:      ^bb0(%{{.*}}: i32, %[[COLUMN:.*]]: i32, %[[X:.*]]: f32):
  // CHECK-DAG:         %[[BIT:.*]] = arith.andi %[[COLUMN]], %[[EIGHT]] : i32
  // CHECK-DAG:         %[[SHORT:.*]] = arith.cmpi ne, %[[BIT]], %[[NONE]] : i32
  // CHECK-DAG:         %[[SIZE:.*]] = math.absf %[[X]]
  // CHECK:             arith.select %[[SHORT]], %[[SIZE]], %[[ZERO]]
  // CHECK:           %[[FOLD:.*]] = unitile.fold max %[[SIZES]] : !unitile.fragment<128x64xf32> -> !unitile.fragment<128x8xf32>
  // CHECK:           %[[SMALL:.*]] = unitile.all_below %[[FOLD]], %[[BOUND]]
  // CHECK:           %[[USUAL:.*]] = llvm.intr.expect %[[SMALL]], %{{.*}} : i1
  // CHECK:           scf.if %[[USUAL]]
  // CHECK:             unitile.map indices ins(%[[S]]
  // CHECK-NEXT:        ^bb0(%{{.*}}: i32, %[[COLUMN:.*]]: i32, %[[X:.*]]: f32):
  // CHECK-NEXT:          %[[BIT:.*]] = arith.andi %[[COLUMN]], %[[EIGHT]] : i32
  // CHECK-NEXT:          %[[SHORT:.*]] = arith.cmpi ne, %[[BIT]], %[[NONE]] : i32
  // CHECK-NEXT:          %[[SQUARE:.*]] = arith.mulf %[[X]], %[[X]] : f32
  // CHECK-NEXT:          %[[P1:.*]] = math.fma %{{.*}}, %[[SQUARE]], %{{.*}} : f32
  // CHECK-NEXT:          %[[P2:.*]] = math.fma %[[P1]], %[[SQUARE]], %{{.*}} : f32
  // CHECK-NEXT:          %[[Y:.*]] = arith.mulf %[[X]], %[[P2]] : f32
  // CHECK-NEXT:          %[[SCALED:.*]] = arith.mulf %[[X]], %[[SCALE]] : f32
  // CHECK-NEXT:          %[[LARGE:.*]] = math.tanh %[[SCALED]] fastmath<afn> : f32
  // CHECK-NEXT:          %[[TANH:.*]] = arith.select %[[SHORT]], %[[Y]], %[[LARGE]] : f32
  // CHECK-NEXT:          %[[CAPPED:.*]] = arith.mulf %[[TANH]], %{{.*}} : f32
  // CHECK-NEXT:          unitile.yield %[[CAPPED]] : f32
  // CHECK:           } else {
  // CHECK:             ^bb0(%{{.*}}: i32, %[[COLUMN:.*]]: i32, %[[X:.*]]: f32):
  // CHECK:               %[[SHORT:.*]] = arith.cmpi ne
  // CHECK:               %[[SIZE:.*]] = math.absf %[[X]] : f32
  // CHECK-NEXT:          %[[IS:.*]] = arith.cmpf olt, %[[SIZE]], %[[BOUND]] : f32
  // CHECK-NEXT:          %[[SQUARE:.*]] = math.fma %[[X]], %[[X]], %[[ZERO]] : f32
  // CHECK:               %[[BOTH:.*]] = arith.andi %[[SHORT]], %[[IS]] : i1
  // CHECK:               %[[LARGE:.*]] = math.tanh
  // CHECK-NEXT:          %[[Y:.*]] = arith.select %[[BOTH]], %{{.*}}, %[[LARGE]] : f32
  gpu.func @capped(%s: !unitile.fragment<128x64xf32>, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    unitile.partitions producer {
    } consumers {
      %scale = arith.constant 2.0e-03 : f32
      %cap = arith.constant 50.0 : f32
      %m = unitile.map ins(%s : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
      ^bb0(%e: f32):
        %x = arith.mulf %e, %scale : f32
        %y = math.tanh %x fastmath<afn> : f32
        %z = arith.mulf %y, %cap : f32
        unitile.yield %z : f32
      }
      unitile.store %m to %o row %row limit %row stride %stride : !unitile.fragment<128x64xf32>
    }
    gpu.return
  }
}

// -----

// Not the exact tanh, of what is no scaled element, of a scale whose powers f32
// lacks, nor outside of partitions.
gpu.module @m {
  // CHECK-LABEL: gpu.func @others
  // CHECK-NOT:     scf.if
  // CHECK:         gpu.return
  gpu.func @others(%s: !unitile.fragment<128x64xf32>, %by: f32, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    unitile.partitions producer {
    } consumers {
      %scale = arith.constant 2.0e-03 : f32
      %tiny = arith.constant 1.0e-05 : f32
      %exact = unitile.map ins(%s : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
      ^bb0(%e: f32):
        %x = arith.mulf %e, %scale : f32
        %y = math.tanh %x : f32
        unitile.yield %y : f32
      }
      %unknown = unitile.map ins(%exact : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
      ^bb0(%e: f32):
        %x = arith.mulf %e, %by : f32
        %y = math.tanh %x fastmath<afn> : f32
        unitile.yield %y : f32
      }
      %small = unitile.map ins(%unknown : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
      ^bb0(%e: f32):
        %x = arith.mulf %e, %tiny : f32
        %y = math.tanh %x fastmath<afn> : f32
        unitile.yield %y : f32
      }
      unitile.store %small to %o row %row limit %row stride %stride : !unitile.fragment<128x64xf32>
    }
    gpu.return
  }
  // CHECK-LABEL: gpu.func @no_partitions
  // CHECK-NOT:     scf.if
  // CHECK:         gpu.return
  gpu.func @no_partitions(%s: !unitile.fragment<64x64xf32>, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %scale = arith.constant 2.0e-03 : f32
    %m = unitile.map ins(%s : !unitile.fragment<64x64xf32>) -> !unitile.fragment<64x64xf32> {
    ^bb0(%e: f32):
      %x = arith.mulf %e, %scale : f32
      %y = math.tanh %x fastmath<afn> : f32
      unitile.yield %y : f32
    }
    unitile.store %m to %o row %row limit %row stride %stride : !unitile.fragment<64x64xf32>
    gpu.return
  }
}
