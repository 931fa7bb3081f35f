// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Passes about a program as a whole: what of it is called, and what its caller
// sees.
#ifndef UNISPARSE_CONVERSION_PROGRAMPASSES_TD
#define UNISPARSE_CONVERSION_PROGRAMPASSES_TD

include "mlir/Pass/PassBase.td"

def UniSparseOutline : Pass<"unisparse-outline", "::mlir::ModuleOp"> {
  let summary = "Compile each attention of a larger program for GPUs, and call it";
  let description = [{
    Every `unisparse.attention` and `unisparse.block_sparse_attention` becomes a
    function, and the function an artifact for the `chips` asked for: a constant
    of the module, and a call of `@unisparse_call`, which
    `unisparse-rt/call.h` documents and `libunisparse-rt` has. With
    block_sparse_attention goes what its selection is computed by: the stages,
    what stands between them and, where it takes nothing but q, k and v, in front
    of them. What is used of it elsewhere, its masses or its selection, is a
    result. The rest of the program stays as it is, for any stack that lowers
    func, memref, arith and llvm, `unisparse-to-cpu-pipeline` among them.

    An attention in a loop, a branch or a function that is called twice is one
    artifact. Results are allocated by the function, as large as the artifact
    says they are; tensors are passed without gaps, in the host's memory unless
    the host has a `unisparse_call` of its own. What the GPU pipeline refuses is
    an error at the op.

    Precondition: none; run it in front of everything that lowers unisparse ops.

    Before:
    ```mlir
    func.func @before(%x: tensor<1x4x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16> {
      %q = linalg.exp ins(%x : tensor<1x4x512x64xf16>) outs(%x : tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
      %o = unisparse.block_sparse_attention %q, %k, %k block <64x64> causal
        : (tensor<1x4x512x64xf16>, tensor<1x2x512x64xf16>, tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16>
      return %o : tensor<1x4x512x64xf16>
    }
    ```
    After, with a tensor's description left out:
    ```mlir
    llvm.mlir.global internal constant @attention_artifact("UNISPARS ...")
    llvm.func @unisparse_call(!llvm.ptr, i64, !llvm.ptr, i32, !llvm.ptr, i32)
    func.func @after(%x: tensor<1x4x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16> {
      %q = linalg.exp ins(%x : tensor<1x4x512x64xf16>) outs(%x : tensor<1x4x512x64xf16>) -> tensor<1x4x512x64xf16>
      %o = call @attention(%q, %k) : (tensor<1x4x512x64xf16>, tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16>
      return %o : tensor<1x4x512x64xf16>
    }
    func.func private @attention(%q: tensor<1x4x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x4x512x64xf16> {
      %size = llvm.mlir.constant(12 : i64) : i64
      %one = llvm.mlir.constant(1 : i32) : i32
      %two = llvm.mlir.constant(2 : i32) : i32
      %inputs = llvm.alloca %two x !llvm.struct<(ptr, i32, i32, array<4 x i64>, array<4 x i64>)> : (i32) -> !llvm.ptr
      %outputs = llvm.alloca %one x !llvm.struct<(ptr, i32, i32, array<4 x i64>, array<4 x i64>)> : (i32) -> !llvm.ptr
      %buffer = memref.alloc() : memref<1x4x512x64xf16>
      %o = bufferization.to_tensor %buffer restrict writable : memref<1x4x512x64xf16> to tensor<1x4x512x64xf16>
      %artifact = llvm.mlir.addressof @attention_artifact : !llvm.ptr
      llvm.call @unisparse_call(%artifact, %size, %inputs, %two, %outputs, %one) : (!llvm.ptr, i64, !llvm.ptr, i32, !llvm.ptr, i32) -> ()
      return %o : tensor<1x4x512x64xf16>
    }
    ```
  }];
  let options = [
    ListOption<"chips", "chips", "std::string", "chips to compile for, as in sm_80,sm_90a">
  ];
}

def UniSparseDescribeProgram : Pass<"unisparse-describe-program", "::mlir::ModuleOp"> {
  let summary = "Keep what a caller sees of a program for the CPU";
  let description = [{
    Gives the module an attribute `unisparse.description`: the bytes of an
    artifact without variants (docs/Artifact.md), with names, types and sizes of
    what its one public function takes and gives. Sizes of results are formulas of
    the arguments' sizes, so a caller can have their memory ready: each result has
    to be allocated in the function, with sizes that follow from those of its
    arguments; anything else is an error at the op.

    Precondition: bufferized; results are still results.

    Before:
    ```mlir
    func.func @before(%x: memref<?x64xf32> {unisparse.name = "x"}) -> (memref<?x32xf32> {unisparse.name = "y"}) {
      %zero = arith.constant 0 : index
      %length = memref.dim %x, %zero : memref<?x64xf32>
      %y = memref.alloc(%length) : memref<?x32xf32>
      return %y : memref<?x32xf32>
    }
    ```
    After, the function is what it was, and the description says

    ```
    input   x: f32 [x.size(0), 64], contiguous
    output  y: f32 [x.size(0), 32], contiguous rows
    ```
    A result has contiguous rows, and other strides as a caller likes, where
    `unisparse-stride-results` finds that everything that writes or reads it can
    go by strides.
  }];
  let dependentDialects = ["::mlir::gpu::GPUDialect"];
}

def UniSparseStrideResults : Pass<"unisparse-stride-results", "::mlir::ModuleOp"> {
  let summary = "Let a program write its results with the caller's strides";
  let description = [{
    Arguments that upstream's `buffer-results-to-out-params` made of results, and
    marked `bufferize.result`, get types with strides between their rows, and so
    do the parts of them that code looks at. Those that something needs whole (a
    reshape, a call) stay contiguous, as do those of one dimension.

    Precondition: buffers, of which none is returned.

    Before:
    ```mlir
    func.func @before(%x: f32, %y: memref<4x?x8xf32> {bufferize.result}, %i: index) {
      %row = memref.subview %y[0, %i, 0] [1, 1, 8] [1, 1, 1] : memref<4x?x8xf32> to memref<8xf32, strided<[1], offset: ?>>
      linalg.fill ins(%x : f32) outs(%row : memref<8xf32, strided<[1], offset: ?>>)
      return
    }
    ```
    After:
    ```mlir
    func.func @after(%x: f32, %y: memref<4x?x8xf32, strided<[?, ?, 1]>> {bufferize.result}, %i: index) {
      %row = memref.subview %y[0, %i, 0] [1, 1, 8] [1, 1, 1] : memref<4x?x8xf32, strided<[?, ?, 1]>> to memref<8xf32, strided<[1], offset: ?>>
      linalg.fill ins(%x : f32) outs(%row : memref<8xf32, strided<[1], offset: ?>>)
      return
    }
    ```
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect"];
}

def UniSparseStrideAllocations
    : Pass<"unisparse-stride-allocations", "::mlir::ModuleOp"> {
  let summary = "Let kernels write results with the caller's strides";
  let description = [{
    An allocation that a function returns, and that pages of tile code only put
    rows to, gets a type with strides between its rows, and so do the kernels'
    arguments: they are launched with strides, in the place of sizes. The
    allocation's own strides are those of rows that follow one another; where a
    launch plan is made of the function, its caller has the memory, and gives
    others. What something reads, fills or reshapes stays contiguous, as do
    matrices without heads.

    Precondition: buffers, and pages that have no schedule yet. Nothing calls the
    function.

    Before:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @page(%x: memref<1x4x?x64xf32>, %i: i32) kernel {
          %zero = arith.constant 0.0 : f32
          %y = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
          unitile.put %y to %x[%i, %i] rows %i to %i : !unitile.fragment<64x64xf32>, memref<1x4x?x64xf32>
          gpu.return
        }
      }
      func.func @before(%n: index, %i: i32) -> memref<1x4x?x64xf32> {
        %one = arith.constant 1 : index
        %x = gpu.alloc(%n) : memref<1x4x?x64xf32>
        gpu.launch_func @kernels::@page blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%x : memref<1x4x?x64xf32>, %i : i32)
        return %x : memref<1x4x?x64xf32>
      }
    }
    ```
    After:
    ```mlir
    module attributes {gpu.container_module} {
      gpu.module @kernels {
        gpu.func @page(%x: memref<1x4x?x64xf32, strided<[?, ?, ?, 1]>>, %i: i32) kernel {
          %zero = arith.constant 0.0 : f32
          %y = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
          unitile.put %y to %x[%i, %i] rows %i to %i : !unitile.fragment<64x64xf32>, memref<1x4x?x64xf32, strided<[?, ?, ?, 1]>>
          gpu.return
        }
      }
      func.func @after(%n: index, %i: i32) -> memref<1x4x?x64xf32, strided<[?, ?, ?, 1]>> {
        %one = arith.constant 1 : index
        %c64 = arith.constant 64 : index
        %c4 = arith.constant 4 : index
        %head = arith.muli %n, %c64 : index
        %batch = arith.muli %c4, %head : index
        %x = gpu.alloc(%n)[%batch, %head, %c64] : memref<1x4x?x64xf32, strided<[?, ?, ?, 1]>>
        gpu.launch_func @kernels::@page blocks in (%one, %one, %one) threads in (%one, %one, %one) args(%x : memref<1x4x?x64xf32, strided<[?, ?, ?, 1]>>, %i : i32)
        return %x : memref<1x4x?x64xf32, strided<[?, ?, ?, 1]>>
      }
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::gpu::GPUDialect"];
}

#endif // UNISPARSE_CONVERSION_PROGRAMPASSES_TD
