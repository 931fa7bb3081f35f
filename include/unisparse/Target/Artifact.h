// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What an artifact (docs/Artifact.md) holds, as plain structures; reading,
// writing and printing it. Needs LLVM's Support alone.
#ifndef UNISPARSE_TARGET_ARTIFACT_H
#define UNISPARSE_TARGET_ARTIFACT_H

#include "unisparse-rt/format.h"
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

// Numbers and limits are those of unisparse-rt/format.h, which the runtime's
// reader shares; here they have types.
inline constexpr llvm::StringLiteral kMagic = UNISPARSE_FORMAT_MAGIC;
inline constexpr uint32_t kVersion = UNISPARSE_FORMAT_VERSION;
inline constexpr size_t kHeaderBytes = UNISPARSE_FORMAT_HEADER_BYTES,
                        kMaxRank = UNISPARSE_MAX_RANK,
                        kMaxMapRank = UNISPARSE_MAX_MAP_RANK,
                        kMaxTerms = UNISPARSE_MAX_TERMS,
                        kMaxTensors = UNISPARSE_MAX_TENSORS,
                        kMaxSymbols = UNISPARSE_MAX_SYMBOLS,
                        kMaxChecks = UNISPARSE_MAX_CHECKS,
                        kMaxVariants = UNISPARSE_MAX_VARIANTS,
                        kMaxBuffers = UNISPARSE_MAX_BUFFERS,
                        kMaxSteps = UNISPARSE_MAX_STEPS,
                        kMaxArguments = UNISPARSE_MAX_ARGUMENTS,
                        kMaxMaps = UNISPARSE_MAX_MAPS;
inline constexpr uint32_t kMaxThreads = UNISPARSE_MAX_THREADS,
                          kMaxThreadsZ = UNISPARSE_MAX_THREADS_Z,
                          kMaxSharedBytes = UNISPARSE_MAX_SHARED_BYTES,
                          kMaxBox = UNISPARSE_MAX_BOX,
                          kMapAlignment = UNISPARSE_MAP_ALIGNMENT,
                          kLeastCapability = UNISPARSE_LEAST_CAPABILITY,
                          kMaxCapability = UNISPARSE_MAX_CAPABILITY;
inline constexpr int64_t kStrideBase = UNISPARSE_STRIDE_BASE;

enum class Element : uint32_t {
  F32 = UNISPARSE_F32,
  F16 = UNISPARSE_F16,
  BF16 = UNISPARSE_BF16,
  I32 = UNISPARSE_I32
};
enum class Layout : uint32_t {
  Contiguous = UNISPARSE_LAYOUT_CONTIGUOUS,
  Rows = UNISPARSE_LAYOUT_ROWS
};
enum class Relation : uint32_t {
  Equal = UNISPARSE_EQUAL,
  LessEqual = UNISPARSE_AT_MOST,
  MultipleOf = UNISPARSE_MULTIPLE_OF
};
enum class ImageKind : uint32_t {
  PTX = UNISPARSE_IMAGE_PTX,
  MachineCode = UNISPARSE_IMAGE_MACHINE_CODE
};
enum class BufferKind : uint32_t {
  Input = UNISPARSE_BUFFER_INPUT,
  Output = UNISPARSE_BUFFER_OUTPUT,
  Workspace = UNISPARSE_BUFFER_WORKSPACE
};
enum class Swizzle : uint32_t {
  None = UNISPARSE_SWIZZLE_NONE,
  B32 = UNISPARSE_SWIZZLE_32B,
  B64 = UNISPARSE_SWIZZLE_64B,
  B128 = UNISPARSE_SWIZZLE_128B
};
enum class TermOp : uint32_t {
  Constant = UNISPARSE_TERM_CONSTANT,
  Symbol = UNISPARSE_TERM_SYMBOL,
  /// In elements; the value is kStrideBase * input + dimension. Output i stands
  /// behind kMaxTensors inputs.
  Stride = UNISPARSE_TERM_STRIDE,
  Device = UNISPARSE_TERM_FACT, ///< Value 0: number of multiprocessors.
  Add = UNISPARSE_TERM_ADD,
  Sub = UNISPARSE_TERM_SUB,
  Mul = UNISPARSE_TERM_MUL,
  FloorDiv = UNISPARSE_TERM_FLOORDIV,
  CeilDiv = UNISPARSE_TERM_CEILDIV,
  Min = UNISPARSE_TERM_MIN,
  Max = UNISPARSE_TERM_MAX
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
  Layout layout = Layout::Contiguous;
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
  enum class Kind : uint32_t {
    Address = UNISPARSE_ARGUMENT_ADDRESS,
    I32 = UNISPARSE_ARGUMENT_I32,
    I64 = UNISPARSE_ARGUMENT_I64,
    F32 = UNISPARSE_ARGUMENT_F32,
    Map = UNISPARSE_ARGUMENT_MAP
  };
  Kind kind = Kind::Address;
  Buffer buffer;     ///< Of an address.
  Expr expr;         ///< Of i32 and i64.
  uint32_t bits = 0; ///< Of f32.
  TensorMap map;
};

struct Step {
  enum class Kind : uint32_t {
    Launch = UNISPARSE_STEP_LAUNCH,
    Fill = UNISPARSE_STEP_FILL
  };
  Kind kind = Kind::Launch;
  // Of a launch.
  std::string kernel;
  std::string schedule; ///< The kernel's, an attribute's text; or empty.
  std::array<Expr, 3> grid;
  std::array<uint32_t, 3> block = {1, 1, 1};
  uint32_t sharedBytes = 0;
  bool overlaps =
      false; ///< May begin before the step in front of it has ended.
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

/// A program for the CPU in one file: the shared library, and behind it its
/// description, the bytes of an artifact without variants.
std::string appendDescription(llvm::StringRef library,
                              llvm::StringRef description);
/// Whether a file says that it is one.
bool hasDescription(llvm::StringRef file);
llvm::Expected<Artifact> readDescription(llvm::StringRef file);

/// Adds the variants of `from`, which has to be the same program for another
/// chip; to nothing, all of it. An input that either takes only contiguous is
/// contiguous.
llvm::Error merge(Artifact &into, Artifact from);

/// "q.size(2)", "ceildiv(q.size(2), 128)", ... for people.
std::string format(const Artifact &artifact, const Expr &expr);

/// The whole of it for people.
void print(const Artifact &artifact, llvm::raw_ostream &os);

llvm::StringRef name(Element element);

} // namespace unisparse::artifact

#endif // UNISPARSE_TARGET_ARTIFACT_H
