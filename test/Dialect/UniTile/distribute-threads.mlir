// RUN: unisparse-opt %s -split-input-file --unitile-distribute-threads --canonicalize --cse | FileCheck %s

// A warp a row, 4 rows a CTA: what is behind the launch's grid does nothing.
// CHECK-LABEL: gpu.func @sum(
// CHECK-SAME:    %[[N:.*]]: i32, %[[ROWS:.*]]: i32, %[[X:.*]]: !llvm.ptr<1>, %[[WIDTH:.*]]: i64, %[[OUT:.*]]: !llvm.ptr<1>, %[[COUNTS:.*]]: !llvm.ptr<1>)
// CHECK-SAME:    known_block_size = array<i32: 128, 1, 1>
// CHECK-NOT:     unitile.schedule
// CHECK-DAG:     %[[C4:.*]] = arith.constant 4 : i32
// CHECK-DAG:     %[[C32:.*]] = arith.constant 32 : i32
// CHECK-DAG:     %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
// CHECK-DAG:     %[[NONE:.*]] = arith.constant 0xFFC00000 : f32
// CHECK:         %[[T:.*]] = arith.index_cast %{{.*}} : index to i32
// CHECK:         %[[LANE:.*]] = arith.remui %[[T]], %[[C32]] : i32
// CHECK:         %[[FIRST:.*]] = arith.muli %{{.*}}, %[[C4]] : i32
// CHECK:         %[[WARP:.*]] = arith.divui %[[T]], %[[C32]] : i32
// CHECK:         %[[ROW:.*]] = arith.addi %[[FIRST]], %[[WARP]] : i32
// CHECK:         %[[WORKS:.*]] = arith.cmpi slt, %[[ROW]], %[[ROWS]] : i32
// CHECK:         scf.if %[[WORKS]] {
// Lanes take turns. A sum begins with its zero, a maximum with NaN, which is none.
// CHECK:           %[[OWN:.*]]:3 = scf.for %[[J:.*]] = %[[LANE]] to %[[N]] step %[[C32]] iter_args(%{{.*}} = %[[ZERO]], %{{.*}} = %{{.*}}, %{{.*}} = %[[NONE]]) -> (f32, i32, f32) : i32 {
// CHECK:             %[[P:.*]] = llvm.getelementptr %[[X]][%{{.*}}]
// CHECK:             llvm.load %[[P]] : !llvm.ptr<1> -> f32
// From the distant lanes to the near.
// CHECK:           %[[S16:.*]], %{{.*}} = gpu.shuffle xor %[[OWN]]#0, %{{.*}}, %[[C32]] : f32
// CHECK:           arith.addf %[[OWN]]#0, %[[S16]] : f32
// CHECK-COUNT-4:   gpu.shuffle xor %{{.*}} : f32
// CHECK:           %[[COUNT:.*]] = gpu.subgroup_reduce add %[[OWN]]#1 uniform : (i32) -> i32
// CHECK-COUNT-5:   gpu.shuffle xor %{{.*}} : f32
// CHECK:           arith.maxnumf
// CHECK:           %[[TOTAL:.*]] = arith.addf
// Written once.
// CHECK:           %[[ONE:.*]] = arith.cmpi eq, %[[LANE]], %{{.*}} : i32
// CHECK:           scf.if %[[ONE]] {
// CHECK:             llvm.store %[[TOTAL]]
// CHECK:             llvm.store %[[COUNT]]
// CHECK-LABEL: func.func @launch(
// CHECK-SAME:    %[[BUFFER:[a-z0-9]*]]: memref<?x?xf32>,
// CHECK-DAG:     %[[FOUR:.*]] = arith.constant 4 : index
// CHECK-DAG:     %[[THREADS:.*]] = arith.constant 128 : index
// CHECK-DAG:     %[[LENGTH:.*]] = memref.dim %[[BUFFER]], %{{.*}}
// CHECK:         %[[CTAS:.*]] = arith.ceildivui %[[LENGTH]], %[[FOUR]] : index
// CHECK:         gpu.launch_func @kernels::@sum blocks in (%[[CTAS]], %{{.*}}, %{{.*}}) threads in (%[[THREADS]], %{{.*}}, %{{.*}})
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @sum(%x: memref<?x?xf32>, %out: memref<?xf32>, %counts: memref<?xi32>, %n: i32) kernel
        attributes {unitile.schedule = #unitile.threads<lanes = 32, items = 4>} {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %none = arith.constant 0 : i32
      %zero = arith.constant 0.0 : f32
      %some = arith.constant 7.0 : f32
      %row = gpu.block_id x
      %end = arith.index_cast %n : i32 to index
      %r:3 = scf.parallel (%j) = (%c0) to (%end) step (%c1) init (%zero, %none, %some) -> (f32, i32, f32) {
        %v = memref.load %x[%row, %j] : memref<?x?xf32>
        %above = arith.cmpf ogt, %v, %zero : f32
        %one = arith.extui %above : i1 to i32
        scf.reduce(%v, %one, %v : f32, i32, f32) {
        ^bb0(%a: f32, %b: f32):
          %s = arith.addf %a, %b : f32
          scf.reduce.return %s : f32
        }, {
        ^bb0(%a: i32, %b: i32):
          %s = arith.addi %a, %b : i32
          scf.reduce.return %s : i32
        }, {
        ^bb0(%a: f32, %b: f32):
          %s = arith.maxnumf %a, %b : f32
          scf.reduce.return %s : f32
        }
      }
      %t = arith.addf %r#0, %r#2 : f32
      memref.store %t, %out[%row] : memref<?xf32>
      memref.store %r#1, %counts[%row] : memref<?xi32>
      gpu.return
    }
  }
  func.func @launch(%x: memref<?x?xf32>, %out: memref<?xf32>, %counts: memref<?xi32>, %n: i32) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %rows = memref.dim %x, %c0 : memref<?x?xf32>
    gpu.launch_func @kernels::@sum blocks in (%rows, %c1, %c1) threads in (%c1, %c1, %c1)
      args(%x : memref<?x?xf32>, %out : memref<?xf32>, %counts : memref<?xi32>, %n : i32)
    return
  }
}

// -----

// As many iterations as lanes: no loop. Vectors are aligned as they are large.
// 3 lanes make a row, 10 rows a warp but for 2 threads.
// CHECK-LABEL: gpu.func @pieces(
// CHECK-SAME:    known_block_size = array<i32: 32, 1, 1>, nvvm.minctasm = 4 : i32
// CHECK-DAG:     %[[C3:.*]] = arith.constant 3 : i32
// CHECK-DAG:     %[[C30:.*]] = arith.constant 30 : i32
// CHECK:         %[[LANE:.*]] = arith.remui %[[T:.*]], %[[C3]] : i32
// CHECK:         arith.divui %[[T]], %[[C3]] : i32
// CHECK:         %[[ITEM:.*]] = arith.cmpi slt
// CHECK:         %[[WHOLE:.*]] = arith.cmpi slt, %[[T]], %[[C30]] : i32
// CHECK:         %[[WORKS:.*]] = arith.andi %[[ITEM]], %[[WHOLE]] : i1
// CHECK:         scf.if %[[WORKS]] {
// CHECK-NOT:       scf.for
// CHECK:           llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<8xbf16>
// CHECK:           llvm.store %{{.*}} {alignment = 16 : i64} : vector<8xbf16>
gpu.module @kernels {
  gpu.func @pieces(%x: memref<?x24xbf16>, %y: memref<?x24xbf16>) kernel
      attributes {unitile.schedule = #unitile.threads<lanes = 3, items = 10, ctas = 4>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c3 = arith.constant 3 : index
    %c8 = arith.constant 8 : index
    %row = gpu.block_id x
    scf.parallel (%n) = (%c0) to (%c3) step (%c1) {
      %column = arith.muli %n, %c8 : index
      %v = vector.load %x[%row, %column] : memref<?x24xbf16>, vector<8xbf16>
      vector.store %v, %y[%row, %column] : memref<?x24xbf16>, vector<8xbf16>
      scf.reduce
    }
    gpu.return
  }
}

// -----

// Ranks are ballots, of lanes that go on together: those without an iteration
// look at the last one again, say no and write nothing.
// CHECK-LABEL: gpu.func @positive(
// CHECK-SAME:    %[[N:.*]]: i32, %[[X:.*]]: !llvm.ptr<1>, %[[OUT:.*]]: !llvm.ptr<1>, %[[COUNT:.*]]: !llvm.ptr<1>)
// CHECK:         %[[LANE:.*]] = arith.index_cast %{{.*}} : index to i32
// CHECK:         %[[LAST:.*]] = arith.subi %[[N]], %{{.*}} : i32
// CHECK:         %[[BIT:.*]] = arith.shli %{{.*}}, %[[LANE]] : i32
// CHECK:         %[[EARLIER:.*]] = arith.subi %[[BIT]], %{{.*}} : i32
// CHECK:         %[[END:.*]]:2 = scf.for %[[FIRST:.*]] = %{{.*}} to %[[N]] step %{{.*}} iter_args(%[[SUM:.*]] = %{{.*}}, %[[BASE:.*]] = %{{.*}})
// CHECK:           %[[J:.*]] = arith.addi %[[FIRST]], %[[LANE]] : i32
// CHECK:           %[[EXISTS:.*]] = arith.cmpi slt, %[[J]], %[[N]] : i32
// CHECK:           arith.minsi %[[J]], %[[LAST]] : i32
// CHECK:           %[[ABOVE:.*]] = arith.cmpf ogt
// CHECK:           %[[YES:.*]] = arith.andi %[[EXISTS]], %[[ABOVE]] : i1
// CHECK:           %[[MASK:.*]] = unitile.ballot %[[YES]]
// CHECK:           %[[BEFORE:.*]] = arith.andi %[[MASK]], %[[EARLIER]] : i32
// CHECK:           %[[RANK:.*]] = math.ctpop %[[BEFORE]] : i32
// CHECK:           arith.addi %[[BASE]], %[[RANK]] : i32
// CHECK:           %[[ALL:.*]] = math.ctpop %[[MASK]] : i32
// CHECK:           %[[NEXT:.*]] = arith.addi %[[BASE]], %[[ALL]] : i32
// CHECK:           scf.if %[[YES]] {
// CHECK:             llvm.store
// CHECK:           %[[MORE:.*]] = arith.addi %[[SUM]], %{{.*}} : i32
// CHECK:           %[[MINE:.*]] = arith.select %[[EXISTS]], %[[MORE]], %[[SUM]] : i32
// CHECK:           scf.yield %[[MINE]], %[[NEXT]]
// CHECK:         gpu.subgroup_reduce add %[[END]]#0 uniform
gpu.module @kernels {
  gpu.func @positive(%x: memref<?xf32>, %out: memref<?xi32>, %count: memref<1xi32>, %n: i32) kernel
      attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %none = arith.constant 0 : i32
    %zero = arith.constant 0.0 : f32
    %end = arith.index_cast %n : i32 to index
    %r = scf.parallel (%j) = (%c0) to (%end) step (%c1) init (%none) -> i32 {
      %v = memref.load %x[%j] : memref<?xf32>
      %above = arith.cmpf ogt, %v, %zero : f32
      %rank = unitile.rank %above
      scf.if %above {
        %at = arith.index_cast %rank : i32 to index
        %i = arith.index_cast %j : index to i32
        memref.store %i, %out[%at] : memref<?xi32>
      }
      %one = arith.extui %above : i1 to i32
      scf.reduce(%one : i32) {
      ^bb0(%a: i32, %b: i32):
        %s = arith.addi %a, %b : i32
        scf.reduce.return %s : i32
      }
    }
    memref.store %r, %count[%c0] : memref<1xi32>
    gpu.return
  }
}

// -----

// Shuffles move 32 bits. Other kernels stay.
// CHECK-LABEL: gpu.func @wide(
// CHECK-COUNT-10: gpu.shuffle xor %{{.*}} : i32
// CHECK-NOT:     gpu.shuffle
// CHECK-LABEL: gpu.func @other(
// CHECK:         scf.parallel
gpu.module @kernels {
  gpu.func @wide(%x: memref<?xi64>, %y: memref<1xi64>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c100 = arith.constant 100 : index
    %none = arith.constant 0 : i64
    %r = scf.parallel (%j) = (%c0) to (%c100) step (%c1) init (%none) -> i64 {
      %v = memref.load %x[%j] : memref<?xi64>
      scf.reduce(%v : i64) {
      ^bb0(%a: i64, %b: i64):
        %s = arith.addi %a, %b : i64
        scf.reduce.return %s : i64
      }
    }
    memref.store %r, %y[%c0] : memref<1xi64>
    gpu.return
  }
  gpu.func @other(%x: memref<?xi64>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c100 = arith.constant 100 : index
    %none = arith.constant 0 : i64
    scf.parallel (%j) = (%c0) to (%c100) step (%c1) {
      memref.store %none, %x[%j] : memref<?xi64>
      scf.reduce
    }
    gpu.return
  }
}

// -----

// Memory of the kernel's own: words of shared memory, for which the launch asks,
// and a barrier in front of what reads what others wrote (the second loop), and
// of what writes what others read (the store behind it).
// CHECK-LABEL: gpu.func @reverse(
// CHECK:         unitile.words 64 : <3>
// CHECK:         llvm.load %{{.*}} : !llvm.ptr<1> -> f32
// CHECK:         llvm.store %{{.*}}, %{{.*}} : f32, !llvm.ptr<3>
// CHECK-NOT:     gpu.barrier
// CHECK:         gpu.barrier
// CHECK-NOT:     gpu.barrier
// CHECK:         llvm.load %{{.*}} : !llvm.ptr<3> -> f32
// CHECK:         llvm.store %{{.*}}, %{{.*}} : f32, !llvm.ptr<1>
// CHECK:         gpu.barrier
// CHECK:         scf.if
// CHECK:           llvm.store %{{.*}}, %{{.*}} : f32, !llvm.ptr<3>
// CHECK-LABEL: func.func @launch(
// CHECK:         %[[BYTES:.*]] = arith.constant 256 : i32
// CHECK:         dynamic_shared_memory_size %[[BYTES]]
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @reverse(%x: memref<64xf32>, %y: memref<64xf32>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 64>} {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c63 = arith.constant 63 : index
      %c64 = arith.constant 64 : index
      %zero = arith.constant 0.0 : f32
      %own = memref.alloca() : memref<64xf32, #gpu.address_space<workgroup>>
      scf.parallel (%j) = (%c0) to (%c64) step (%c1) {
        %v = memref.load %x[%j] : memref<64xf32>
        memref.store %v, %own[%j] : memref<64xf32, #gpu.address_space<workgroup>>
        scf.reduce
      }
      scf.parallel (%j) = (%c0) to (%c64) step (%c1) {
        %i = arith.subi %c63, %j : index
        %v = memref.load %own[%i] : memref<64xf32, #gpu.address_space<workgroup>>
        memref.store %v, %y[%j] : memref<64xf32>
        scf.reduce
      }
      memref.store %zero, %own[%c0] : memref<64xf32, #gpu.address_space<workgroup>>
      gpu.return
    }
  }
  func.func @launch(%x: memref<64xf32>, %y: memref<64xf32>) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@reverse blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%x : memref<64xf32>, %y : memref<64xf32>)
    return
  }
}
