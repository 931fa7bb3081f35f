//===- Artifacts.h - Artifacts that tests write
//-----------------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef UNISPARSE_UNITTESTS_RUNTIME_ARTIFACTS_H
#define UNISPARSE_UNITTESTS_RUNTIME_ARTIFACTS_H

#include "StubDriver.h"
#include "unisparse-rt/unisparse.h"
#include <atomic>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

namespace unisparse::runtime {

/// Bytes in docs/Artifact.md's format.
class Bytes {
public:
  Bytes &u32(uint32_t value) { return number(value, 4); }
  Bytes &u64(uint64_t value) { return number(value, 8); }
  Bytes &string(const std::string &text) { return u32(text.size()).raw(text); }
  Bytes &blob(const std::string &text) { return u64(text.size()).raw(text); }
  Bytes &raw(const std::string &more) {
    data += more;
    return *this;
  }
  std::string data;

private:
  Bytes &number(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      data += static_cast<char>(value >> (8 * i));
    return *this;
  }
};

/// A formula, postfix.
using Expr = std::vector<std::pair<uint32_t, int64_t>>;
inline Expr constant(int64_t value) { return {{0, value}}; }
inline Expr symbol(int64_t number) { return {{1, number}}; }
inline Expr stride(int64_t input, int64_t dim) {
  return {{2, 8 * input + dim}};
}
inline Expr strideOfOutput(int64_t output, int64_t dim) {
  return stride(32 + output, dim);
}
inline Expr processors() { return {{3, 0}}; }
enum Op { Add = 4, Sub, Mul, FloorDiv, CeilDiv, Min, Max };
inline Expr apply(Op op, Expr left, const Expr &right) {
  left.insert(left.end(), right.begin(), right.end());
  left.emplace_back(op, 0);
  return left;
}
std::string expr(const Expr &expression);

enum BufferKind { Input, Output, Workspace };
std::string buffer(BufferKind kind, uint32_t index);

std::string addressArgument(BufferKind kind, uint32_t index);
std::string i32Argument(const Expr &expression);
std::string i64Argument(const Expr &expression);
std::string f32Argument(float value);
struct Map {
  std::string buffer;
  uint32_t element;
  std::vector<Expr> sizes, strides;
  std::vector<uint32_t> box;
  uint32_t swizzle;
};
std::string mapArgument(const Map &map);

std::string launch(const std::string &kernel, const std::vector<Expr> &grid,
                   const std::vector<uint32_t> &block, uint32_t shared,
                   const std::vector<std::string> &arguments,
                   const std::string &schedule = "", uint32_t overlaps = 0);
std::string fill(const std::string &buffer, uint32_t word, const Expr &words);

struct InputSpec {
  std::string name;
  uint32_t element;
  std::vector<int64_t> dims;
  uint32_t layout;
};
struct OutputSpec {
  std::string name;
  uint32_t element;
  std::vector<Expr> sizes;
  uint32_t layout = 0;
};
struct CheckSpec {
  std::string label;
  Expr left;
  uint32_t relation;
  Expr right;
  std::string leftName, rightName;
};
struct VariantSpec {
  std::string chip;
  uint32_t capability, exact, kind, driver;
  std::string image;
  std::vector<Expr> buffers;
  std::vector<std::string> steps;
};
struct Spec {
  std::vector<std::string> symbols;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::vector<CheckSpec> checks;
  std::vector<VariantSpec> variants;

  std::string body() const;
  std::string bytes() const;
};

/// A header for `body`, with its right crc32.
std::string withHeader(const std::string &body, uint32_t version = 4);

/// A program with one of everything: q f16 [B, 8, L, 64] with free strides and
/// k f16 [B, 2, L, 64] give o f16 [B, 8, L, 64] and lse f32 [B, 8, L].
Spec sample();

unisparse_artifact *read(const std::string &bytes);

/// A contiguous tensor.
unisparse_tensor tensor(uint64_t address, unisparse_element element,
                        const std::vector<int64_t> &sizes);

/// Device memory of the stub's.
constexpr uint64_t device0 = 0x100000000, device1 = 0x200000000,
                   managed = 0x300000000, pinned = 0x400000000;

/// A program and what a call of it takes; B = 2, L = 256 unless changed.
struct Call {
  explicit Call(const Spec &spec, int device = 0);
  ~Call();
  unisparse_status prepare();
  unisparse_status launch();

  unisparse_program *program = nullptr;
  std::vector<unisparse_tensor> inputs, outputs;
  uint64_t workspace;
  size_t workspaceBytes = 0;
  uint64_t stream = 7;
};

/// Starts every test with a stub in its first state, ends it with nothing live.
class RuntimeTest : public testing::Test {
protected:
  void SetUp() override;
  void TearDown() override;
};

/// Expects a status, and each of `facts` in the message.
void expectFailure(unisparse_status status, unisparse_status expected,
                   const std::vector<std::string> &facts);

/// Allocations of the test program and the static runtime: how many so far, and
/// after how many more one fails (-1: none).
extern std::atomic<long> allocations, allocationsUntilFailure;

} // namespace unisparse::runtime

#endif // UNISPARSE_UNITTESTS_RUNTIME_ARTIFACTS_H
