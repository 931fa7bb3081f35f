// RUN: unisparse-opt %s -split-input-file --unitile-distribute-threads -verify-diagnostics

gpu.module @kernels {
  gpu.func @lanes(%x: memref<?xf32>, %y: memref<1xf32>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 16, items = 8>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c100 = arith.constant 100 : index
    %zero = arith.constant 0.0 : f32
    // expected-error@+1 {{expected 32 lanes where iterations exchange values, got 16}}
    %r = scf.parallel (%j) = (%c0) to (%c100) step (%c1) init (%zero) -> f32 {
      %v = memref.load %x[%j] : memref<?xf32>
      scf.reduce(%v : f32) {
      ^bb0(%a: f32, %b: f32):
        %s = arith.addf %a, %b : f32
        scf.reduce.return %s : f32
      }
    }
    memref.store %r, %y[%c0] : memref<1xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @combiner(%x: memref<?xf32>, %y: memref<1xf32>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c100 = arith.constant 100 : index
    %zero = arith.constant 0.0 : f32
    // expected-error@+1 {{expected reduction #0 to be one op of arith with a neutral element}}
    %r = scf.parallel (%j) = (%c0) to (%c100) step (%c1) init (%zero) -> f32 {
      %v = memref.load %x[%j] : memref<?xf32>
      scf.reduce(%v : f32) {
      ^bb0(%a: f32, %b: f32):
        %s = arith.subf %a, %b : f32
        scf.reduce.return %s : f32
      }
    }
    memref.store %r, %y[%c0] : memref<1xf32>
    gpu.return
  }
}

// -----

// Threads do not wait for each other.
gpu.module @kernels {
  gpu.func @reads(%x: memref<?xf32>, %y: memref<?xf32>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c32 = arith.constant 32 : index
    scf.parallel (%j) = (%c0) to (%c32) step (%c1) {
      %v = memref.load %x[%j] : memref<?xf32>
      memref.store %v, %y[%j] : memref<?xf32>
      scf.reduce
    }
    // expected-error@+1 {{expected a page that reads no buffer it writes, as threads do not wait for each other}}
    %v = memref.load %y[%c1] : memref<?xf32>
    memref.store %v, %y[%c0] : memref<?xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @ranked(%x: memref<?xi32>, %y: memref<?xi32>, %n: index) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %yes = arith.constant true
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      %rank = unitile.rank %yes
      %at = arith.index_cast %rank : i32 to index
      // expected-error@+1 {{expected loads in front of unitile.rank, which is no place of lanes without an iteration}}
      %v = memref.load %x[%at] : memref<?xi32>
      memref.store %v, %y[%at] : memref<?xi32>
      scf.reduce
    }
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @gives(%x: memref<?xi32>, %yes: i1, %n: index) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0 : i32
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      // expected-error@+1 {{expected what writes beside a unitile.rank to give nothing}}
      %v = scf.if %yes -> i32 {
        memref.store %zero, %x[%j] : memref<?xi32>
        scf.yield %zero : i32
      } else {
        scf.yield %zero : i32
      }
      %rank = unitile.rank %yes
      scf.reduce
    }
    gpu.return
  }
}

// -----

// Memory is what a launch passes.
gpu.module @kernels {
  gpu.func @buffer(%y: memref<?xi32>, %n: index) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %x = memref.alloca() : memref<4xi32>
    // expected-error@+1 {{expected a memref that is the kernel's argument, got 'memref<4xi32>'}}
    %v = memref.load %x[%c0] : memref<4xi32>
    memref.store %v, %y[%c0] : memref<?xi32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @dims(%n: index) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected a loop of one dim in a page, got 2}}
    scf.parallel (%i, %j) = (%c0, %c0) to (%n, %n) step (%c1, %c1) {
      scf.reduce
    }
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @thread(%y: memref<?xindex>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    // expected-error@+1 {{expected a kernel that knows its place in the grid alone, as a page of unitile words does}}
    %t = gpu.thread_id x
    memref.store %t, %y[%t] : memref<?xindex>
    gpu.return
  }
}

// -----

// Two items of a CTA would wait for each other.
gpu.module @kernels {
  gpu.func @items(%y: memref<32xf32>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32, items = 2>} {
    // expected-error@+1 {{expected a schedule of one item of whole warps for a kernel with memory of its own, got #unitile.threads<lanes = 32, items = 2>}}
    %own = memref.alloca() : memref<32xf32, #gpu.address_space<workgroup>>
    gpu.return
  }
}

// -----

// Iterations are in no order.
gpu.module @kernels {
  gpu.func @within() kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c32 = arith.constant 32 : index
    %own = memref.alloca() : memref<32xf32, #gpu.address_space<workgroup>>
    // expected-error@+1 {{expected no memory of the kernel's own that is both read and written here}}
    scf.parallel (%j) = (%c0) to (%c32) step (%c1) {
      %v = memref.load %own[%c0] : memref<32xf32, #gpu.address_space<workgroup>>
      memref.store %v, %own[%j] : memref<32xf32, #gpu.address_space<workgroup>>
      scf.reduce
    }
    gpu.return
  }
}

// -----

// A barrier at the loop's end would be missing.
gpu.module @kernels {
  gpu.func @around(%x: memref<32xf32>) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c32 = arith.constant 32 : index
    %own = memref.alloca() : memref<32xf32, #gpu.address_space<workgroup>>
    // expected-error@+1 {{expected no loop around uses of the kernel's own memory}}
    scf.for %i = %c0 to %c32 step %c1 {
      scf.parallel (%j) = (%c0) to (%c32) step (%c1) {
        %v = memref.load %x[%i] : memref<32xf32>
        memref.store %v, %own[%j] : memref<32xf32, #gpu.address_space<workgroup>>
        scf.reduce
      }
    }
    gpu.return
  }
}

// -----

// Nor within a branch, where other uses are outside of it.
gpu.module @kernels {
  gpu.func @within_branch(%x: memref<32xf32>, %c: i1) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0.0 : f32
    %own = memref.alloca() : memref<32xf32, #gpu.address_space<workgroup>>
    memref.store %zero, %own[%c0] : memref<32xf32, #gpu.address_space<workgroup>>
    // expected-error@+1 {{expected no memory of the kernel's own that is both read and written here}}
    scf.if %c {
      %v = memref.load %own[%c0] : memref<32xf32, #gpu.address_space<workgroup>>
      memref.store %v, %own[%c1] : memref<32xf32, #gpu.address_space<workgroup>>
    }
    gpu.return
  }
}

// -----

// A device's memory is no page's own.
gpu.module @kernels {
  gpu.func @elsewhere() kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>} {
    %c0 = arith.constant 0 : index
    %own = memref.alloca() : memref<32xf32>
    // expected-error@+1 {{expected a memref that is the kernel's argument, got 'memref<32xf32>'}}
    %v = memref.load %own[%c0] : memref<32xf32>
    gpu.return
  }
}
