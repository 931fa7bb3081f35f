// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a model's author says about an attention, as discardable attributes of
// the op or of the function around it: which rule, blocks, pooling it is to
// have.
#ifndef UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_POLICY_H
#define UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_POLICY_H

#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse {

/// Unset members say nothing.
struct Policy {
  RuleAttr rule;
  BlockAttr block;
  PoolingAttr pooling;
  AggAttr agg;
  ShareAttr share;
  std::optional<int64_t> minLength;
  mlir::BoolAttr estimateWithRegion; ///< M6

  /// Takes the other's members where this has none.
  void fillFrom(const Policy &other);
};

/// What an attention gets that asks for nothing: of the policies that keep 99%
/// of dense attention's answers on every measured model and length, the one
/// that takes the least time (benchmarks/NOTES.md, "Accuracy"). The one owner
/// of these numbers for tools, passes and the C API;
/// python/unisparse/_config.py has them for Python, and a test compares both.
namespace measured {
constexpr llvm::StringLiteral kName = "measured"; ///< As a pass's option.
constexpr double kShare = 0.8;                    ///< L3
/// L11: a long row may leave out .3, not .2; of the measured share alone.
constexpr double kRelax = 0.5;
/// P5: rows stand for themselves where the mass is a maximum, and where a
/// composite query is no row already.
int64_t representatives(Agg agg, int64_t pooledQueries);
/// P6: groups of 4 dims, or of fewer where the columns behind head_dim would
/// not be a multiple of 8, which tiles are made of. 0 where a composite key is
/// a key.
int64_t spread(int64_t headDim, int64_t pooledKeys);
/// L8: the end of a prompt asks the question; without causality there is no
/// end.
int64_t last(bool causal);

PoolingAttr pooling(mlir::MLIRContext *context, Agg agg, int64_t headDim);
RuleAttr rule(mlir::MLIRContext *context, bool causal);
} // namespace measured

/// `top_p = 0.9, local = 2` as #unisparse.rule<...>, `64x64` as a block or a
/// pooling. Empty on a wrong text, with what the parser says in `why`.
RuleAttr parseRule(mlir::MLIRContext *context, llvm::StringRef text,
                   std::string &why);
BlockAttr parseBlock(mlir::MLIRContext *context, llvm::StringRef text,
                     std::string &why);
PoolingAttr parsePooling(mlir::MLIRContext *context, llvm::StringRef text,
                         std::string &why);

/// The policy in the attributes of an op. Fails after a diagnostic on one of
/// the dialect that is no part of a policy, or of another kind.
mlir::FailureOr<Policy> policyOf(mlir::Operation *op);

/// Adds what an attribute of a composite says (`p`, `top_k`, `rule`, `block`,
/// `pooling`, `min_length`) as an attribute that policyOf reads.
mlir::LogicalResult addPolicyFrom(mlir::NamedAttribute attribute,
                                  mlir::NamedAttrList &policy,
                                  std::string &why);

/// Removes what policyOf reads.
void removePolicy(mlir::Operation *op);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_POLICY_H
