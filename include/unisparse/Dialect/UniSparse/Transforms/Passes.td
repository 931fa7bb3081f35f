// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_PASSES_TD
#define UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def UniSparseDecomposeAttention : Pass<"unisparse-decompose-attention"> {
  let summary = "Decompose unisparse.attention into its four stages";
  let description = [{
    Rewrites `unisparse.attention` into pool, score, select and attend through
    linalg's `AggregatedOpInterface`. A rule that takes every candidate becomes
    dense attention with no estimate.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32> {
      %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.9> causal
        : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
          -> (tensor<1x4x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
      return %o : tensor<1x4x512x64xf32>
    }
    ```
    After:
    ```mlir
    func.func @after(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32> {
      %qc = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
      %kc = unisparse.pool %k by 8 : (tensor<1x2x512x64xf32>) -> tensor<1x2x64x64xf32>
      %m = unisparse.block_score %qc, %kc lengths [512, 512] block <128x128> pooling <8x8> causal
        : (tensor<1x4x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x4x4x4xf32>
      %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.9> causal
        : (tensor<1x4x4x4xf32>) -> (tensor<1x4x4xi32>, tensor<1x4x4x4xi32>, tensor<1x4xf32>)
      %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128> causal
        : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x4x4xi32>, tensor<1x4x4x4xi32>)
          -> tensor<1x4x512x64xf32>
      return %o : tensor<1x4x512x64xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect",
                           "::mlir::tensor::TensorDialect"];
}

def UniSparseSparsifyAttention : Pass<"unisparse-sparsify-attention"> {
  let summary = "Let dense attention select its blocks by a policy";
  let description = [{
    Turns `unisparse.block_sparse_attention` without a selection, which is dense,
    into `unisparse.attention`. This changes what is computed: that is the
    policy's to say. A policy is, the first that says something first,
    - attributes of the op: `unisparse.rule`, `unisparse.block`,
      `unisparse.pooling`, `unisparse.agg`, `unisparse.share`,
      `unisparse.min_length` and `unisparse.estimate_with_region`, of attention
      with a modification;
    - the same attributes of the function around it;
    - the options of the pass.

    Over fewer than `min-length` keys attention stays dense: known lengths with a
    remark, dynamic ones by the rule's `dense_below`. Precondition:
    `unisparse-raise-attention`, or dense attention from elsewhere.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>)
        -> tensor<1x4x512x64xf32> attributes {unisparse.rule = #unisparse.rule<top_k = 2>} {
      %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal
        : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32>
      return %o : tensor<1x4x512x64xf32>
    }
    ```
    After, with `block=64x64`:
    ```mlir
    func.func @after(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>)
        -> tensor<1x4x512x64xf32> attributes {unisparse.rule = #unisparse.rule<top_k = 2>} {
      %o, %c, %i, %d = unisparse.attention %q, %k, %v block <64x64> pooling <8x8> rule <top_k = 2> causal
        : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
          -> (tensor<1x4x512x64xf32>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
      return %o : tensor<1x4x512x64xf32>
    }
    ```
  }];
  let options = [
    Option<"rule", "rule", "std::string", "\"measured\"",
           "what stands between the brackets of #unisparse.rule<...>; measured: top_p = 0.8, "
           "relax = 0.5 and, where causal, last = 1">,
    Option<"block", "block", "std::string", "\"128x128\"", "queries by keys of a block">,
    Option<"pooling", "pooling", "std::string", "\"measured\"",
           "what stands between the brackets of #unisparse.pooling<...>; measured: 8x8, 16 "
           "representatives where agg is max, a spread of 4 dims or fewer">,
    Option<"agg", "agg", "::unisparse::Agg", "::unisparse::Agg::Max",
           "how composite rows become a block's mass",
           [{::llvm::cl::values(
             clEnumValN(::unisparse::Agg::Max, "max", "the largest row's"),
             clEnumValN(::unisparse::Agg::Sum, "sum", "their mean"))}]>,
    Option<"share", "share", "::unisparse::Share", "::unisparse::Share::None",
           "which heads share a selection",
           [{::llvm::cl::values(
             clEnumValN(::unisparse::Share::None, "none", "each has its own"),
             clEnumValN(::unisparse::Share::Group, "group", "those of a KV head share one"))}]>,
    Option<"minLength", "min-length", "int64_t", "0",
           "attention over fewer keys stays dense">,
    Option<"estimateWithRegion", "estimate-with-region", "bool", "false",
           "the estimate's logits are modified too, where there is a modification">
  ];
  let dependentDialects = ["::unisparse::UniSparseDialect"];
}

def UniSparseUnrollLoops : Pass<"unisparse-unroll-loops"> {
  let summary = "Unroll loops around stages, as many layers as there are";
  let description = [{
    An `scf.for` that holds ops of the dialect becomes straight code where its
    number of iterations is a constant and it becomes `most` of these ops at
    most: what launches kernels on a GPU is a list of launches. Other loops stay.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x2x64x64xf16>) -> tensor<1x2x64x64xf16> {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%x = %q) -> (tensor<1x2x64x64xf16>) {
        %o = unisparse.block_sparse_attention %x, %q, %q block <64x64>
          : (tensor<1x2x64x64xf16>, tensor<1x2x64x64xf16>, tensor<1x2x64x64xf16>) -> tensor<1x2x64x64xf16>
        scf.yield %o : tensor<1x2x64x64xf16>
      }
      return %r : tensor<1x2x64x64xf16>
    }
    ```
    After:
    ```mlir
    func.func @after(%q: tensor<1x2x64x64xf16>) -> tensor<1x2x64x64xf16> {
      %o = unisparse.block_sparse_attention %q, %q, %q block <64x64>
        : (tensor<1x2x64x64xf16>, tensor<1x2x64x64xf16>, tensor<1x2x64x64xf16>) -> tensor<1x2x64x64xf16>
      %r = unisparse.block_sparse_attention %o, %q, %q block <64x64>
        : (tensor<1x2x64x64xf16>, tensor<1x2x64x64xf16>, tensor<1x2x64x64xf16>) -> tensor<1x2x64x64xf16>
      return %r : tensor<1x2x64x64xf16>
    }
    ```
  }];
  let options = [
    Option<"most", "most", "uint64_t", "128",
           "ops of the dialect that a loop may become">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def UniSparseVerifyTensorContract : Pass<"unisparse-verify-tensor-contract"> {
  let summary = "Check what lowering needs of the four stages";
  let description = [{
    Closes the tensor level. Precondition of `convert-unisparse-to-loops` and
    `convert-unisparse-to-unitile`:
    - no `unisparse.attention` is left;
    - numbers of heads and head_dim are static wherever a stage meets them, as
      tiles and the pairing of query and KV heads are laid out for them;
    - no module lies in another, as passes on functions would not reach it;
    - an index has 64 bits, as sizes of buffers have for whoever calls;
    - other ops on tensors can be bufferized;
    - what is static is in bounds: blocks and head_dim of at most 4096, at most
      65535 heads, lengths and sizes below 2^31, tensors below 2^63 bytes.

    Changes nothing.
  }];
}

def UniSparseCheckSizes : Pass<"unisparse-check-sizes"> {
  let summary = "Assert what a program's own ops promise of dynamic sizes";
  let description = [{
    Whoever runs an op on tensors reads each operand by sizes that he takes from
    one of them. Types say that they fit where they are static; where one is
    dynamic, the program's word is all there is, and is asserted in front of the
    op:

    | op | what has to hold |
    |---|---|
    | `linalg` ops | what one loop goes over has one size; what an index is computed to, as `a * 8 + t`, is inside |
    | elementwise ops, `linalg.softmax` | shapes are equal |
    | `tensor.cast` | sizes that only the result's type has |
    | `tensor.expand_shape`, `tensor.reshape` | a dim has as many elements as its parts, a shape as its tensor |
    | `tensor.extract_slice`, `tensor.insert_slice` | the slice lies inside; what is inserted has its sizes |
    | `tensor.concat`, `tensor.pad` | other dims are equal; nothing is cut off; sizes that only the result's type has |
    | `tensor.extract`, `tensor.insert` | indices are inside |
    | `tensor.empty`, `tensor.splat`, `tensor.generate` | no size is negative |

    The label of a check is the op's name; its words name a tensor as its
    argument does (`unisparse.name`, or its location), as the location of its op
    does, or by the number of the argument or operand. What holds for all lengths
    folds away. What bodies of ops read with `tensor.extract` is theirs to keep
    inside. Stages have rules of their own, which their lowerings assert.

    Before:
    ```mlir
    func.func @add(%x: tensor<?xf32> {unisparse.name = "x"}, %bias: tensor<?xf32> {unisparse.name = "bias"}) -> tensor<?xf32> {
      %0 = arith.addf %x, %bias : tensor<?xf32>
      return %0 : tensor<?xf32>
    }
    ```
    After:
    ```mlir
    func.func @add(%x: tensor<?xf32> {unisparse.name = "x"}, %bias: tensor<?xf32> {unisparse.name = "bias"}) -> tensor<?xf32> {
      %c0 = arith.constant 0 : index
      %m = tensor.dim %bias, %c0 : tensor<?xf32>
      %n = tensor.dim %x, %c0 : tensor<?xf32>
      %holds = arith.cmpi eq, %m, %n : index
      cf.assert %holds, "arith.addf: bias.size(0) == x.size(0)" {unisparse.check = #unisparse.check<"arith.addf", "bias.size(0)" equal "x.size(0)">}
      %0 = arith.addf %x, %bias : tensor<?xf32>
      return %0 : tensor<?xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect",
                           "::mlir::tensor::TensorDialect", "::unisparse::UniSparseDialect"];
}

def UniSparseInstrumentStages : Pass<"unisparse-instrument-stages", "::mlir::ModuleOp"> {
  let summary = "Call the host before and after every stage";
  let description = [{
    Puts `call @unisparse_stage_begin(stage)` before and
    `call @unisparse_stage_end(stage)` behind every `unisparse.pool` (0),
    `block_score` (1), `block_select` (2) and `block_sparse_attention` (3), so
    that a host can time stages. The calls are C-interface functions taking an
    i32. Precondition: stages are ops, that is before
    `convert-unisparse-to-loops`, and nothing reorders them later.

    Before:
    ```mlir
    func.func @before(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32> {
      %0 = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
      return %0 : tensor<1x4x64x64xf32>
    }
    ```
    After:
    ```mlir
    func.func private @unisparse_stage_begin(i32) attributes {llvm.emit_c_interface}
    func.func private @unisparse_stage_end(i32) attributes {llvm.emit_c_interface}
    func.func @after(%q: tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32> {
      %stage = arith.constant 0 : i32
      call @unisparse_stage_begin(%stage) : (i32) -> ()
      %0 = unisparse.pool %q by 8 : (tensor<1x4x512x64xf32>) -> tensor<1x4x64x64xf32>
      call @unisparse_stage_end(%stage) : (i32) -> ()
      return %0 : tensor<1x4x64x64xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

#endif // UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_PASSES_TD
