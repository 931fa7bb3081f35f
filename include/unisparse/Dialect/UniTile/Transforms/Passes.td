// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_TRANSFORMS_PASSES_TD
#define UNISPARSE_DIALECT_UNITILE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

include "unisparse/Dialect/UniTile/Transforms/PagePasses.td"

def UniTileAssignLayouts
    : Pass<"unitile-assign-layouts", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Say which thread holds what, and by which instructions it is multiplied";
  let description = [{
    Gives every product of a kernel an atom (`MmaAtomInterface`), and every
    fragment, pending ones and rows too, a layout (`FragmentLayoutInterface`): the
    products' operands and sums that of their atom, and what is computed from
    those the same, through loops and branches. An atom or a layout that is there
    already stays and spreads likewise; what no product has a say in gets
    `#unitile.mma_fragment`. `convert-unitile-to-nvvm` asks these attributes and
    knows no layout of its own.

    | product | atom |
    |---|---|
    | `unitile.mma` of f16, bf16 | `#unitile.mma_sync` |
    | `unitile.mma` of f32 | `#unitile.mma_3xtf32` |
    | `unitile.mma_start` | `#unitile.wgmma` |

    - U36: what is computed together is laid out alike, as nothing moves elements
      between lanes unasked. Two wishes that meet are refused.

    Precondition: tile code as `unitile-verify-tile-contract` takes it; pages have
    been scheduled, as a walk says nothing of threads.

    Before:
    ```mlir
    gpu.module @m {
      gpu.func @k(%q: !unitile.fragment<64x64xbf16>, %s: !unitile.fragment<64x128xf32>, %m: !unitile.rows<64xf32>, %stage: i32) kernel {
        %k = unitile.alloc : !unitile.shared<128x64xbf16>
        %0 = unitile.mma %q, %k[%stage], %s : !unitile.fragment<64x64xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32>
        %1 = unitile.reduce max %0, %m : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @m {
      gpu.func @k(%q: !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, %s: !unitile.fragment<64x128xf32, #unitile.mma_fragment>, %m: !unitile.rows<64xf32, #unitile.mma_fragment>, %stage: i32) kernel {
        %k = unitile.alloc : !unitile.shared<128x64xbf16>
        %0 = unitile.mma %q, %k[%stage], %s atom(#unitile.mma_sync) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32, #unitile.mma_fragment>
        %1 = unitile.reduce max %0, %m : !unitile.fragment<64x128xf32, #unitile.mma_fragment>, !unitile.rows<64xf32, #unitile.mma_fragment>
        gpu.return
      }
    }
    ```
  }];
}

def UniTileAllocateShared
    : Pass<"unitile-allocate-shared", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Place tiles in shared memory";
  let description = [{
    Gives every `unitile.alloc` of a kernel an offset, one behind the other in
    program order, each a multiple of 1024 as the swizzle needs, and notes what
    a launch has to ask for as `unitile.shared_bytes` on the kernel. Offsets
    that are there already are kept and counted. Refuses a kernel that needs
    more than `limit` bytes.

    Before:
    ```mlir
    gpu.module @m {
      gpu.func @k() kernel {
        %q = unitile.alloc : !unitile.shared<64x64xbf16>
        %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @m {
      gpu.func @k() kernel attributes {unitile.shared_bytes = 40960 : i64} {
        %q = unitile.alloc offset 0 : !unitile.shared<64x64xbf16>
        %k = unitile.alloc offset 8192 : !unitile.shared<128x64xbf16, 2>
        gpu.return
      }
    }
    ```
  }];
  let options = [
    Option<"limit", "limit", "int64_t", "101376",
           "bytes that a block may use: 99 KiB, the least of all chips from "
           "sm_80 on">
  ];
}

def UniTileShortTanh : Pass<"unitile-short-tanh", "::mlir::gpu::GPUModuleOp"> {
  let summary = "tanh of small arguments, every second one without the special-function unit";
  let description = [{
    An approximate tanh of a scaled element (a soft cap, M1, M4) in every second
    group of 8 columns becomes a polynomial of degree 5 where its argument is below
    .75 in magnitude: a logit below 37 under a cap of 50. A warp whose elements
    there are all small computes nothing else; another one chooses element by
    element, so that an element depends on itself and its column alone. The
    polynomial's relative error is 2.15e-4, below 2^-12, where M4 allows 2^-11. The
    other columns keep the instruction: exponentials come from the same unit, and
    either way alone is slower. Only beside products of tensor cores, in kernels with
    `unitile.partitions`, and with a scale from 2^-15 to 2^15, whose powers f32 has.
    Not where the kernel's exponentials are all of a settled reference (`unitile.softmax
    settled`): its loop has no branch yet, and one costs more than the unit's time.

    Before:
    ```mlir
    gpu.module @m {
      gpu.func @f(%s: !unitile.fragment<128x64xf32>) kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
        unitile.partitions producer {
        } consumers {
          %scale = arith.constant 2.0e-03 : f32
          %m = unitile.map ins(%s : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
          ^bb0(%e: f32):
            %x = arith.mulf %e, %scale : f32
            %y = math.tanh %x fastmath<afn> : f32
            unitile.yield %y : f32
          }
        }
        gpu.return
      }
    }
    ```
    After, where the second map, of all other arguments, is left out:
    ```mlir
    gpu.module @m {
      gpu.func @f(%s: !unitile.fragment<128x64xf32>) kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
        unitile.partitions producer {
        } consumers {
          %scale = arith.constant 2.0e-03 : f32
          %c0 = arith.constant 1.9995705E-3 : f32
          %c1 = arith.constant -2.61037381E-9 : f32
          %c2 = arith.constant 3.11534663E-15 : f32
          %bound = arith.constant 3.750000e+02 : f32
          %zero = arith.constant 0.0 : f32
          %none = arith.constant 0 : i32
          %eight = arith.constant 8 : i32
          %sizes = unitile.map indices ins(%s : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
          ^bb0(%row: i32, %column: i32, %e: f32):
            %bit = arith.andi %column, %eight : i32
            %short = arith.cmpi ne, %bit, %none : i32
            %size = math.absf %e : f32
            %a = arith.select %short, %size, %zero : f32
            unitile.yield %a : f32
          }
          %largest = unitile.fold max %sizes : !unitile.fragment<128x64xf32> -> !unitile.fragment<128x8xf32>
          %small = unitile.all_below %largest, %bound : !unitile.fragment<128x8xf32>
          %m = scf.if %small -> !unitile.fragment<128x64xf32> {
            %t = unitile.map indices ins(%s : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {
            ^bb0(%row: i32, %column: i32, %e: f32):
              %bit = arith.andi %column, %eight : i32
              %short = arith.cmpi ne, %bit, %none : i32
              %v = arith.mulf %e, %e : f32
              %0 = math.fma %c2, %v, %c1 : f32
              %1 = math.fma %0, %v, %c0 : f32
              %2 = arith.mulf %e, %1 : f32
              %x = arith.mulf %e, %scale : f32
              %3 = math.tanh %x fastmath<afn> : f32
              %y = arith.select %short, %2, %3 : f32
              unitile.yield %y : f32
            }
            scf.yield %t : !unitile.fragment<128x64xf32>
          } else {
            scf.yield %s : !unitile.fragment<128x64xf32>
          }
        }
        gpu.return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect"];
}

def UniTileVerifyTileContract
    : Pass<"unitile-verify-tile-contract", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Check that tiles are filled before they are read, and that threads meet";
  let description = [{
    Closes the tile level: follows every tile of one stage through a kernel's
    straight code, branches and loops.

    - U7: `unitile.load`, `unitile.mma`, `unitile.mma_start` and `unitile.tensor_store`
      read a tile only when its last copy was waited for and a barrier stands
      behind the wait, or behind a `unitile.write`; a warpgroup sends what it has
      written itself without. What TMA loads is read only behind a
      `unitile.await` or a `unitile.test` of barriers that the copies arrive at.
    - U8: `unitile.copy_async` and `unitile.write` overwrite a tile only when a
      barrier stands behind its last read.
    - U9: no copy is in flight where the kernel ends.
    - U18: what only Hopper has (copies by TMA, barriers in shared
      memory, products in flight, fragments written to tiles, roles, clusters)
      stands only where `hopper` says that the chip has it.
    - U19: what reaches other CTAs (copies to `blocks`, arrivals
      `of` a block, `cluster`) stands in a kernel whose known_cluster_size has
      those blocks, and `after_writes` with `blocks` only.
    - U20: `unitile.barrier cluster` stands in the kernel's own block, where all
      threads come by; one stands behind its barriers and before what reaches
      other blocks, and one behind that: no block's barriers are used before
      they have started, or after it has ended.
    - U30: no `unitile.walk`, `unitile.fetch`, `unitile.dot`, `unitile.rank` and
      no `scf.parallel` of a page is left.
    - U32: tiles of several stages are read only where something of the kernel
      fills them: `unitile.copy_async`, `unitile.tensor_copy` or `unitile.write`.
      Ops name tiles as `unitile.alloc` and barriers as `unitile.barriers` gives
      them; none comes through a loop or a branch.
    - U33: threads that execute an op together come by together. For those of a
      warp (`load`, `mma`, `mma_wait`, `reduce`, `sum_groups`, `all_below`,
      `ballot`, `write`, `arrive` without `by_thread`, shuffles), a warpgroup (`mma_fence`, `mma_start`, `send`) or the CTA
      (`barrier`, `barriers`, `copy_async`, `take_turn`, `pass_turn`,
      `gpu.barrier`, `gpu.all_reduce`), no condition of an `scf.if`, `scf.while` or
      `scf.index_switch` and no bound of an `scf.for` around it may differ. What
      differs: thread and lane numbers, what `unitile.test`, shuffles and atomics
      give (`unitile.all_below`, `unitile.ballot`: between warps), and what is computed from those,
      loops and branches included. A number of the warp (`thread_id x` divided by
      32 or a multiple of it) and `thread_id x < 32 n` do not differ in a warp.
      The producer of `unitile.partitions` is one thread; its consumers have a barrier
      of their own, `consumers`.
    - U34: `unitile.mma_wait n` gives a product that n others were started behind,
      in its own block; 0 gives any.
    - U35: no more stages than are guarded. A tile of n stages is read while at
      most n - 1 groups of copies into it are in flight, and each of its stages
      has an mbarrier of its own where TMA fills it; or the thread that fills it
      waits behind the copy, in the same block.

    Which stage, and which phase of a barrier, is told at run time and not
    followed: what holds for every one of them is checked. Nor is what
    differs followed through memory. That a product has a wait needs no rule: in
    flight it is of another type, `!unitile.pending`. Changes nothing.
  }];
  let options = [
    Option<"hopper", "hopper", "bool", "true",
           "the chip has wgmma, TMA and setmaxnreg">
  ];
}

def UniTileVerifyLaunches : Pass<"unitile-verify-launches", "::mlir::ModuleOp"> {
  let summary = "Check that launches give kernels what they were laid out for";
  let description = [{
    - U25: a launch of a kernel of the module asks for the shared memory that
      `unitile-allocate-shared` noted on it, at least, and for the threads of its
      known_block_size. Numbers that are computed are not looked into.

    Precondition: `unitile-allocate-shared`; kernels are still `gpu.func`s.
    Changes nothing.
  }];
}

def UniTileAssumeMultiprocessors : Pass<"unitile-assume-multiprocessors"> {
  let summary = "Take a number of multiprocessors for granted";
  let description = [{
    `unitile.multiprocessors` becomes a constant. A launch plan asks the device;
    host code that others lower and a CPU's loops have nobody to ask. With more
    than a device has, CTAs come late and find nothing left; with fewer, some of
    it idles: either is right.

    Before:
    ```mlir
    func.func @host() -> index {
      %m = unitile.multiprocessors
      return %m : index
    }
    ```
    After, with `count=132`:
    ```mlir
    func.func @host() -> index {
      %c132 = arith.constant 132 : index
      return %c132 : index
    }
    ```
  }];
  let options = [
    Option<"count", "count", "int64_t", "132", "of the device">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

def UniTileGatherCounters : Pass<"unitile-gather-counters", "::mlir::ModuleOp"> {
  let summary = "Set the words that launches count in together, in front of all";
  let description = [{
    Words that a host's block sets, each for one of its launches, become one
    buffer, set in front of the block's first launch: a step fewer for each, and
    nothing stands between launches any more. A kernel takes the buffer's address
    and adds the place of its own word.

    A word is a `gpu.alloc` of one i32 that a `gpu.memset` sets to a constant,
    and whose address one launch takes, the only one of its kernel; words of
    another constant than the block's first stay.

    Before:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @first(%counter: !llvm.ptr<1>) kernel {
          gpu.return
        }
        gpu.func @second(%counter: !llvm.ptr<1>) kernel {
          %next = llvm.load %counter : !llvm.ptr<1> -> i32
          gpu.return
        }
      }
      func.func @host() {
        %c1 = arith.constant 1 : index
        %zero = arith.constant 0 : i32
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
        gpu.launch_func @kernels::@second blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%5 : !llvm.ptr<1>)
        return
      }
    }
    ```
    After:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @first(%counter: !llvm.ptr<1>) kernel {
          gpu.return
        }
        gpu.func @second(%counters: !llvm.ptr<1>) kernel {
          %counter = llvm.getelementptr %counters[1] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
          %next = llvm.load %counter : !llvm.ptr<1> -> i32
          gpu.return
        }
      }
      func.func @host() {
        %c1 = arith.constant 1 : index
        %words = gpu.alloc () : memref<2xi32>
        %zero = arith.constant 0 : i32
        gpu.memset %words, %zero : memref<2xi32>, i32
        %0 = memref.extract_aligned_pointer_as_index %words : memref<2xi32> -> index
        %1 = arith.index_cast %0 : index to i64
        %2 = llvm.inttoptr %1 : i64 to !llvm.ptr<1>
        gpu.launch_func @kernels::@first blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%2 : !llvm.ptr<1>)
        gpu.launch_func @kernels::@second blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%2 : !llvm.ptr<1>)
        return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect"];
}

def UniTileSplitRareSteps : Pass<"unitile-split-rare-steps", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Put what a loop hardly ever does behind it, in a loop around it";
  let description = [{
    A `scf.for` with a branch whose condition is expected to hold
    (`llvm.intr.expect`: a softmax whose reference stays, U23) becomes two loops:
    the inner one takes steps as long as they are usual, the outer one does what
    is left of a step that was not, and goes on. Results are the same bits. What
    the loop does most is then in one piece where a compiler puts both sides of a
    branch into the loop, as ptxas does.

    Only where the usual side, and what comes behind the branch in the loop, has
    no effects: it is computed before it is known which side a step takes.

    Before:
    ```mlir
    gpu.module @m {
      func.func @sum(%n: i32, %x: f32, %bound: f32) -> f32 {
        %c0 = arith.constant 0 : i32
        %c1 = arith.constant 1 : i32
        %true = arith.constant true
        %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %x) -> (f32) : i32 {
          %square = arith.mulf %s, %s : f32
          %fits = arith.cmpf olt, %square, %bound : f32
          %usual = llvm.intr.expect %fits, %true : i1
          %y = scf.if %usual -> (f32) {
            scf.yield %square : f32
          } else {
            %half = math.sqrt %square : f32
            scf.yield %half : f32
          }
          %z = arith.addf %y, %x : f32
          scf.yield %z : f32
        }
        return %r : f32
      }
    }
    ```
    After:
    ```mlir
    gpu.module @m {
      func.func @sum(%n: i32, %x: f32, %bound: f32) -> f32 {
        %c0 = arith.constant 0 : i32
        %c1 = arith.constant 1 : i32
        %true = arith.constant true
        %r:2 = scf.while (%i = %c0, %s = %x) : (i32, f32) -> (i32, f32) {
          %any = arith.cmpi slt, %i, %n : i32
          scf.condition(%any) %i, %s : i32, f32
        } do {
        ^bb0(%i: i32, %s: f32):
          %u:4 = scf.while (%j = %i, %t = %s) : (i32, f32) -> (i32, f32, i1, f32) {
            %square = arith.mulf %t, %t : f32
            %fits = arith.cmpf olt, %square, %bound : f32
            %usual = llvm.intr.expect %fits, %true : i1
            %z = arith.addf %square, %x : f32
            %next = arith.addi %j, %c1 : i32
            %more = arith.cmpi slt, %next, %n : i32
            %again = arith.andi %usual, %more : i1
            scf.condition(%again) %next, %z, %usual, %square : i32, f32, i1, f32
          } do {
          ^bb0(%j: i32, %t: f32, %usual: i1, %square: f32):
            scf.yield %j, %t : i32, f32
          }
          %v = scf.if %u#2 -> (f32) {
            scf.yield %u#1 : f32
          } else {
            %half = math.sqrt %u#3 : f32
            %z = arith.addf %half, %x : f32
            scf.yield %z : f32
          }
          scf.yield %u#0, %v : i32, f32
        }
        return %r#1 : f32
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def UniTileOverlapLaunches : Pass<"unitile-overlap-launches", "::mlir::ModuleOp"> {
  let summary = "Let a launch begin while the one in front of it ends";
  let description = [{
    Programmatic dependent launch (PTX ISA, griddepcontrol; of sm_90 on): of two
    launches that follow each other on the host with no other step between, the
    second gets `unitile.overlaps`, by which whoever launches it may let it begin
    when the CTAs of the first end, on the multiprocessors that are free by then.
    Its kernel waits, before all else, until all of the first has ended and what
    it wrote is there. What is computed is the same, and so it is where a launcher
    does not know the attribute: nobody is waited for then.

    A kernel that waits ends after the one that it waited for: of three in a row
    the third sees what the first wrote. One that has no buffer of the function's
    in common with those in front of it waits in its last instruction for that
    reason alone, and runs beside them: the first one's says in its first
    instruction that another may begin, when all CTAs have said so. Who would
    have to wait is not let in early: waiting CTAs take the room of others, 20 us
    in front of a selection on an H200 (benchmarks/NOTES.md).

    Before:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @first(%p: !llvm.ptr<1>) kernel {
          gpu.return
        }
        gpu.func @second(%p: !llvm.ptr<1>) kernel {
          gpu.return
        }
      }
      func.func @host(%p: !llvm.ptr<1>) {
        %c1 = arith.constant 1 : index
        gpu.launch_func @kernels::@first blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
        gpu.launch_func @kernels::@second blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
        return
      }
    }
    ```
    After:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @first(%p: !llvm.ptr<1>) kernel {
          gpu.return
        }
        gpu.func @second(%p: !llvm.ptr<1>) kernel {
          nvvm.griddepcontrol wait
          gpu.return
        }
      }
      func.func @host(%p: !llvm.ptr<1>) {
        %c1 = arith.constant 1 : index
        gpu.launch_func @kernels::@first blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>)
        gpu.launch_func @kernels::@second blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%p : !llvm.ptr<1>) {unitile.overlaps}
        return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::NVVM::NVVMDialect"];
}

def UniTilePassMapsByValue
    : Pass<"unitile-pass-maps-by-value", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Tensor maps are 128 bytes by value among a kernel's parameters";
  let description = [{
    The arguments that `unitile.tensor_maps` numbers become parameters of 128
    bytes that no thread may change: TMA reads a map where the
    launch put it. In the LLVM dialect, as NVVM knows what is constant in a grid
    in its own kernels alone; `convert-unitile-to-nvvm` numbers the arguments
    that are marked `unitile.tensor_map`.

    Before:
    ```mlir
    gpu.module @m {
      llvm.func @k(%map: !llvm.ptr) attributes {gpu.kernel, nvvm.kernel, unitile.tensor_maps = array<i32: 0>} {
        llvm.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @m {
      llvm.func @k(%map: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant})
          attributes {gpu.kernel, nvvm.kernel} {
        llvm.return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // UNISPARSE_DIALECT_UNITILE_TRANSFORMS_PASSES_TD
