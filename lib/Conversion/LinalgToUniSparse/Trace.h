// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Reads a program of tensors element by element: which scalar expression gives
// an element, through elementwise linalg ops, reshapes, transposes and
// broadcasts. Reductions and everything else are where it ends.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_TRACE_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_TRACE_H

#include "Digits.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/SetVector.h"
#include <deque>
#include <optional>

namespace unisparse::raise {

struct Element {
  mlir::Value tensor;
  llvm::SmallVector<Index> index;
};

/// A linalg op whose loops stand at these indices.
struct Scope {
  // Interfaces ask for a non-const value.
  mutable mlir::linalg::LinalgOp op;
  llvm::SmallVector<Index> loops;
};

/// A scalar: inside the body of the scope's op, or of the program around it.
struct Scalar {
  mlir::Value value;
  const Scope *scope = nullptr;
};

/// What a scalar is, once copies are seen through.
struct Term {
  enum Kind {
    Constant,    ///< `constant`
    Position,    ///< `position`: an index as a number
    Operation,   ///< the result of `scalar`'s op
    Leaf,        ///< `element`, which nothing here computes
    Accumulator, ///< what the reduction has so far
    Unknown,
  } kind = Unknown;
  mlir::TypedAttr constant;
  Index position;
  Scalar scalar;
  Element element;

  mlir::Operation *op() const {
    return kind == Operation ? scalar.value.getDefiningOp() : nullptr;
  }
  template <typename Op>
  Op dyn() const {
    return llvm::dyn_cast_or_null<Op>(op());
  }
  /// The number, of either type.
  std::optional<double> number() const;
};

class Tracer {
public:
  Digits digits;
  /// Ops that were seen through, while `recording`.
  llvm::SetVector<mlir::Operation *> passed;
  bool recording = false;
  /// Digits at which a tensor of a dynamic size is read that might be 1 and
  /// broadcast: that it is as long as the digit has to be asserted.
  Index promised;

  /// The scope of a loop nest with an index of its own for each loop.
  const Scope *enter(mlir::linalg::LinalgOp op);
  /// The scope of a reduction where its result is `element` and its one
  /// reduction loop stands at `reduced`. Null where that cannot be said.
  const Scope *enterReduction(const Element &element,
                              llvm::ArrayRef<Digit> reduced);

  /// What operand `i` of an op of scalars is.
  Term operand(const Term &term, unsigned i) {
    return resolve({term.op()->getOperand(i), term.scalar.scope});
  }
  /// What the scope's op yields.
  Term yielded(const Scope *scope, unsigned result = 0);
  Term resolve(Scalar scalar);
  Term resolve(Element element);
  /// One step only, out of a block argument and through the reshapes behind it.
  std::optional<Element> elementOf(Scalar scalar);
  /// The element that a tensor.extract at positions of loops gives.
  std::optional<Element> extractedFrom(Scalar scalar);
  /// The scalar that gives the element, in a scope of its own. Moves `element`
  /// to where that is, or as far as reshapes go.
  std::optional<Scalar> computed(Element &element);

  /// Looks through changes of floating-point precision.
  Term withoutCasts(Term term);

  /// True where both are the same expression of the same elements.
  bool equal(const Term &a, const Term &b);

private:
  const Scope *keep(Scope scope);
  Term fromConstant(mlir::Value value);
  std::deque<Scope> scopes;
};

/// The one loop that reduces; none where there are more, or less.
std::optional<unsigned> reductionLoop(mlir::linalg::LinalgOp op);
/// True where every loop runs in parallel and the result is a tensor.
bool runsInParallel(mlir::linalg::LinalgOp op);

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_TRACE_H
