// RUN: unisparse-opt %s -split-input-file --unitile-gather-counters | FileCheck %s

// Two words of one constant: one buffer in front of the first launch, which the second kernel enters at its own place.
module attributes {gpu.container_module} {
  gpu.module @kernels {
    // CHECK-LABEL: gpu.func @plain(
    gpu.func @plain() kernel {
      gpu.return
    }
    // CHECK-LABEL: gpu.func @first(
    // CHECK-SAME:    %[[C:.*]]: !llvm.ptr<1>)
    // CHECK-NEXT:    llvm.load %[[C]]
    gpu.func @first(%c: !llvm.ptr<1>) kernel {
      %0 = llvm.load %c : !llvm.ptr<1> -> i32
      gpu.return
    }
    // CHECK-LABEL: gpu.func @second(
    // CHECK-SAME:    %{{.*}}: i32, %[[C:.*]]: !llvm.ptr<1>)
    // CHECK-NEXT:    %[[OWN:.*]] = llvm.getelementptr %[[C]][1] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
    // CHECK-NEXT:    llvm.load %[[OWN]]
    gpu.func @second(%n: i32, %c: !llvm.ptr<1>) kernel {
      %0 = llvm.load %c : !llvm.ptr<1> -> i32
      gpu.return
    }
  }
  // CHECK-LABEL: func.func @host(
  // CHECK:         %[[WORDS:.*]] = gpu.alloc () : memref<2xi32>
  // CHECK:         gpu.memset %[[WORDS]], %c0_i32{{.*}} : memref<2xi32>, i32
  // CHECK:         %[[P:.*]] = llvm.inttoptr
  // CHECK:         gpu.launch_func @kernels::@plain
  // CHECK-NOT:     gpu.alloc
  // CHECK-NOT:     gpu.memset
  // CHECK:         gpu.launch_func @kernels::@first {{.*}} args(%[[P]] : !llvm.ptr<1>)
  // CHECK-NOT:     gpu.memset
  // CHECK:         gpu.launch_func @kernels::@second {{.*}} args(%{{.*}} : i32, %[[P]] : !llvm.ptr<1>)
  func.func @host(%n: i32) {
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0 : i32
    gpu.launch_func @kernels::@plain blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    %a = gpu.alloc () : memref<1xi32>
    gpu.memset %a, %zero : memref<1xi32>, i32
    %0 = memref.extract_aligned_pointer_as_index %a : memref<1xi32> -> index
    %1 = arith.index_cast %0 : index to i64
    %2 = llvm.inttoptr %1 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@first blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%2 : !llvm.ptr<1>)
    %b = gpu.alloc () : memref<1xi32>
    gpu.memset %b, %zero : memref<1xi32>, i32
    %3 = memref.extract_aligned_pointer_as_index %b : memref<1xi32> -> index
    %4 = arith.index_cast %3 : index to i64
    %5 = llvm.inttoptr %4 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@second blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%n : i32, %5 : !llvm.ptr<1>)
    return
  }
}

// -----

// A kernel of two launches has one text, which cannot name two places; a word that more than its launch reads, of another
// constant, or larger, stays, and so does one that stands in front of everything.
module attributes {gpu.container_module} {
  gpu.module @kernels {
    // CHECK-LABEL: gpu.func @twice(
    // CHECK-NOT:     getelementptr
    gpu.func @twice(%c: !llvm.ptr<1>) kernel {
      gpu.return
    }
    gpu.func @once(%c: !llvm.ptr<1>) kernel {
      gpu.return
    }
    gpu.func @other(%c: !llvm.ptr<1>) kernel {
      gpu.return
    }
  }
  // CHECK-LABEL: func.func @stays(
  // CHECK:         gpu.memset %{{.*}}, %c0_i32{{.*}} : memref<1xi32>, i32
  // CHECK:         gpu.launch_func @kernels::@once
  // CHECK:         gpu.memset %{{.*}} : memref<1xi32>, i32
  // CHECK:         gpu.launch_func @kernels::@twice
  // CHECK:         gpu.memset %{{.*}} : memref<1xi32>, i32
  // CHECK:         gpu.launch_func @kernels::@twice
  // CHECK:         gpu.memset %{{.*}} : memref<2xi32>, i32
  // CHECK:         gpu.launch_func @kernels::@other
  func.func @stays() -> memref<2xi32> {
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0 : i32
    %a = gpu.alloc () : memref<1xi32>
    gpu.memset %a, %zero : memref<1xi32>, i32
    %0 = memref.extract_aligned_pointer_as_index %a : memref<1xi32> -> index
    %1 = arith.index_cast %0 : index to i64
    %2 = llvm.inttoptr %1 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@once blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%2 : !llvm.ptr<1>)
    %b = gpu.alloc () : memref<1xi32>
    gpu.memset %b, %zero : memref<1xi32>, i32
    %3 = memref.extract_aligned_pointer_as_index %b : memref<1xi32> -> index
    %4 = arith.index_cast %3 : index to i64
    %5 = llvm.inttoptr %4 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@twice blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%5 : !llvm.ptr<1>)
    %c = gpu.alloc () : memref<1xi32>
    gpu.memset %c, %zero : memref<1xi32>, i32
    %6 = memref.extract_aligned_pointer_as_index %c : memref<1xi32> -> index
    %7 = arith.index_cast %6 : index to i64
    %8 = llvm.inttoptr %7 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@twice blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%8 : !llvm.ptr<1>)
    %d = gpu.alloc () : memref<2xi32>
    gpu.memset %d, %zero : memref<2xi32>, i32
    %9 = memref.extract_aligned_pointer_as_index %d : memref<2xi32> -> index
    %10 = arith.index_cast %9 : index to i64
    %11 = llvm.inttoptr %10 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@other blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%11 : !llvm.ptr<1>)
    return %d : memref<2xi32>
  }
}

// -----

// Each turn of a loop counts anew.
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @first() kernel {
      gpu.return
    }
    gpu.func @second(%c: !llvm.ptr<1>) kernel {
      gpu.return
    }
  }
  // CHECK-LABEL: func.func @loop(
  // CHECK:         scf.for
  // CHECK:           gpu.memset %{{.*}} : memref<1xi32>, i32
  // CHECK:           gpu.launch_func @kernels::@first
  // CHECK-NOT:       gpu.memset
  // CHECK:           gpu.launch_func @kernels::@second
  func.func @loop(%n: index) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0 : i32
    scf.for %i = %c0 to %n step %c1 {
      gpu.launch_func @kernels::@first blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
      %a = gpu.alloc () : memref<1xi32>
      gpu.memset %a, %zero : memref<1xi32>, i32
      %0 = memref.extract_aligned_pointer_as_index %a : memref<1xi32> -> index
      %1 = arith.index_cast %0 : index to i64
      %2 = llvm.inttoptr %1 : i64 to !llvm.ptr<1>
      gpu.launch_func @kernels::@second blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%2 : !llvm.ptr<1>)
    }
    return
  }
}
