// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ContractionLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace unisparse;

static Value index(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

/// C += A * B over [begin, end) of k, from zero accumulators.
static void emitSums(ImplicitLocOpBuilder &b, const ContractionLoops &x,
                     ArrayRef<Value> at, Value begin, Value end,
                     ContractionStep step) {
  auto vector = VectorType::get({x.lanes}, b.getF32Type());
  Value none = arith::ConstantOp::create(b, b.getZeroAttr(vector));
  SmallVector<Value> accumulators(x.rows * x.parts, none);
  auto loop =
      scf::ForOp::create(b, begin, end, index(b, 1), accumulators,
                         [&](OpBuilder &, Location, Value k, ValueRange sums) {
                           scf::YieldOp::create(b, step(at, k, sums));
                         });
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.parts; ++j) {
      SmallVector<Value> place{at[i], index(b, x.lanes * j)};
      Value old = vector::LoadOp::create(b, vector, x.c, place);
      Value sum =
          arith::AddFOp::create(b, old, loop.getResult(i * x.parts + j));
      vector::StoreOp::create(b, sum, x.c, place);
    }
}

/// Rows [m, m + rows) of C, `sumLength` steps of k after another.
static void emitRows(ImplicitLocOpBuilder &b, const ContractionLoops &x,
                     Value m, Value zero, ContractionStep step) {
  SmallVector<Value> at;
  for (int64_t i = 0; i < x.rows; ++i)
    at.push_back(b.createOrFold<arith::AddIOp>(m, index(b, i)));
  int64_t whole = x.k - x.k % x.sumLength;
  Value end = index(b, whole), length = index(b, x.sumLength);
  if (whole)
    scf::ForOp::create(b, zero, end, length, ValueRange{},
                       [&](OpBuilder &, Location, Value k, ValueRange) {
                         Value next = arith::AddIOp::create(b, k, length);
                         emitSums(b, x, at, k, next, step);
                         scf::YieldOp::create(b);
                       });
  if (whole != x.k)
    emitSums(b, x, at, end, index(b, x.k), step);
}

void unisparse::emitContraction(ImplicitLocOpBuilder &b,
                                const ContractionLoops &x,
                                ContractionStep step) {
  Value zero = index(b, 0);
  scf::ForOp::create(b, zero, index(b, x.m), index(b, x.rows), ValueRange{},
                     [&](OpBuilder &, Location, Value m, ValueRange) {
                       emitRows(b, x, m, zero, step);
                       scf::YieldOp::create(b);
                     });
}

LogicalResult unisparse::verifyRegisterRows(MLIRContext *context,
                                            StringRef pass, int64_t rows) {
  if (rows == 1 || rows == 2 || rows == 4 || rows == 8)
    return success();
  return emitError(UnknownLoc::get(context))
         << pass << ": expected register-rows of 1, 2, 4 or 8, got " << rows;
}
