//===- Artifacts.cpp - Artifacts that tests write
//---------------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

#include <cstring>

using namespace unisparse::runtime;

std::string unisparse::runtime::expr(const Expr &expression) {
  Bytes bytes;
  bytes.u32(expression.size());
  for (auto [op, value] : expression)
    bytes.u32(op).u64(value);
  return bytes.data;
}

std::string unisparse::runtime::buffer(BufferKind kind, uint32_t index) {
  return Bytes().u32(kind).u32(index).data;
}

std::string unisparse::runtime::addressArgument(BufferKind kind,
                                                uint32_t index) {
  return Bytes().u32(0).raw(buffer(kind, index)).data;
}

std::string unisparse::runtime::i32Argument(const Expr &expression) {
  return Bytes().u32(1).raw(expr(expression)).data;
}

std::string unisparse::runtime::i64Argument(const Expr &expression) {
  return Bytes().u32(2).raw(expr(expression)).data;
}

std::string unisparse::runtime::f32Argument(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return Bytes().u32(3).u32(bits).data;
}

std::string unisparse::runtime::mapArgument(const Map &map) {
  Bytes bytes;
  bytes.u32(4).raw(map.buffer).u32(map.element).u32(map.sizes.size());
  for (const Expr &size : map.sizes)
    bytes.raw(expr(size));
  for (const Expr &stride : map.strides)
    bytes.raw(expr(stride));
  for (uint32_t box : map.box)
    bytes.u32(box);
  return bytes.u32(map.swizzle).data;
}

std::string
unisparse::runtime::launch(const std::string &kernel,
                           const std::vector<Expr> &grid,
                           const std::vector<uint32_t> &block, uint32_t shared,
                           const std::vector<std::string> &arguments,
                           const std::string &schedule, uint32_t overlaps) {
  Bytes bytes;
  bytes.u32(0).string(kernel).string(schedule);
  for (const Expr &size : grid)
    bytes.raw(expr(size));
  for (uint32_t size : block)
    bytes.u32(size);
  bytes.u32(shared).u32(overlaps).u32(arguments.size());
  for (const std::string &argument : arguments)
    bytes.raw(argument);
  return bytes.data;
}

std::string unisparse::runtime::fill(const std::string &buffer, uint32_t word,
                                     const Expr &words) {
  return Bytes().u32(1).raw(buffer).u32(word).raw(expr(words)).data;
}

std::string Spec::body() const {
  Bytes bytes;
  bytes.string("a test").string("attention").u32(symbols.size());
  for (const std::string &name : symbols)
    bytes.string(name);
  bytes.u32(inputs.size());
  for (const InputSpec &input : inputs) {
    bytes.string(input.name).u32(input.element).u32(input.dims.size());
    for (int64_t dim : input.dims)
      bytes.u64(dim);
    bytes.u32(input.layout);
  }
  bytes.u32(outputs.size());
  for (const OutputSpec &output : outputs) {
    bytes.string(output.name).u32(output.element).u32(output.sizes.size());
    for (const Expr &size : output.sizes)
      bytes.raw(expr(size));
    bytes.u32(output.layout);
  }
  bytes.u32(checks.size());
  for (const CheckSpec &check : checks)
    bytes.string(check.label)
        .raw(expr(check.left))
        .u32(check.relation)
        .raw(expr(check.right))
        .string(check.leftName)
        .string(check.rightName);
  bytes.u32(variants.size());
  for (const VariantSpec &v : variants) {
    bytes.string(v.chip).u32(v.capability).u32(v.exact).u32(v.kind);
    bytes.u32(v.driver).blob(v.image).u32(v.buffers.size());
    for (const Expr &size : v.buffers)
      bytes.raw(expr(size));
    bytes.u32(v.steps.size());
    for (const std::string &step : v.steps)
      bytes.raw(step);
  }
  return bytes.data;
}

std::string Spec::bytes() const { return withHeader(body()); }

/// Bit by bit, as zlib's documentation has it: another way than the runtime's.
static uint32_t crc32(const std::string &bytes) {
  uint32_t crc = ~0u;
  for (unsigned char byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i)
      crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

std::string unisparse::runtime::withHeader(const std::string &body,
                                           uint32_t version) {
  return Bytes()
      .raw("UNISPARS")
      .u32(version)
      .u32(crc32(body))
      .u64(body.size())
      .raw(body)
      .data;
}

Spec unisparse::runtime::sample() {
  Expr batch = symbol(0), length = symbol(1);
  Expr blocks = apply(CeilDiv, length, constant(128));
  Expr rows = apply(Mul, apply(Mul, batch, constant(8)), length);
  Map q{buffer(Input, 0), 1, {constant(64), length}, {}, {64, 128}, 3};
  q.strides = {apply(Mul, stride(0, 2), constant(2))};
  Map o{buffer(Output, 0), 1, {constant(64), rows}, {constant(128)}, {8, 1}, 0};
  Spec spec;
  spec.symbols = {"q.size(0)", "q.size(2)"};
  spec.inputs = {{"q", 1, {-1, 8, -2, 64}, 1}, {"k", 1, {-1, 2, -2, 64}, 0}};
  spec.outputs = {{"o", 1, {batch, constant(8), length, constant(64)}},
                  {"lse", 0, {batch, constant(8), length}}};
  spec.checks = {
      {"length", length, 1, constant(65536), "q.size(2)", "the most tokens"},
      {"blocks", length, 2, constant(16), "q.size(2)", "16"}};
  VariantSpec ptx{"sm_80", 80, 0, 0, 11080, "some PTX", {}, {}};
  ptx.steps = {launch("plain:p", {blocks, constant(1), constant(1)}, {64, 1, 1},
                      0, {addressArgument(Output, 1)})};
  VariantSpec hopper{"sm_90a", 90, 1, 1, 12030, "machine code", {}, {}};
  hopper.buffers = {apply(Mul, rows, constant(4)), constant(100),
                    apply(Mul, processors(), constant(4))};
  hopper.steps = {
      fill(buffer(Workspace, 1), 5, constant(25)),
      launch("score:ppipi", {blocks, constant(8), batch}, {128, 1, 1}, 0,
             {addressArgument(Input, 1), addressArgument(Workspace, 0),
              i32Argument(apply(Sub, length, constant(257))),
              i64Argument(stride(0, 2)), f32Argument(0.5f)}),
      launch("attend:mmpp", {constant(8), blocks, batch}, {32, 4, 3}, 100000,
             {mapArgument(q), mapArgument(o), addressArgument(Output, 1),
              addressArgument(Workspace, 2)},
             "#unitile.schedule<stages = 3>", /*overlaps=*/1),
      launch("left_out:", {apply(Sub, length, length), blocks, batch},
             {1, 1, 1}, 0, {i32Argument(constant(int64_t(1) << 40))}),
      fill(buffer(Output, 1), 0, constant(0)),
      fill(buffer(Output, 1), 9, rows),
  };
  spec.variants = {ptx, hopper};
  return spec;
}

unisparse_artifact *unisparse::runtime::read(const std::string &bytes) {
  unisparse_artifact *artifact = nullptr;
  EXPECT_EQ(unisparse_artifact_read(bytes.data(), bytes.size(), &artifact),
            UNISPARSE_OK)
      << unisparse_last_message();
  return artifact;
}

unisparse_tensor unisparse::runtime::tensor(uint64_t address,
                                            unisparse_element element,
                                            const std::vector<int64_t> &sizes) {
  unisparse_tensor result = {};
  result.data = reinterpret_cast<void *>(address);
  result.element = element;
  result.rank = sizes.size();
  int64_t stride = 1;
  for (int d = result.rank - 1; d >= 0; --d) {
    result.sizes[d] = sizes[d];
    result.strides[d] = stride;
    stride *= sizes[d];
  }
  return result;
}

void unisparse::runtime::expectFailure(unisparse_status status,
                                       unisparse_status expected,
                                       const std::vector<std::string> &facts) {
  std::string message = unisparse_last_message();
  EXPECT_STREQ(unisparse_status_name(status), unisparse_status_name(expected))
      << message;
  for (const std::string &fact : facts)
    EXPECT_NE(message.find(fact), std::string::npos)
        << "no \"" << fact << "\" in: " << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}
