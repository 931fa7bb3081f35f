// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Passes over pages: what puts them in time and place, on GPUs and CPUs.
// Included by Passes.td.
#ifndef UNISPARSE_DIALECT_UNITILE_TRANSFORMS_PAGEPASSES_TD
#define UNISPARSE_DIALECT_UNITILE_TRANSFORMS_PAGEPASSES_TD

def UniTilePersist : Pass<"unitile-persist", "::mlir::ModuleOp"> {
  let summary = "As many CTAs as have memory of their own, one item after another";
  let description = [{
    A kernel with a `unitile.worker` is launched with as many CTAs as the memory
    that it names has parts, and its body becomes a loop: CTA w takes the places
    w, w + ctas, ... of the grid that the launch had, x fastest. Kernels for
    `unitile-specialise-warps`, which hands out items itself, are left to it
    unless `specialised`.

    Precondition: the memory is an argument of the kernel.

    Before:
    ```mlir
    gpu.module @before {
      gpu.func @k(%sums: memref<?x64x?xf32>, %x: memref<?xi32>) kernel attributes {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>} {
        %w = unitile.worker of %sums : memref<?x64x?xf32>
        %id = gpu.block_id x
        memref.store %w, %x[%id] : memref<?xi32>
        gpu.return
      }
    }
    ```
    After, launched with a CTA for each part of `sums`:
    ```mlir
    gpu.module @after {
      gpu.func @k(%sums: memref<?x64x?xf32>, %x: memref<?xi32>, %grid_x: i32, %grid_y: i32, %grid_z: i32) kernel {
        %id = gpu.block_id x
        %w = arith.index_cast %id : index to i32
        %dim = gpu.grid_dim x
        %ctas = arith.index_cast %dim : index to i32
        %xy = arith.muli %grid_x, %grid_y : i32
        %items = arith.muli %xy, %grid_z : i32
        scf.for %item = %w to %items step %ctas : i32 {
          %yz = arith.divui %item, %grid_x : i32
          %first = arith.muli %yz, %grid_x : i32
          %i = arith.subi %item, %first : i32
          %place = arith.index_cast %i : i32 to index
          memref.store %w, %x[%place] : memref<?xi32>
        }
        gpu.return
      }
    }
    ```
  }];
  let options = [
    Option<"specialised", "specialised", "bool", "false",
           "kernels for unitile-specialise-warps too, for a CPU">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::unisparse::unitile::UniTileDialect"];
}

def UniTilePipeline : Pass<"unitile-pipeline", "::mlir::ModuleOp"> {
  let summary = "Put the copies of a page's tiles beside its arithmetic";
  let description = [{
    In every kernel with a `unitile.schedule` of `#unitile.tiles`, `unitile.walk`
    becomes a loop over its tiles in ascending order: keys and values get a stage
    of shared memory each, values arrive while scores are multiplied, the next
    keys while the softmax runs. Sums stay by columns until the loop ends. The
    kernel's memrefs become addresses and strides, here and in its launches,
    which get their number of threads (a warp for 16 rows) and shared memory.

    Precondition: what `unitile-specialise-warps` says of a walk; memrefs are
    arguments of the kernel.

    Before: the page that `unitile.walk` shows. After, its loop (addresses, masks
    and the softmax left out):
    ```mlir
    func.func @loop(%k: !llvm.ptr<1>, %v: !llvm.ptr<1>, %lk: i32, %stride: i64, %count: i32, %q: !unitile.fragment<64x64xbf16>, %o0: !unitile.fragment<64x64xf32>) {
      %c0 = arith.constant 0 : i32
      %c1 = arith.constant 1 : i32
      %c64 = arith.constant 64 : i32
      %keys = unitile.alloc : !unitile.shared<64x64xbf16>
      %values = unitile.alloc : !unitile.shared<64x64xbf16>
      unitile.copy_async %k row %c0 limit %lk stride %stride width 64 to %keys[%c0] : !unitile.shared<64x64xbf16>
      unitile.commit
      unitile.wait 0
      unitile.barrier
      %end:2 = scf.for %n = %c0 to %count step %c1 iter_args(%o = %o0, %key = %c0) -> (!unitile.fragment<64x64xf32>, i32) : i32 {
        unitile.copy_async %v row %key limit %lk stride %stride width 64 to %values[%c0] : !unitile.shared<64x64xbf16>
        unitile.commit
        unitile.wait 1
        unitile.barrier
        %s = unitile.mma %q, %keys[%c0], %o0 : !unitile.fragment<64x64xbf16>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32>
        unitile.barrier
        %next = arith.addi %key, %c64 : i32
        unitile.copy_async %k row %next limit %lk stride %stride width 64 to %keys[%c0] : !unitile.shared<64x64xbf16>
        unitile.commit
        %p = unitile.map ins(%s : !unitile.fragment<64x64xf32>) -> !unitile.fragment<64x64xbf16> {
        ^bb0(%x: f32):
          %r = arith.truncf %x : f32 to bf16
          unitile.yield %r : bf16
        }
        unitile.wait 1
        unitile.barrier
        %sum = unitile.mma %p, %values[%c0], %o by_rows : !unitile.fragment<64x64xbf16>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32>
        unitile.barrier
        scf.yield %sum, %next : !unitile.fragment<64x64xf32>, i32
      }
      unitile.wait 0
      return
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect",
                           "::unisparse::unitile::UniTileDialect"];
}

def UniTileSpecialiseWarps : Pass<"unitile-specialise-warps", "::mlir::ModuleOp"> {
  let summary = "Give a page's copies to a producer, its products to consumers";
  let description = [{
    In every kernel with a `unitile.schedule` of `#unitile.schedule`, the page is
    put into the two partitions of a `unitile.partitions`. The regions of its walk are
    copied there as they are; what this pass adds is when they run:

    | from the page | to | |
    |---|---|---|
    | its front, `count`, `block` | producer | one thread walks work items, handed out by a counter, and their tiles |
    | `unitile.fetch` of Q, K, V | producer | TMA loads into rings of stages, guarded by full and empty mbarriers |
    | `score`, `mask`, `update` | consumers | the scores of a tile are started together with the output of the tile before (`overlap`), across items too; steps are peeled: an item's first tile, tiles with keys to hide, all others |
    | `finish` | consumers | beside the first tile of the next item; O leaves by TMA |

    Tiles with keys to hide go first, from the last down; every second wave of
    items goes through all of its tiles from the last down (serpentine order).
    What consumers need of an item crosses shared memory in words. With
    `cluster = 2`, two CTAs take neighbouring heads and share every copy of K and
    V. Nothing is found out here: this is a deliberate expansion of those
    regions, by the numbers of the schedule.

    The kernel's memrefs become tensor maps, addresses and strides, here and in
    its launches; the page's grid (query tiles, heads, batch) becomes that of a
    persistent kernel.

    A walk without values (`unitile.softmax_sums`, scoring's) has no output to
    overlap with: a warpgroup takes exponentials while another's scores are
    multiplied, `update` may keep what it finds in memory, and parallel loops in
    `finish` are shared by all consumers. As many CTAs are launched as the memory
    of its `unitile.worker` has parts.

    Precondition: one walk, whose score begins with a product of a tile fetched in
    front of it with one fetched for the key tile, whose update is one softmax and
    one product with a fetched tile, or a `unitile.softmax_sums`, and whose tiles
    all end alike. Without
    `unitile.locate`, the limits of fetches are the memory's ends.

    Before: the page that `unitile.walk` shows, with a schedule. After, the frame:
    ```mlir
    gpu.module @m {
      gpu.func @attend(%q: !llvm.ptr {unitile.tensor_map}, %k: !llvm.ptr {unitile.tensor_map}, %v: !llvm.ptr {unitile.tensor_map}, %o: !llvm.ptr {unitile.tensor_map})
          kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
        %queries = unitile.alloc : !unitile.shared<64x64xbf16>
        %keys = unitile.alloc : !unitile.shared<64x64xbf16, 3>
        %values = unitile.alloc : !unitile.shared<64x64xbf16, 3>
        %full_k = unitile.barriers arrivals 1 : !unitile.barriers<3>
        %empty_k = unitile.barriers arrivals 4 : !unitile.barriers<3>
        %item = unitile.words 5 : <3>
        unitile.barrier
        unitile.partitions registers <48, 208> producer {
          // Items from the counter; for each: words and Q, then K0 K1 V0 K2 V1 ...
        } consumers {
          // The stream: scores of this tile beside the output of the latest.
        }
        gpu.return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::NVVM::NVVMDialect", "::unisparse::unitile::UniTileDialect"];
}

def UniTileDecomposeSoftmax
    : Pass<"unitile-decompose-softmax", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Masks and softmax become maps, folds and reductions";
  let description = [{
    `unitile.mask`, `unitile.softmax`, `unitile.reference`, `unitile.exponentials`,
    `unitile.inverse` and `unitile.lse` as `unitile.map`, `unitile.fold` and
    `unitile.reduce`: the one place where their arithmetic is written, for every
    chip and schedule. A `speculative` softmax tests its sums and has its
    ordinary step behind a branch that is hardly ever taken.

    Before:
    ```mlir
    gpu.module @m {
      gpu.func @f(%s: !unitile.fragment<64x64xf32>, %key: i32, %end: i32) {
        %m = unitile.mask %s keys %key to %end : !unitile.fragment<64x64xf32>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @m {
      gpu.func @f(%s: !unitile.fragment<64x64xf32>, %key: i32, %end: i32) {
        %none = arith.constant 0xFF800000 : f32
        %length = arith.subi %end, %key : i32
        %m = unitile.map indices ins(%s : !unitile.fragment<64x64xf32>) -> !unitile.fragment<64x64xf32> {
        ^bb0(%row: i32, %column: i32, %x: f32):
          %seen = arith.cmpi slt, %column, %length : i32
          %y = arith.select %seen, %x, %none : f32
          unitile.yield %y : f32
        }
        gpu.return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect"];
}

def UniTileWalkToFor : Pass<"unitile-walk-to-for"> {
  let summary = "A walk as one loop over its tiles";
  let description = [{
    `unitile.walk` as an `scf.for` whose body is the regions block, score, mask
    and update, one behind the other, and with finish behind the loop: what a
    page says, in one order, with nothing beside anything. Tiles come in
    ascending order, or `descending`: a page promises that its results do not
    depend on it, up to rounding.

    Before:
    ```mlir
    func.func @before(%count: i32, %end: i32, %s: !unitile.fragment<64x64xf32>, %zero: !unitile.rows<64xf32>,
                      %o: memref<1x1x64xf32>) {
      %c0 = arith.constant 0 : i32
      unitile.walk to %count from(%zero : !unitile.rows<64xf32>) block {
      ^bb0(%n: i32):
        unitile.yield %n, %end : i32, i32
      } score {
      ^bb0(%key: i32, %limit: i32):
        unitile.yield %s : !unitile.fragment<64x64xf32>
      } mask {
      ^bb0(%x: !unitile.fragment<64x64xf32>, %key: i32, %limit: i32):
        unitile.yield %x : !unitile.fragment<64x64xf32>
      } update {
      ^bb0(%x: !unitile.fragment<64x64xf32>, %key: i32, %limit: i32, %sum: !unitile.rows<64xf32>):
        %next = unitile.reduce add %x, %sum : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
        unitile.yield %next : !unitile.rows<64xf32>
      } finish {
      ^bb0(%sum: !unitile.rows<64xf32>):
        unitile.put %sum to %o[%c0, %c0] rows %c0 to %end : !unitile.rows<64xf32>, memref<1x1x64xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    func.func @after(%count: i32, %end: i32, %s: !unitile.fragment<64x64xf32>, %zero: !unitile.rows<64xf32>,
                     %o: memref<1x1x64xf32>) {
      %c0 = arith.constant 0 : i32
      %c1 = arith.constant 1 : i32
      %total = scf.for %n = %c0 to %count step %c1 iter_args(%sum = %zero) -> (!unitile.rows<64xf32>) : i32 {
        %next = unitile.reduce add %s, %sum : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
        scf.yield %next : !unitile.rows<64xf32>
      }
      unitile.put %total to %o[%c0, %c0] rows %c0 to %end : !unitile.rows<64xf32>, memref<1x1x64xf32>
      return
    }
    ```
  }];
  let options = [
    Option<"descending", "descending", "bool", "false",
           "from the last tile down">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def UniTileUnrollBoundedLoops : Pass<"unitile-unroll-bounded-loops"> {
  let summary = "Unroll loops that hardly ever end early";
  let description = [{
    An innermost `scf.for` from a constant to the smaller of a constant and
    something else, as over the rows of a block of which the last may have fewer,
    is done twice: where all of the constant is there, unrolled by `factor`, so
    that the loads of several iterations are in flight together; else as it is.
    The order of what it computes stays.

    Precondition: a constant step.

    Before:
    ```mlir
    func.func @before(%x: memref<?xf32>, %left: index, %zero: f32) -> f32 {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %end = arith.minsi %left, %c2 : index
      %sum = scf.for %i = %c0 to %end step %c1 iter_args(%s = %zero) -> f32 {
        %v = memref.load %x[%i] : memref<?xf32>
        %t = arith.addf %s, %v : f32
        scf.yield %t : f32
      }
      return %sum : f32
    }
    ```
    After:
    ```mlir
    func.func @after(%x: memref<?xf32>, %left: index, %zero: f32) -> f32 {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %whole = arith.cmpi sge, %left, %c2 : index
      %sum = scf.if %whole -> f32 {
        %v0 = memref.load %x[%c0] : memref<?xf32>
        %s0 = arith.addf %zero, %v0 : f32
        %v1 = memref.load %x[%c1] : memref<?xf32>
        %s1 = arith.addf %s0, %v1 : f32
        scf.yield %s1 : f32
      } else {
        %rest = scf.for %i = %c0 to %left step %c1 iter_args(%s = %zero) -> f32 {
          %v = memref.load %x[%i] : memref<?xf32>
          %t = arith.addf %s, %v : f32
          scf.yield %t : f32
        }
        scf.yield %rest : f32
      }
      return %sum : f32
    }
    ```
  }];
  let options = [
    Option<"factor", "factor", "int64_t", "8",
           "iterations side by side: loads that are in flight together">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def UniTileDistributeThreads : Pass<"unitile-distribute-threads", "::mlir::ModuleOp"> {
  let summary = "Share out a page's data-parallel loops among threads";
  let description = [{
    In every kernel with a `unitile.schedule` of `#unitile.threads`, which this
    takes away, a point of the page's grid becomes the work of as many threads as
    it has `lanes`, a CTA that of `items` neighbours along x:

    | in the page | per thread |
    |---|---|
    | `scf.parallel (%j) = (%lo) to (%hi)` | iterations lo + lane, lo + lane + lanes, ...; without a loop where they are as many as lanes |
    | `scf.reduce` | the lane's own, in order, then over the warp by `gpu.shuffle xor`, distances 16 to 1; sums of i32 by `gpu.subgroup_reduce` |
    | `unitile.rank` | lanes go on together; `unitile.ballot`, and the bits of earlier lanes counted |
    | stores outside of loops | lane 0's |
    | all else outside of loops | every lane's, alike |
    | `gpu.block_id x` | that of the item; the launch's grid is divided by items, and what is behind its old end does nothing |
    | `memref.alloca` of workgroup memory | `unitile.words` of the CTA's shared memory, for which the launch asks; `gpu.barrier` in front of what reads what an earlier loop or store has written there, or writes what an earlier one uses |
    | memrefs | addresses, strides and sizes, here and at the launches; `vector.load` of a piece of a row has the piece's alignment |

    A page reads no argument that it writes: nobody waits for those. Indices are
    computed in 32 bits, addresses in 64.

    Precondition: loops of one dim, a step of 1 and none inside another, whose
    iterations exchange values (results, ranks) only where lanes are 32; memrefs
    are arguments of the kernel or, where an item is a whole CTA, memory of its
    own (`memref.alloca` of static size and no layout, in workgroup memory) that
    is used outside of other loops.

    Before:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @sum(%x: memref<?x?xf32>, %out: memref<?xf32>, %n: i32) kernel
            attributes {unitile.schedule = #unitile.threads<lanes = 32, items = 4>} {
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          %zero = arith.constant 0.0 : f32
          %row = gpu.block_id x
          %end = arith.index_cast %n : i32 to index
          %sum = scf.parallel (%j) = (%c0) to (%end) step (%c1) init (%zero) -> f32 {
            %v = memref.load %x[%row, %j] : memref<?x?xf32>
            scf.reduce(%v : f32) {
            ^bb0(%a: f32, %b: f32):
              %s = arith.addf %a, %b : f32
              scf.reduce.return %s : f32
            }
          }
          memref.store %sum, %out[%row] : memref<?xf32>
          gpu.return
        }
      }
    }
    ```
    After (one of the five shuffles; addresses left out):
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @sum(%n: i32, %rows: i32, %x: !llvm.ptr<1>, %columns: i64, %out: !llvm.ptr<1>) kernel
            attributes {known_block_size = array<i32: 128, 1, 1>} {
          %c0 = arith.constant 0 : i32
          %c4 = arith.constant 4 : i32
          %c32 = arith.constant 32 : i32
          %zero = arith.constant 0.0 : f32
          %tx = gpu.thread_id x
          %thread = arith.index_cast %tx : index to i32
          %lane = arith.remui %thread, %c32 : i32
          %bx = gpu.block_id x
          %block = arith.index_cast %bx : index to i32
          %first = arith.muli %block, %c4 : i32
          %warp = arith.divui %thread, %c32 : i32
          %row = arith.addi %first, %warp : i32
          %works = arith.cmpi slt, %row, %rows : i32
          scf.if %works {
            %own = scf.for %j = %lane to %n step %c32 iter_args(%a = %zero) -> (f32) : i32 {
              %v = llvm.load %x : !llvm.ptr<1> -> f32
              %s = arith.addf %a, %v : f32
              scf.yield %s : f32
            }
            %c16 = arith.constant 16 : i32
            %other, %valid = gpu.shuffle xor %own, %c16, %c32 : f32
            %sum = arith.addf %own, %other : f32
            %once = arith.cmpi eq, %lane, %c0 : i32
            scf.if %once {
              llvm.store %sum, %out : f32, !llvm.ptr<1>
            }
          }
          gpu.return
        }
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect",
                           "::unisparse::unitile::UniTileDialect"];
}

def UniTileParallelToFor : Pass<"unitile-parallel-to-for"> {
  let summary = "A page's data-parallel loops, one iteration after another";
  let description = [{
    `scf.parallel` as an `scf.for` that carries what is reduced, and a count for
    each `unitile.rank`. Loops whose iterations exchange nothing are left to
    `scf-parallel-for-to-nested-fors`. For a page before its launch becomes a
    loop: an `scf.parallel` of the host is not for it.

    Precondition: loops of one dim, a step of 1 and none inside another.

    Before:
    ```mlir
    func.func @before(%x: memref<?xi1>, %n: index) -> i32 {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %zero = arith.constant 0 : i32
      %sum = scf.parallel (%j) = (%c0) to (%n) step (%c1) init (%zero) -> i32 {
        %yes = memref.load %x[%j] : memref<?xi1>
        %rank = unitile.rank %yes
        scf.reduce(%rank : i32) {
        ^bb0(%a: i32, %b: i32):
          %s = arith.addi %a, %b : i32
          scf.reduce.return %s : i32
        }
      }
      return %sum : i32
    }
    ```
    After:
    ```mlir
    func.func @after(%x: memref<?xi1>, %n: index) -> i32 {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %zero = arith.constant 0 : i32
      %end:2 = scf.for %j = %c0 to %n step %c1 iter_args(%a = %zero, %rank = %zero) -> (i32, i32) {
        %yes = memref.load %x[%j] : memref<?xi1>
        %one = arith.extui %yes : i1 to i32
        %next = arith.addi %rank, %one : i32
        %s = arith.addi %a, %rank : i32
        scf.yield %s, %next : i32, i32
      }
      return %end#0 : i32
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def UniTileLaunchToParallel : Pass<"unitile-launch-to-parallel", "::mlir::ModuleOp"> {
  let summary = "Launches of pages become parallel loops on the host";
  let description = [{
    A `gpu.launch_func` becomes an `scf.parallel` over its grid (z, y, x) with the
    kernel's body, in which `gpu.block_id` is the loop's variable: a page of
    unitile words says nothing about threads, so one iteration is one CTA. Device
    buffers (`gpu.alloc`) and memory of the kernel's own (`memref.alloca` in workgroup
    memory) become the host's, and no gpu.module is left.

    Precondition: kernels are `gpu.func`s of one block that know their place in
    the grid and nothing else of the gpu dialect; one that asks for a thread is
    refused.

    Before:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @k(%x: memref<?xi32>) kernel {
          %i = gpu.block_id x
          %v = arith.index_cast %i : index to i32
          memref.store %v, %x[%i] : memref<?xi32>
          gpu.return
        }
      }
      func.func @before(%n: index) -> memref<?xi32> {
        %c1 = arith.constant 1 : index
        %x = gpu.alloc(%n) : memref<?xi32>
        gpu.launch_func @kernels::@k blocks in (%n, %c1, %c1) threads in (%c1, %c1, %c1) args(%x : memref<?xi32>)
        return %x : memref<?xi32>
      }
    }
    ```
    After:
    ```mlir
    func.func @after(%n: index) -> memref<?xi32> {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %x = memref.alloc(%n) : memref<?xi32>
      scf.parallel (%bz, %by, %bx) = (%c0, %c0, %c0) to (%c1, %c1, %n) step (%c1, %c1, %c1) {
        %v = arith.index_cast %bx : index to i32
        memref.store %v, %x[%bx] : memref<?xi32>
        scf.reduce
      }
      return %x : memref<?xi32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
}

#endif // UNISPARSE_DIALECT_UNITILE_TRANSFORMS_PAGEPASSES_TD
