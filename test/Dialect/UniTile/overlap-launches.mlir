// RUN: unisparse-opt %s --unitile-overlap-launches | FileCheck %s

// A launch right behind another overlaps it; its kernel waits first. Only one beside which another may run says that it may begin.
module attributes {gpu.container_module} {
  gpu.module @kernels {
    // CHECK-LABEL: gpu.func @a(
    // CHECK-NEXT:    nvvm.griddepcontrol launch_dependents
    // CHECK-NEXT:    llvm.load
    // CHECK-NEXT:    gpu.return
    gpu.func @a(%p: !llvm.ptr<1>) kernel {
      %0 = llvm.load %p : !llvm.ptr<1> -> i32
      gpu.return
    }
    // CHECK-LABEL: gpu.func @b(
    // CHECK-NEXT:    nvvm.griddepcontrol wait
    // CHECK-NEXT:    llvm.load
    // CHECK-NEXT:    gpu.return
    gpu.func @b(%p: !llvm.ptr<1>) kernel {
      %0 = llvm.load %p : !llvm.ptr<1> -> i32
      gpu.return
    }
    // CHECK-LABEL: gpu.func @c(
    // CHECK-NEXT:    nvvm.griddepcontrol wait
    // CHECK-NEXT:    llvm.load
    // CHECK-NEXT:    gpu.return
    gpu.func @c(%p: !llvm.ptr<1>) kernel {
      %0 = llvm.load %p : !llvm.ptr<1> -> i32
      gpu.return
    }
    // Of buffers that nobody in front of it has.
    // CHECK-LABEL: gpu.func @beside(
    // CHECK-NEXT:    llvm.load
    // CHECK-NEXT:    nvvm.griddepcontrol wait
    // CHECK-NEXT:    gpu.return
    gpu.func @beside(%p: !llvm.ptr<1>) kernel {
      %0 = llvm.load %p : !llvm.ptr<1> -> i32
      gpu.return
    }
    // CHECK-LABEL: gpu.func @unknown(
    // CHECK-NEXT:    nvvm.griddepcontrol wait
    // CHECK-NEXT:    llvm.load
    gpu.func @unknown(%p: !llvm.ptr<1>) kernel {
      %0 = llvm.load %p : !llvm.ptr<1> -> i32
      gpu.return
    }
    // CHECK-LABEL: gpu.func @alone()
    // CHECK-NEXT:    gpu.return
    gpu.func @alone() kernel {
      gpu.return
    }
  }
  // CHECK-LABEL: func.func @row(
  // CHECK:         gpu.launch_func @kernels::@a blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%{{[0-9]+}} : !llvm.ptr<1>){{ *$}}
  // CHECK:         gpu.launch_func @kernels::@beside {{.*}} {unitile.overlaps}
  // CHECK:         gpu.launch_func @kernels::@b {{.*}} {unitile.overlaps}
  // CHECK:         gpu.launch_func @kernels::@c {{.*}} {unitile.overlaps}
  func.func @row(%x: memref<?xf32>, %is: i1) {
    %c1 = arith.constant 1 : index
    %c0 = arith.constant 0 : index
    %m = gpu.alloc () : memref<4xf32>
    %0 = memref.extract_aligned_pointer_as_index %m : memref<4xf32> -> index
    %1 = arith.index_cast %0 : index to i64
    %p = llvm.inttoptr %1 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@a blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
    // Sizes, room and checks are the host's alone.
    %n = memref.dim %x, %c0 : memref<?xf32>
    %other = gpu.alloc (%n) : memref<?xf32>
    cf.assert %is, "holds"
    %2 = memref.extract_aligned_pointer_as_index %other : memref<?xf32> -> index
    %3 = arith.index_cast %2 : index to i64
    %q = llvm.inttoptr %3 : i64 to !llvm.ptr<1>
    gpu.launch_func @kernels::@beside blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%q : !llvm.ptr<1>)
    // In common with the first, not with the one in front.
    gpu.launch_func @kernels::@b blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
    gpu.launch_func @kernels::@c blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
    return
  }

  // CHECK-LABEL: func.func @of_unknown_memory(
  // CHECK:         gpu.launch_func @kernels::@unknown {{.*}} {unitile.overlaps}
  func.func @of_unknown_memory(%p: !llvm.ptr<1>) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@unknown blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
    gpu.launch_func @kernels::@unknown blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
    return
  }

  // What stands between may be for whoever comes behind: a fill, a call, a token. A block begins anew.
  // CHECK-LABEL: func.func @between(
  // CHECK-NOT:     unitile.overlaps
  func.func @between(%m: memref<4xi32>, %n: index) {
    %c1 = arith.constant 1 : index
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0 : i32
    gpu.launch_func @kernels::@alone blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    gpu.memset %m, %zero : memref<4xi32>, i32
    gpu.launch_func @kernels::@alone blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    func.call @elsewhere() : () -> ()
    gpu.launch_func @kernels::@alone blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    scf.for %i = %c0 to %n step %c1 {
      gpu.launch_func @kernels::@alone blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    }
    gpu.launch_func @kernels::@alone blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    %t = gpu.wait async
    %u = gpu.launch_func async [%t] @kernels::@alone blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    gpu.wait [%u]
    return
  }
  func.func private @elsewhere()
}
