// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a page's data-parallel loops are made of, for who gives them an order
// and for who gives them threads.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PARALLELLOOPS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PARALLELLOOPS_H

#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {

/// An scf.parallel of a page: one dim, a step of 1.
struct ParallelLoop {
  explicit ParallelLoop(scf::ParallelOp op)
      : op(op), reduce(cast<scf::ReduceOp>(op.getBody()->getTerminator())) {
    llvm::append_range(ranks, op.getBody()->getOps<unitile::RankOp>());
  }

  Value lower() { return op.getLowerBound()[0]; }
  Value upper() { return op.getUpperBound()[0]; }
  size_t place(unitile::RankOp rank) {
    return llvm::find(ranks, rank) - ranks.begin();
  }
  /// What reduction `i` makes of two values, written at the builder.
  Value combine(OpBuilder &b, unsigned i, Value x, Value y);
  /// The op that combines, where it is one alone; else null.
  Operation *combiner(unsigned i);

  scf::ParallelOp op;
  scf::ReduceOp reduce;
  SmallVector<unitile::RankOp> ranks;
};

/// The data-parallel loops under `root`, all or those whose iterations exchange
/// values; a diagnostic where one has more dims,
/// another step, a loop of its kind inside, or a unitile.rank that not every
/// iteration comes by.
FailureOr<SmallVector<ParallelLoop>> parallelLoopsOf(Operation *root, bool all);

/// Where there is no loop, no iteration is before another.
void foldLoneRanks(Operation *root);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PARALLELLOOPS_H
