// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What an artifact (docs/Artifact.md) holds, as plain structures; reading,
// writing and printing it. Needs LLVM's Support alone.
#ifndef UNISPARSE_TARGET_ARTIFACT_H
#define UNISPARSE_TARGET_ARTIFACT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace unisparse::artifact {

inline constexpr llvm::StringLiteral kMagic = "UNISPARS";
inline constexpr uint32_t kVersion = 2;
inline constexpr size_t kMaxRank = 4, kMaxMapRank = 5, kMaxTerms = 64;
/// What the runtime has room for: inputs, and outputs; of a variant, buffers
/// and steps; of a launch, arguments and tensor maps among them.
inline constexpr size_t kMaxTensors = 32, kMaxChecks = 1024, kMaxVariants = 64,
                        kMaxBuffers = 128, kMaxSteps = 1024,
                        kMaxArguments = 128, kMaxMaps = 16;
/// What every chip has: threads of a block, and in its third dimension.
inline constexpr uint32_t kMaxThreads = 1024, kMaxThreadsZ = 64;

/// The numbers of these enums are the format's.
enum class Element : uint32_t { F32, F16, BF16, I32 };
enum class Layout : uint32_t { Contiguous, Rows };
enum class Relation : uint32_t { Equal, LessEqual, MultipleOf };
enum class ImageKind : uint32_t { PTX, MachineCode };
enum class BufferKind : uint32_t { Input, Output, Workspace };
enum class Swizzle : uint32_t { None, B32, B64, B128 };
enum class TermOp : uint32_t {
  Constant,
  Symbol,
  Stride, ///< In elements; the value is 8 * input + dimension.
  Device, ///< Value 0: number of multiprocessors.
  Add,
  Sub,
  Mul,
  FloorDiv,
  CeilDiv,
  Min,
  Max
};

struct Term {
  TermOp op;
  int64_t value = 0;

  bool operator==(const Term &other) const {
    return op == other.op && value == other.value;
  }
};
inline bool isLeaf(TermOp op) { return op <= TermOp::Device; }

/// A formula in postfix order.
using Expr = std::vector<Term>;

Expr constant(int64_t value);
/// The value of an expression that is one constant.
std::optional<int64_t> constantOf(const Expr &expr);
/// `left op right`, with constants folded and neutral operands left out.
Expr combine(TermOp op, const Expr &left, const Expr &right);

struct Input {
  std::string name;
  Element element = Element::F32;
  /// A static size, or -1 - s for symbol s.
  std::vector<int64_t> dims;
  Layout layout = Layout::Contiguous;
};

struct Output {
  std::string name;
  Element element = Element::F32;
  std::vector<Expr> sizes;
};

struct Check {
  std::string label;
  Expr left;
  Relation relation = Relation::Equal;
  Expr right;
  std::string leftName, rightName;
};

struct Buffer {
  BufferKind kind = BufferKind::Input;
  uint32_t index = 0;
};

/// A CUtensorMap over a buffer; sizes innermost first, strides in bytes.
struct TensorMap {
  Buffer buffer;
  Element element = Element::F32;
  std::vector<Expr> sizes, strides;
  std::vector<uint32_t> box;
  Swizzle swizzle = Swizzle::None;
};

struct Argument {
  enum class Kind : uint32_t { Address, I32, I64, F32, Map };
  Kind kind = Kind::Address;
  Buffer buffer;     ///< Of an address.
  Expr expr;         ///< Of i32 and i64.
  uint32_t bits = 0; ///< Of f32.
  TensorMap map;
};

struct Step {
  enum class Kind : uint32_t { Launch, Fill };
  Kind kind = Kind::Launch;
  // Of a launch.
  std::string kernel;
  std::string schedule; ///< The kernel's, an attribute's text; or empty.
  std::array<Expr, 3> grid;
  std::array<uint32_t, 3> block = {1, 1, 1};
  uint32_t sharedBytes = 0;
  std::vector<Argument> arguments;
  // Of a fill.
  Buffer buffer;
  uint32_t word = 0;
  Expr words;
};

/// The program for one chip.
struct Variant {
  std::string chip;
  uint32_t capability = 0; ///< 10 * major + minor
  bool exact = false;      ///< Of this capability only.
  ImageKind kind = ImageKind::PTX;
  uint32_t leastDriver = 0; ///< 12000 for CUDA 12.0
  std::string image;
  std::vector<Expr> workspace;
  std::vector<Step> steps;
};

struct Artifact {
  std::string producer, entry;
  std::vector<std::string> symbols;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<Check> checks;
  std::vector<Variant> variants;
};

/// The bytes of a file.
std::string write(const Artifact &artifact);

/// Takes nothing that the format does not allow: what was expected, what was
/// found, and at which byte of the body.
llvm::Expected<Artifact> read(llvm::StringRef bytes);

/// Adds the variants of `from`, which has to be the same program for another
/// chip. An input that either takes only contiguous is contiguous.
llvm::Error merge(Artifact &into, Artifact from);

/// "q.size(2)", "ceildiv(q.size(2), 128)", ... for people.
std::string format(const Artifact &artifact, const Expr &expr);

/// The whole of it for people.
void print(const Artifact &artifact, llvm::raw_ostream &os);

llvm::StringRef name(Element element);

} // namespace unisparse::artifact

#endif // UNISPARSE_TARGET_ARTIFACT_H
