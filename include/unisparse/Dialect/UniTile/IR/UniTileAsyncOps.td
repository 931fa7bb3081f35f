// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What happens beside the threads of a Hopper chip: copies of tiles by the copy
// engine, barriers that say when they are there, products that are in flight,
// and warps that do nothing but feed the others. Included by UniTileOps.td.
#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILEASYNCOPS_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILEASYNCOPS_TD

def UniTile_GenericPtr : LLVM_PointerInAddressSpace<0>;
def UniTile_SharedPtr : LLVM_PointerInAddressSpace<3>;

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

def UniTile_PartitionsOp : UniTile_Op<"partitions",
    [NoTerminator, SingleBlock, RecursiveMemoryEffects, UniTile_NeedsHopper]> {
  let summary = "Some warps feed the others";
  let description = [{
    The first four warps of the block are the producer: one of their threads
    executes the first region, the rest wait for the end. All other warps, the
    consumers, execute the second region; fragments are theirs and are shared
    out among them alone. `registers` moves registers from the producer to the
    consumers; without it every thread keeps what it started with.

    Constraints
    - U15: one `unitile.partitions` a kernel, in the kernel's own block; fragments,
      pending ones too, and rows only in the consumers' region.
    - U16: registers are multiples of 8 from 24 to 240.

    ```mlir
    gpu.module @m {
      gpu.func @k(%x: f32) kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
        unitile.partitions registers <40, 232> producer {
          %c0 = arith.constant 0 : i32
        } consumers {
          %0 = unitile.fill %x : f32 -> !unitile.fragment<128x64xf32>
        }
        gpu.return
      }
    }
    ```
  }];
  let arguments = (ins OptionalAttr<I32Attr>:$producer_registers,
                       OptionalAttr<I32Attr>:$consumer_registers);
  let regions = (region SizedRegion<1>:$producer, SizedRegion<1>:$consumers);
  let assemblyFormat = [{
    (`registers` `<` $producer_registers^ `,` $consumer_registers `>`)?
    `producer` $producer `consumers` $consumers attr-dict
  }];
  let hasVerifier = 1;
}

def UniTile_TakeTurnOp : UniTile_Op<"take_turn", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait for this warpgroup's turn";
  let description = [{
    Consumers' warpgroups take turns, in order; `unitile.pass_turn` ends one.
    `first` is executed once before all turns, and starts them.

    ```mlir
    func.func @turns() {
      unitile.take_turn first
      unitile.take_turn
      unitile.pass_turn
      return
    }
    ```
  }];
  let arguments = (ins UnitAttr:$first);
  let assemblyFormat = "(`first` $first^)? attr-dict";
}

def UniTile_PassTurnOp : UniTile_Op<"pass_turn", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "It is the next warpgroup's turn";
  let description = [{
    ```mlir
    func.func @turns() {
      unitile.take_turn first
      unitile.take_turn
      unitile.pass_turn
      return
    }
    ```
  }];
  let assemblyFormat = "attr-dict";
}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

def UniTile_BarriersOp : UniTile_Op<"barriers",
    [MemoryEffects<[MemAlloc, MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "Reserve barriers in shared memory and start them";
  let description = [{
    Each phase of each takes `arrivals` arrivals. One thread starts them: a
    `unitile.barrier` stands between this and their first use. `offset` is as
    that of `unitile.alloc`, a multiple of 8.

    ```mlir
    func.func @barriers() {
      %b = unitile.barriers arrivals 8 : !unitile.barriers<3>
      unitile.barrier
      return
    }
    ```
  }];
  let arguments = (ins OptionalAttr<I64Attr>:$offset,
                       ConfinedAttr<I32Attr, [IntPositive]>:$arrivals);
  let results = (outs UniTile_BarriersType:$barriers);
  let assemblyFormat = "(`offset` $offset^)? `arrivals` $arrivals attr-dict `:` qualified(type($barriers))";
}

def UniTile_WordsOp : UniTile_Op<"words", [MemoryEffects<[MemAlloc]>]> {
  let summary = "Reserve words of shared memory";
  let description = [{
    32-bit words for what one role tells the other, by plain stores and loads
    with a barrier's phase between them; `nvvm.mapa` finds those of another block
    of the cluster. `offset` is as that of
    `unitile.alloc`, a multiple of 16.

    ```mlir
    func.func @words() -> !llvm.ptr<3> {
      %w = unitile.words 4 : !llvm.ptr<3>
      return %w : !llvm.ptr<3>
    }
    ```
  }];
  let arguments = (ins OptionalAttr<I64Attr>:$offset,
                       ConfinedAttr<I64Attr, [IntPositive]>:$count);
  let results = (outs UniTile_SharedPtr:$words);
  let assemblyFormat = "(`offset` $offset^)? $count attr-dict `:` type($words)";
}

class UniTile_BarrierUse<string mnemonic, dag extra, list<Trait> traits = []>
    : UniTile_Op<mnemonic, traits # [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper]> {
  let arguments = !con((ins UniTile_BarriersType:$barriers, I32:$index), extra);
}

def UniTile_AwaitOp : UniTile_BarrierUse<"await", (ins I32:$parity, UnitAttr:$cluster)> {
  let summary = "Wait for the end of a barrier's phase";
  let description = [{
    Under `cluster` the threads of the cluster's other CTAs that arrived may
    have written what is read behind this, too.

    ```mlir
    func.func @await(%i: i32, %parity: i32) {
      %b = unitile.barriers arrivals 1 : !unitile.barriers<3>
      unitile.barrier
      unitile.await %b[%i] parity %parity : !unitile.barriers<3>
      return
    }
    ```
  }];
  let assemblyFormat = "(`cluster` $cluster^)? $barriers `[` $index `]` `parity` $parity attr-dict `:` qualified(type($barriers))";
}

def UniTile_TestOp : UniTile_BarrierUse<"test", (ins I32:$parity)> {
  let summary = "Has a barrier's phase ended?";
  let description = [{
    Asks without waiting. Where the answer is yes, what was copied may be read.

    ```mlir
    func.func @test(%i: i32, %parity: i32) -> i1 {
      %b = unitile.barriers arrivals 1 : !unitile.barriers<3>
      unitile.barrier
      %0 = unitile.test %b[%i] parity %parity : !unitile.barriers<3>
      return %0 : i1
    }
    ```
  }];
  let results = (outs I1:$result);
  let assemblyFormat = "$barriers `[` $index `]` `parity` $parity attr-dict `:` qualified(type($barriers))";
}

def UniTile_ArriveOp : UniTile_BarrierUse<"arrive",
    (ins UnitAttr:$by_thread,
         OptionalAttr<ConfinedAttr<I32Attr, [IntNonNegative]>>:$block)> {
  let summary = "Arrive at a barrier, once a warp";
  let description = [{
    One arrival for each warp that executes this, or, under `by_thread`, for
    each thread. One for a warp speaks for its products, which
    `unitile.mma_wait` has ended, but orders no other thread's reads: what
    threads read themselves they hand back themselves.

    `of 0` arrives at the same barrier of the cluster's first CTA,
    whichever block executes this. Under `by_thread`, who waits there under
    `cluster` comes behind what the thread has read and written; one arrival for
    a warp speaks for products there too, and takes no fence. In a kernel with a
    cluster: U19, U20 of `unitile-verify-tile-contract`.

    ```mlir
    func.func @arrive(%i: i32) {
      %b = unitile.barriers arrivals 8 : !unitile.barriers<3>
      unitile.barrier
      unitile.arrive %b[%i] : !unitile.barriers<3>
      unitile.arrive %b[%i] of 0 : !unitile.barriers<3>
      return
    }
    ```
  }];
  let assemblyFormat = [{
    (`by_thread` $by_thread^)? $barriers `[` $index `]` (`of` $block^)? attr-dict `:` qualified(type($barriers))
  }];
}

//===----------------------------------------------------------------------===//
// Copies of TMA
//===----------------------------------------------------------------------===//

def UniTile_TensorMapOp : UniTile_Op<"tensor_map", [Pure, AttrSizedOperandSegments]> {
  let summary = "Host: what TMA must know of a tensor";
  let description = [{
    A map of the tensor at `source`, to be passed to a launch, which takes its
    128 bytes by value. `sizes` are in elements, innermost first; `strides` in
    bytes, of all dimensions but the innermost, whose elements are neighbours.
    `box` is what one copy takes; the shared side is swizzled by 128 bytes.

    Constraint U17: as many sizes as the box has, and one stride less.

    ```mlir
    func.func @map(%p: !llvm.ptr<1>, %columns: index, %rows: index, %stride: index) -> !llvm.ptr {
      %m = unitile.tensor_map %p sizes [%columns, %rows] strides [%stride] box [64, 128] : bf16
      return %m : !llvm.ptr
    }
    ```
  }];
  let arguments = (ins UniTile_GlobalPtr:$source, Variadic<Index>:$sizes,
                       Variadic<Index>:$strides, DenseI64ArrayAttr:$box,
                       TypeAttr:$element);
  let results = (outs UniTile_GenericPtr:$map);
  let assemblyFormat = [{
    $source `sizes` `[` $sizes `]` `strides` `[` $strides `]` `box` $box attr-dict `:` $element
  }];
  let hasVerifier = 1;
}

def UniTile_MultiprocessorsOp : UniTile_Op<"multiprocessors", [Pure]> {
  let summary = "Host: how many multiprocessors the device has";
  let description = [{
    Of the device that the program is launched on, asked when it is loaded: a
    fact of the launch plan. Persistent kernels are launched with as many CTAs as
    run at once, and have memory for as many.

    ```mlir
    func.func @ctas(%items: index) -> index {
      %c2 = arith.constant 2 : index
      %m = unitile.multiprocessors
      %most = arith.muli %m, %c2 : index
      %n = arith.minui %items, %most : index
      return %n : index
    }
    ```
  }];
  let results = (outs Index:$count);
  let assemblyFormat = "attr-dict";
}

def UniTile_TensorCopyOp : UniTile_Op<"tensor_copy",
    [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "One thread starts the copy of a tile by TMA";
  let description = [{
    `map` describes matrices [columns, rows, ...] in global memory with boxes of
    64 columns and the tile's rows, in the dialect's shared layout. Rows
    `[row, row + rows)` of matrix `matrix`, an index for each further dimension
    of the map (of heads, of batches), go to stage `stage` of `tile`;
    rows and columns that the matrix does not have become zeros and are not read
    (P3). Counts as one arrival at barrier `index`, whose phase does not end
    before all bytes are there.

    `ctas` names those of the cluster, bit by bit, into whose tiles the matrix
    is copied, read once for all: at the same place, on the same
    barrier of each. Under `after_writes` who waits there under `cluster` sees
    what the thread has written before. In a kernel with a cluster: U19, U20 of
    `unitile-verify-tile-contract`.

    ```mlir
    func.func @copy(%map: !llvm.ptr, %row: i32, %matrix: i32, %stage: i32) {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 3>
      %full = unitile.barriers arrivals 1 : !unitile.barriers<3>
      unitile.barrier
      unitile.tensor_copy %map[%row, %matrix] to %k[%stage] on %full[%stage]
        : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
      unitile.tensor_copy %map[%row, %matrix] to %k[%stage] on %full[%stage] ctas 3
        : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
      return
    }
    ```
  }];
  let arguments = (ins UniTile_GenericPtr:$map, I32:$row, Variadic<I32>:$matrix,
                       UniTile_SharedType:$tile, I32:$stage,
                       UniTile_BarriersType:$barriers, I32:$index,
                       OptionalAttr<ConfinedAttr<I32Attr, [IntPositive]>>:$ctas,
                       UnitAttr:$after_writes);
  let assemblyFormat = [{
    (`after_writes` $after_writes^)? $map `[` $row (`,` $matrix^)? `]`
    `to` $tile `[` $stage `]` `on` $barriers `[` $index `]` (`ctas` $ctas^)?
    attr-dict `:` qualified(type($tile)) `,` qualified(type($barriers))
  }];
}

def UniTile_ClearOp : UniTile_Op<"clear", [MemoryEffects<[MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "One thread fills the last rows of a tile with zeros";
  let description = [{
    Rows from `row` on, of a tile whose copy has arrived; what the thread then
    arrives at tells others that they may multiply with it. For rows that a
    matrix has and a product must not see, even as factors of 0.

    ```mlir
    func.func @clear(%row: i32, %stage: i32) {
      %t = unitile.alloc : !unitile.shared<128x64xbf16, 3>
      unitile.clear %t[%stage] from %row : !unitile.shared<128x64xbf16, 3>
      return
    }
    ```
  }];
  let arguments = (ins UniTile_SharedType:$tile, I32:$stage, I32:$row);
  let assemblyFormat = "$tile `[` $stage `]` `from` $row attr-dict `:` qualified(type($tile))";
}

def UniTile_WriteOp : UniTile_Op<"write", [MemoryEffects<[MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "Write a fragment into a tile";
  let description = [{
    Constraint U1: the fragment has the tile's rows and element type, and at
    most its columns, the first of which it fills.

    ```mlir
    func.func @write(%x: !unitile.fragment<128x64xbf16>, %stage: i32) {
      %t = unitile.alloc : !unitile.shared<128x64xbf16>
      unitile.write %x to %t[%stage] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16>
      return
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$value, UniTile_SharedType:$tile, I32:$stage);
  let assemblyFormat =
      "$value `to` $tile `[` $stage `]` attr-dict `:` qualified(type($value)) `,` qualified(type($tile))";
  let hasVerifier = 1;
}

def UniTile_TensorStoreOp : UniTile_Op<"tensor_store", [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "Start the copy of a written tile to global memory";
  let description = [{
    Each warpgroup waits for its own threads and sends the 64 rows that they
    wrote (`unitile.write`), of the first `columns` columns or all. `map` is as
    that of `unitile.tensor_copy`, its boxes of 64 rows; rows and columns that
    the matrix does not have are not written.

    ```mlir
    func.func @send(%map: !llvm.ptr, %row: i32, %matrix: i32, %stage: i32) {
      %t = unitile.alloc : !unitile.shared<128x64xbf16>
      unitile.tensor_store %t[%stage] to %map[%row, %matrix] : !unitile.shared<128x64xbf16>
      unitile.tensor_store %t[%stage] columns 48 to %map[%row, %matrix] : !unitile.shared<128x64xbf16>
      unitile.tensor_store_wait
      return
    }
    ```
  }];
  let arguments = (ins UniTile_SharedType:$tile, I32:$stage,
                       UniTile_GenericPtr:$map, I32:$row, Variadic<I32>:$matrix,
                       OptionalAttr<ConfinedAttr<I64Attr, [IntPositive]>>:$columns);
  let assemblyFormat = [{
    $tile `[` $stage `]` (`columns` $columns^)? `to` $map `[` $row (`,` $matrix^)? `]` attr-dict `:` qualified(type($tile))
  }];
  let hasVerifier = 1;
}

def UniTile_TensorStoreWaitOp : UniTile_Op<"tensor_store_wait", [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "Wait until what was sent has been read out of shared memory";
  let description = [{
    Under `written`, until it is in global memory.

    ```mlir
    func.func @wait() {
      unitile.tensor_store_wait written
      return
    }
    ```
  }];
  let arguments = (ins UnitAttr:$written);
  let assemblyFormat = "(`written` $written^)? attr-dict";
}

//===----------------------------------------------------------------------===//
// Products in flight
//===----------------------------------------------------------------------===//

def UniTile_MmaFenceOp : UniTile_Op<"mma_fence", [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper]> {
  let summary = "Registers written so far may be read by products started next";
  let description = [{
    ```mlir
    func.func @fence() {
      unitile.mma_fence
      return
    }
    ```
  }];
  let assemblyFormat = "attr-dict";
}

def UniTile_MmaStartOp : UniTile_Op<"mma_start",
    [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper, AttrSizedOperandSegments]> {
  let summary = "Start multiplying with a tile";
  let description = [{
    `unitile.mma` that is in flight: its result is `!unitile.pending`, which
    nothing but a `unitile.mma_wait` takes, to give the fragment. Without `acc`
    that is the product alone; with it the product is added to `acc` where `when`
    holds, and replaces it elsewhere. Every start is a group that
    `unitile.mma_wait` counts. `a` is a fragment or a tile, of which each
    warpgroup multiplies its own 64 rows; neither may be written before the
    `unitile.mma_wait`.

    Constraints U2 to U4 and U37 as in `unitile.mma`, with what the wait gives as
    the accumulator; a tile has one stage (U4), an atom leaves its sums in flight
    (U37).

    ```mlir
    func.func @start(%a: !unitile.fragment<128x64xbf16>, %stage: i32) -> !unitile.fragment<128x128xf32> {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 3>
      unitile.mma_fence
      %s = unitile.mma_start %a, %k[%stage] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16, 3> -> !unitile.pending<128x128xf32>
      %r = unitile.mma_wait 0, %s reading %a : !unitile.pending<128x128xf32>, !unitile.fragment<128x64xbf16>
      %q = unitile.alloc : !unitile.shared<128x64xbf16>
      %u = unitile.mma_start %q, %k[%stage] : !unitile.shared<128x64xbf16>, !unitile.shared<128x64xbf16, 3> -> !unitile.pending<128x128xf32>
      return %r : !unitile.fragment<128x128xf32>
    }
    ```
  }];
  let arguments = (ins AnyTypeOf<[UniTile_FragmentType, UniTile_SharedType]>:$a,
                       UniTile_SharedType:$b, I32:$stage,
                       Optional<UniTile_FragmentType>:$acc, Optional<I1>:$when,
                       UnitAttr:$by_rows,
                       OptionalAttr<UniTile_MmaAtomInterface>:$atom);
  let results = (outs UniTile_PendingType:$result);
  let assemblyFormat = [{
    $a `,` $b `[` $stage `]` (`,` $acc^ `when` $when)? (`by_rows` $by_rows^)? (`atom` `(` $atom^ `)`)? attr-dict
    `:` type($a) `,` qualified(type($b)) (`,` qualified(type($acc))^)?
    `->` qualified(type($result))
  }];
  // Files of before version 3 have no atom.
  let useCustomPropertiesEncoding = 1;
  let hasVerifier = 1;
}

def UniTile_MmaWaitOp : UniTile_Op<"mma_wait",
    [MemoryEffects<[MemRead, MemWrite]>, UniTile_NeedsHopper,
     TypesMatchWith<"result is the fragment that value is behind its wait",
                    "value", "result",
                    "::llvm::cast<::unisparse::unitile::PendingType>($_self).getFragment()">]> {
  let summary = "Wait until at most so many products are in flight";
  let description = [{
    The latest `groups` products may still be in flight; all before them are
    done. The result is the fragment that `value`, the result of one of those,
    has become (U34 of `unitile-verify-tile-contract`). `reading` names what they
    were reading: its registers are free behind this op.

    ```mlir
    func.func @wait(%a: !unitile.fragment<128x64xbf16>, %stage: i32) -> !unitile.fragment<128x128xf32> {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 3>
      unitile.mma_fence
      %s = unitile.mma_start %a, %k[%stage] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16, 3> -> !unitile.pending<128x128xf32>
      %r = unitile.mma_wait 0, %s : !unitile.pending<128x128xf32>
      return %r : !unitile.fragment<128x128xf32>
    }
    ```
  }];
  let arguments = (ins ConfinedAttr<I32Attr, [IntNonNegative]>:$groups,
                       UniTile_PendingType:$value,
                       Optional<UniTile_FragmentType>:$reading);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat = [{
    $groups `,` $value (`reading` $reading^)? attr-dict
    `:` qualified(type($value)) (`,` qualified(type($reading))^)?
  }];
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILEASYNCOPS_TD
