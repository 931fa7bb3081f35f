// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_CONVERSION_PASSES_TD
#define UNISPARSE_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

include "unisparse/Conversion/ProgramPasses.td"

def UniSparseRaiseAttention : Pass<"unisparse-raise-attention"> {
  let summary = "Find dense attention in linalg";
  let description = [{
    Replaces softmax(q k^T) v, as front ends spell it, by
    `unisparse.block_sparse_attention` without a selection: the same function of
    q, k and v. `unisparse-sparsify-attention` may then change it.

    The chain contraction, elementwise, max, exp(x - max), sum, contraction with
    division is read element by element from its last product backwards, through
    reshapes, transposes, broadcasts and elementwise ops in any order and
    whether fused or not. Accepted are
    - scales on the logits, on q, on k or parts of it on both;
    - causal masks that compare indices, added as -inf or selected to -inf or a
      number below -30000, whose last query sees every key [I7];
    - a select behind softmax that guards rows whose logits are all -inf [A2];
    - KV heads that are broadcast to query heads [I3];
    - factors of either product in any order, tensors in any layout of batch,
      heads, length and head_dim, batch folded into heads;
    - changes of precision, which the op has in its own places [A3];
    - `tm_tensor.attention`, `torch.aten.scaled_dot_product_attention` and a
      `stablehlo.composite` named `unisparse.attention` (q, k and v
      `[batch, length, heads, head_dim]`; attributes `causal`, `scale`, and a
      policy: `p`, `top_k`, `rule`, `block`, `pooling`, `min_length`), in
      generic form.

    What should be attention and is not gets a remark that says why: masks of
    other contents, dropout, ops between softmax and the product with v, other
    readers of logits or probabilities. Where dynamic lengths have to be equal
    and cannot be shown to be, a `cf.assert` says so. Precondition: linalg on
    tensors, best behind the passes of `unisparse-from-linalg`.

    Before:
    ```mlir
    #id = affine_map<(b, i, j) -> (b, i, j)>
    #row = affine_map<(b, i, j) -> (b, i)>
    #weights = affine_map<(b, i, d, j) -> (b, i, j)>
    #rows = affine_map<(b, i, d, j) -> (b, i)>
    #values = affine_map<(b, i, d, j) -> (b, j, d)>
    #out = affine_map<(b, i, d, j) -> (b, i, d)>
    func.func @before(%q: tensor<4x512x64xf32>, %k: tensor<4x512x64xf32>, %v: tensor<4x512x64xf32>) -> tensor<4x512x64xf32> {
      %zero = arith.constant dense<0.0> : tensor<4x512x512xf32>
      %low = arith.constant dense<0xFF800000> : tensor<4x512xf32>
      %none = arith.constant dense<0.0> : tensor<4x512xf32>
      %init = arith.constant dense<0.0> : tensor<4x512x64xf32>
      %x = linalg.batch_matmul indexing_maps = [affine_map<(b, i, j, d) -> (b, i, d)>, affine_map<(b, i, j, d) -> (b, j, d)>, affine_map<(b, i, j, d) -> (b, i, j)>]
        ins(%q, %k : tensor<4x512x64xf32>, tensor<4x512x64xf32>) outs(%zero : tensor<4x512x512xf32>) -> tensor<4x512x512xf32>
      %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "parallel", "reduction"]}
          ins(%x : tensor<4x512x512xf32>) outs(%low : tensor<4x512xf32>) {
      ^bb0(%in: f32, %max: f32):
        %0 = arith.maximumf %in, %max : f32
        linalg.yield %0 : f32
      } -> tensor<4x512xf32>
      %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
          ins(%x, %m : tensor<4x512x512xf32>, tensor<4x512xf32>) outs(%zero : tensor<4x512x512xf32>) {
      ^bb0(%in: f32, %max: f32, %_: f32):
        %0 = arith.subf %in, %max : f32
        %1 = math.exp %0 : f32
        linalg.yield %1 : f32
      } -> tensor<4x512x512xf32>
      %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "parallel", "reduction"]}
          ins(%e : tensor<4x512x512xf32>) outs(%none : tensor<4x512xf32>) {
      ^bb0(%in: f32, %sum: f32):
        %0 = arith.addf %in, %sum : f32
        linalg.yield %0 : f32
      } -> tensor<4x512xf32>
      %o = linalg.generic {indexing_maps = [#weights, #rows, #values, #out], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
          ins(%e, %s, %v : tensor<4x512x512xf32>, tensor<4x512xf32>, tensor<4x512x64xf32>) outs(%init : tensor<4x512x64xf32>) {
      ^bb0(%in: f32, %sum: f32, %value: f32, %acc: f32):
        %0 = arith.divf %in, %sum : f32
        %1 = arith.mulf %0, %value : f32
        %2 = arith.addf %acc, %1 : f32
        linalg.yield %2 : f32
      } -> tensor<4x512x64xf32>
      return %o : tensor<4x512x64xf32>
    }
    ```
    After:
    ```mlir
    func.func @after(%q: tensor<4x512x64xf32>, %k: tensor<4x512x64xf32>, %v: tensor<4x512x64xf32>) -> tensor<4x512x64xf32> {
      %q4 = tensor.expand_shape %q [[0, 1], [2], [3]] output_shape [1, 4, 512, 64] : tensor<4x512x64xf32> into tensor<1x4x512x64xf32>
      %k4 = tensor.expand_shape %k [[0, 1], [2], [3]] output_shape [1, 4, 512, 64] : tensor<4x512x64xf32> into tensor<1x4x512x64xf32>
      %v4 = tensor.expand_shape %v [[0, 1], [2], [3]] output_shape [1, 4, 512, 64] : tensor<4x512x64xf32> into tensor<1x4x512x64xf32>
      %o4 = unisparse.block_sparse_attention %q4, %k4, %v4 block <128x128> scale 1.0
        : (tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x4x512x64xf32>
      %o = tensor.collapse_shape %o4 [[0, 1], [2], [3]] : tensor<1x4x512x64xf32> into tensor<4x512x64xf32>
      return %o : tensor<4x512x64xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::cf::ControlFlowDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::unisparse::UniSparseDialect"];
}

def ConvertUniSparseToLoops : Pass<"convert-unisparse-to-loops"> {
  let summary = "Lower the stages to parallel loops over tiles in buffers";
  let description = [{
    Every stage becomes one `scf.parallel` over (batch, head, query blocks or
    composites) whose body works on buffers of static size: tiles of K and V in
    f32, and *strips* of `strip` queries. Queries lie along the lanes, so the
    softmax of a strip is arithmetic on vectors, with nothing reduced across
    lanes:

    | buffer | shape | holds |
    |---|---|---|
    | queries | strips x D x strip | Q^T, scaled, f32 |
    | keys, values | Bk x D, Bk x Dv | one key block, f32, zero behind its end |
    | logits | Bk x strip | S^T of one key block and one strip, then P^T |
    | output | strips x Dv x strip | O^T, rescaled as the maximum moves |

    `S^T = K Q^T` and `O^T += V^T P^T` are `linalg.matmul`; masks, maxima,
    exponentials and sums are loops over rows of lanes. With `bf16-pairs` the
    tiles of bf16 inputs stay bf16, P is rounded to it, and what is summed over
    lies in pairs: `linalg.generic` with a dimension of 2 last. Neither logits nor
    probabilities of a whole row exist. Nothing past a sequence's end is read
    (P3): a tile's copy stops there, the rest is zero and masked.

    Precondition: `unisparse-verify-tensor-contract`. Tensors become buffers at
    the op's edges (`bufferization.to_buffer` and `to_tensor`), for
    one-shot-bufferize to join; the ops' BufferizableOpInterface gives the same
    loops to who bufferizes them directly.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32> {
      %0 = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
      return %0 : tensor<1x4x64x64xf32>
    }
    ```
    After, in outline:
    ```mlir
    func.func @after(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32> {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %x = bufferization.to_buffer %q read_only : tensor<1x4x512x64xf32> to memref<1x4x512x64xf32>
      %y = memref.alloc() : memref<1x4x64x64xf32>
      scf.parallel (%b, %h, %chunk) = (%c0, %c0, %c0) to (%c1, %c4, %c1) step (%c1, %c1, %c1) {
        // sum the rows of each composite of the chunk, divide, store
        scf.reduce
      }
      %0 = bufferization.to_tensor %y restrict : memref<1x4x64x64xf32> to tensor<1x4x64x64xf32>
      return %0 : tensor<1x4x64x64xf32>
    }
    ```
  }];
  let options = [
    Option<"strip", "strip", "int64_t", "16",
           "queries side by side in a strip; two vectors of the target">,
    Option<"bf16Pairs", "bf16-pairs", "bool", "false",
           "attention on bf16 multiplies pairs of bf16, for a target that has "
           "dot products of them">
  ];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect",
    "::mlir::cf::ControlFlowDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect", "::mlir::vector::VectorDialect"];
}

def UniSparseSelectSchedule : Pass<"unisparse-select-schedule"> {
  let summary = "Choose kernels' schedules for a chip";
  let description = [{
    Gives every `unisparse.block_score` and `unisparse.block_sparse_attention`
    that has none a `unitile.schedule`. On sm_90a attention gets a
    `#unitile.schedule`, the warp-specialised kernel, where that does what the op
    asks for. All else gets `#unitile.tiles`: the largest tiles whose shared
    memory and registers fit what `Target/Nvidia.h` says of the chip, rows before
    keys; block_score stops at 64 by 64. An attribute that is there stays, with
    what it left open filled in; one that cannot be had is an error. Precondition:
    `unisparse-decompose-attention`, and pages are not made yet.

    Where attention on sm_90a gets the portable kernel, a missed-optimization
    remark `PortableKernel` says what was expected and what was given:
    `--remarks-filter=unisparse-select-schedule` of unisparse-opt prints it.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x4x512x128xbf16>, %k: tensor<1x2x512x128xbf16>, %v: tensor<1x2x512x128xbf16>) -> tensor<1x4x512x128xbf16> {
      %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal
        : (tensor<1x4x512x128xbf16>, tensor<1x2x512x128xbf16>, tensor<1x2x512x128xbf16>) -> tensor<1x4x512x128xbf16>
      return %o : tensor<1x4x512x128xbf16>
    }
    ```
    After, for sm_90:
    ```mlir
    func.func @after(%q: tensor<1x4x512x128xbf16>, %k: tensor<1x2x512x128xbf16>, %v: tensor<1x2x512x128xbf16>) -> tensor<1x4x512x128xbf16> {
      %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal {unitile.schedule = #unitile.tiles<rows = 128, keys = 128>}
        : (tensor<1x4x512x128xbf16>, tensor<1x2x512x128xbf16>, tensor<1x2x512x128xbf16>) -> tensor<1x4x512x128xbf16>
      return %o : tensor<1x4x512x128xbf16>
    }
    ```
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"", "chip to choose for">
  ];
  let dependentDialects = ["::unisparse::unitile::UniTileDialect"];
}

def ConvertUniSparseToUniTile : Pass<"convert-unisparse-to-unitile", "::mlir::ModuleOp"> {
  let summary = "Lower the stages to kernels of tile code and their launches";
  let description = [{
    Every stage becomes a kernel in the gpu.module `@unisparse_kernels` (of
    another name where the program has one of that name) and a `gpu.launch_func`.
    Kernels are synchronous pages, which know their place in the grid and nothing
    of threads; `unitile.schedule` says what a pass makes of them:

    | stage | kernel | a point of the page's grid |
    |---|---|---|
    | pool | `pool` | a composite |
    | pool, with representatives | `pool_blocks`, `distances`, `representatives` | a query block; 8 rows of it; a query block |
    | block_score | `score` | tile of composite rows, head, batch |
    | block_select | `select`, `density` | a query block; a head |
    | block_sparse_attention | `attend` | tile of queries, head, batch |

    Results are device buffers (`gpu.alloc`). q, k, v and what is pooled may have
    any strides but contiguous rows; other operands are contiguous. Length rules
    that types could not settle are `cf.assert`s in front of the launches, in
    words: `I7: the length of q <= the length of k`. `unitile.schedule` says which
    kernel block_sparse_attention becomes: `#unitile.tiles` the portable one,
    `#unitile.schedule` the warp-specialised one of sm_90a, which takes tensor
    maps and, as grid, no more CTAs than a chip runs at once. Where
    there is none, tiles are the best for sm_80.

    An op whose `unitile.schedule` is a `#unitile.schedule` gets a
    warp-specialised kernel for sm_90a: a producer's thread walks the blocks and
    starts copies, warpgroups of consumers multiply. A few CTAs for
    each multiprocessor take query blocks from a counter that the launch
    clears; q, k, v and o are passed as `unitile.tensor_map`.

    Operands may be slices, whose rows stay where they are, and casts: what these
    claim of sizes is asserted (`cast: q.size(1) == 4`).

    Precondition: `unisparse-verify-tensor-contract`, stages in functions of the
    module itself; head_dims that are multiples of 16 bytes up to
    256 elements where products are taken; at most 128 composites in a query
    block and 256 in a key block. What does not fit is refused, op and size
    named.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x4x512x64xbf16>, %k: tensor<1x2x512x64xbf16>, %v: tensor<1x2x512x64xbf16>) -> tensor<1x4x512x64xbf16> {
      %o = unisparse.block_sparse_attention %q, %k, %v block <64x64> causal
        : (tensor<1x4x512x64xbf16>, tensor<1x2x512x64xbf16>, tensor<1x2x512x64xbf16>) -> tensor<1x4x512x64xbf16>
      return %o : tensor<1x4x512x64xbf16>
    }
    ```
    After, in outline (the kernels' pages are in the conversion's tests):
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @unisparse_kernels {
        gpu.func @attend(%q: !llvm.ptr<1>, %lq: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
          %tile = unitile.alloc : !unitile.shared<64x64xbf16>
          // load Q, walk the key blocks, write O
          gpu.return
        }
      }
      func.func @after(%q: memref<1x4x512x64xbf16>, %p: !llvm.ptr<1>, %lq: i32) {
        %c1 = arith.constant 1 : index
        %c4 = arith.constant 4 : index
        %c8 = arith.constant 8 : index
        %c128 = arith.constant 128 : index
        %shared = arith.constant 24576 : i32
        gpu.launch_func @unisparse_kernels::@attend blocks in (%c8, %c4, %c1) threads in (%c128, %c1, %c1)
          dynamic_shared_memory_size %shared args(%p : !llvm.ptr<1>, %lq : i32)
        return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect", "::mlir::cf::ControlFlowDialect",
    "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
    "::mlir::vector::VectorDialect", "::unisparse::UniSparseDialect",
    "::unisparse::unitile::UniTileDialect"];
}

def ConvertLinalgToUniTile : Pass<"convert-linalg-to-unitile", "::mlir::ModuleOp"> {
  let summary = "Lower a program's own linalg to kernels and their launches";
  let description = [{
    What a program computes with linalg around the stages, in the functions of
    the module, becomes kernels beside theirs (in the gpu.module whose kernels
    have a `unitile.schedule`; in a new one where there is none), so that no
    tensor leaves the device:

    | op | kernel | an iteration of the page's `scf.parallel` |
    |---|---|---|
    | `linalg.generic` on tensors | `linalg` | an element of the results; reductions are loops in it, from the first to the last |
    | `arith.constant` of a tensor, of one number or of at most 256, that a kernel reads | `constant` | an element of it |

    Results are new device buffers. An argument of the function is read with the
    strides that the stages read it with. Initial values that are one constant
    are numbers of the kernel. Functions of math that PTX has not become
    polynomials in f32, as on CPUs.

    Nothing here is tuned: products are scalar, one element of a result a
    thread, which is right for what is small beside attention (masses,
    composites) and slow for a matrix product of weights.

    Precondition: named ops are generalised (`linalg-generalize-named-ops`), one
    loop of producers and consumers is one op (`linalg-fuse-elementwise-ops`).
    Refused by name: results of rank 0, elements that are no whole bytes, bodies
    that make tensors, results with more than 2<sup>31</sup> - 1 elements (where
    sizes are dynamic, when the program runs). Larger constants stay.

    Before:
    ```mlir
    #rows = affine_map<(i, j) -> (i)>
    #all = affine_map<(i, j) -> (i, j)>
    func.func @before(%x: tensor<20x40xf32>) -> tensor<20xf32> {
      %zero = arith.constant 0.0 : f32
      %empty = tensor.empty() : tensor<20xf32>
      %none = linalg.generic {indexing_maps = [affine_map<(i) -> ()>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
          ins(%zero : f32) outs(%empty : tensor<20xf32>) {
      ^bb0(%z: f32, %o: f32):
        linalg.yield %z : f32
      } -> tensor<20xf32>
      %sums = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
          ins(%x : tensor<20x40xf32>) outs(%none : tensor<20xf32>) {
      ^bb0(%a: f32, %sum: f32):
        %s = arith.addf %sum, %a : f32
        linalg.yield %s : f32
      } -> tensor<20xf32>
      return %sums : tensor<20xf32>
    }
    ```
    After:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @unisparse_kernels {
        gpu.func @linalg(%x: memref<20x40xf32>, %out: memref<20xf32>, %elements: i32) kernel
            attributes {unitile.schedule = #unitile.threads<lanes = 256>} {
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          %c40 = arith.constant 40 : index
          %c256 = arith.constant 256 : index
          %end = arith.index_cast %elements : i32 to index
          %zero = arith.constant 0.0 : f32
          %block = gpu.block_id x
          %first = arith.muli %block, %c256 : index
          scf.parallel (%n) = (%c0) to (%c256) step (%c1) {
            %i = arith.addi %first, %n : index
            %exists = arith.cmpi slt, %i, %end : index
            scf.if %exists {
              %sum = scf.for %j = %c0 to %c40 step %c1 iter_args(%s = %zero) -> f32 {
                %a = memref.load %x[%i, %j] : memref<20x40xf32>
                %t = arith.addf %s, %a : f32
                scf.yield %t : f32
              }
              memref.store %sum, %out[%i] : memref<20xf32>
            }
            scf.reduce
          }
          gpu.return
        }
      }
      func.func @after(%x: tensor<20x40xf32>) -> tensor<20xf32> {
        %c1 = arith.constant 1 : index
        %elements = arith.constant 20 : i32
        %in = bufferization.to_buffer %x read_only : tensor<20x40xf32> to memref<20x40xf32>
        %out = gpu.alloc () : memref<20xf32>
        gpu.launch_func @unisparse_kernels::@linalg blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
          args(%in : memref<20x40xf32>, %out : memref<20xf32>, %elements : i32)
        %sums = bufferization.to_tensor %out restrict : memref<20xf32> to tensor<20xf32>
        return %sums : tensor<20xf32>
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect",
    "::mlir::arith::ArithDialect", "::mlir::bufferization::BufferizationDialect",
    "::mlir::cf::ControlFlowDialect", "::mlir::gpu::GPUDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect", "::mlir::vector::VectorDialect",
    "::unisparse::UniSparseDialect", "::unisparse::unitile::UniTileDialect"];
}

def ConvertUniTileToLinalg : Pass<"convert-unitile-to-linalg"> {
  let summary = "Lower a synchronous page to linalg on tensors";
  let description = [{
    What a page means, without a GPU: tiles, fragments and rows become tensors of
    their shapes, in functions of any dialect and across `scf`.

    | word | becomes |
    |---|---|
    | `unitile.fill` | `linalg.fill` |
    | `unitile.map` | `linalg.generic`; row and column are `linalg.index` |
    | `unitile.reduce`, `fold`, `all_below` | reductions; a fold's columns are split by 8 (`tensor.expand_shape`); all rows count as one warp's |
    | `unitile.dot` | `linalg.matmul`, narrow elements extended to f32; B transposed, or not `by_rows` |
    | `unitile.fetch`, `put` | loops over the rows below the limit: no other row is touched (P3) |
    | `unitile.locate` | a bisection with loads |
    | the state of a loop | tensors that stay in one buffer (`bufferization.materialize_in_destination`) |

    Precondition: `unitile-walk-to-for` and `unitile-decompose-softmax`; no word
    about time or place (stages, barriers, threads), which is refused by name.

    Before:
    ```mlir
    func.func @before(%q: !unitile.tile<16x32xbf16>, %k: memref<?x2x?x32xbf16>, %b: i32, %h: i32, %row: i32, %end: i32)
        -> !unitile.fragment<16x16xf32> {
      %t = unitile.fetch %k[%b, %h] rows %row to %end : memref<?x2x?x32xbf16> -> !unitile.tile<16x32xbf16>
      %s = unitile.dot %q, %t : !unitile.tile<16x32xbf16>, !unitile.tile<16x32xbf16> -> !unitile.fragment<16x16xf32>
      return %s : !unitile.fragment<16x16xf32>
    }
    ```
    After:
    ```mlir
    func.func @after(%q: tensor<16x32xbf16>, %k: memref<?x2x?x32xbf16>, %b: i32, %h: i32, %row: i32, %end: i32)
        -> tensor<16x16xf32> {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c32 = arith.constant 32 : index
      %c16 = arith.constant 16 : i32
      %zero = arith.constant 0.0 : bf16
      %none = arith.constant 0.0 : f32
      %first = arith.index_cast %row : i32 to index
      %batch = arith.index_cast %b : i32 to index
      %head = arith.index_cast %h : i32 to index
      %below = arith.subi %end, %row : i32
      %rows = arith.minsi %below, %c16 : i32
      %n = arith.index_cast %rows : i32 to index
      %e = tensor.empty() : tensor<16x32xbf16>
      %zeros = linalg.fill ins(%zero : bf16) outs(%e : tensor<16x32xbf16>) -> tensor<16x32xbf16>
      %t = scf.for %r = %c0 to %n step %c1 iter_args(%t0 = %zeros) -> (tensor<16x32xbf16>) {
        %at = arith.addi %first, %r : index
        %t1 = scf.for %c = %c0 to %c32 step %c1 iter_args(%t2 = %t0) -> (tensor<16x32xbf16>) {
          %x = memref.load %k[%batch, %head, %at, %c] : memref<?x2x?x32xbf16>
          %t3 = tensor.insert %x into %t2[%r, %c] : tensor<16x32xbf16>
          scf.yield %t3 : tensor<16x32xbf16>
        }
        scf.yield %t1 : tensor<16x32xbf16>
      }
      %s0 = tensor.empty() : tensor<16x16xf32>
      %s1 = linalg.fill ins(%none : f32) outs(%s0 : tensor<16x16xf32>) -> tensor<16x16xf32>
      %s = linalg.matmul
          indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
          ins(%q, %t : tensor<16x32xbf16>, tensor<16x32xbf16>) outs(%s1 : tensor<16x16xf32>) -> tensor<16x16xf32>
      return %s : tensor<16x16xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
}

def ConvertUniTileToNVVM : Pass<"convert-unitile-to-nvvm", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Lower tile code to what each thread does";
  let description = [{
    Fragments and rows become the vectors of the elements that one thread
    holds, as their layouts say; shared tiles become pointers to shared memory.
    Products become the instructions of their atoms. The ops below need every chip
    from sm_80 on (cp.async, ldmatrix, mma.sync m16n8k16, and m16n8k8 on tf32 for
    f32) or sm_90a (TMA, mbarriers, wgmma, setmaxnreg).

    | tile level | each thread |
    |---|---|
    | `!unitile.fragment<128x64xf32, #unitile.mma_fragment>`, 8 warps | `vector<32xf32>` |
    | `!unitile.rows<128xf32, #unitile.mma_fragment>`, 8 warps | `vector<2xf32>` |
    | `unitile.copy_async` | `cp.async` of 16-byte pieces, zero-filled at the end |
    | `unitile.load` | `ldmatrix.x4`; pairs of f32 |
    | `unitile.mma` | `ldmatrix.x4` of b (`.trans` under `by_rows`), `mma.sync` |
    | `unitile.mma` of f32 | loads of b, `cvt.rna.tf32` of both parts, three `mma.sync`, sums rounded in f32 |
    | `unitile.reduce` | its own elements, then a shuffle for each bit by which the lanes of a row differ |
    | `unitile.partitions` | a branch by warpgroup, `setmaxnreg` in both ways |
    | `unitile.tensor_copy` | `mbarrier.arrive.expect_tx`, `cp.async.bulk.tensor` for each 64 columns |
    | `unitile.await`, `test`, `arrive` | `mbarrier.try_wait` in a loop, `test_wait`, `arrive` by one lane |
    | `unitile.mma_start` | `wgmma.mma_async` for each 16 summed, `a` in registers, then `commit_group` |
    | `unitile.mma_wait` | `wgmma.wait_group`, the sums passing through it |
    | `unitile.write`, `send` | `stmatrix`; fence, barrier of the warpgroup, `cp.async.bulk.tensor` back |

    Precondition: kernels are `gpu.func`s with a `known_block_size` of whole
    warps, fragments have a layout and products an atom
    (`unitile-assign-layouts`), rows share out among the warps as the layout has
    them, and tiles have an offset (`unitile-allocate-shared`).

    Before:
    ```mlir
    gpu.module @m {
      gpu.func @k(%x: f32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
        %0 = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32, #unitile.mma_fragment>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @m {
      gpu.func @k(%x: f32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
        %0 = vector.broadcast %x : f32 to vector<8xf32>
        gpu.return
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

#endif // UNISPARSE_CONVERSION_PASSES_TD
