// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Sample.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Endian.h"

using namespace llvm;
using namespace unisparse::artifact;
using namespace unisparse::artifact::test;

Expr test::lengthOfQ() { return {{TermOp::Symbol, 1}}; }

static Argument number(Argument::Kind kind, Expr expr) {
  Argument a;
  a.kind = kind;
  a.expr = std::move(expr);
  return a;
}

Argument test::mapOfQ() {
  Argument a;
  a.kind = Argument::Kind::Map;
  a.map.buffer = {BufferKind::Input, 0};
  a.map.element = Element::BF16;
  a.map.sizes = {constant(128), lengthOfQ()};
  a.map.strides = {{{TermOp::Stride, 2}}};
  a.map.box = {64, 128};
  a.map.swizzle = Swizzle::B128;
  return a;
}

Artifact test::everything() {
  Artifact a;
  a.producer = "a test";
  a.entry = "main";
  a.symbols = {"q.size(0)", "q.size(2)"};
  a.inputs = {
      {"q", Element::BF16, {-1, 32, -2, 128}, Layout::Rows},
      {"counts", Element::I32, {-1, 32}, Layout::Contiguous},
  };
  a.outputs = {
      {"o", Element::F16, {{{TermOp::Symbol, 0}}, constant(32)}, Layout::Rows},
      {"scalar", Element::F32, {}}};
  a.checks = {{"I7", lengthOfQ(), Relation::LessEqual, constant(1 << 20),
               "the length of q", "a million"}};
  Step fill;
  fill.kind = Step::Kind::Fill;
  fill.buffer = {BufferKind::Output, 1};
  fill.word = 0xff800000;
  fill.words = constant(1);
  Step launch;
  launch.kernel = "attend";
  launch.schedule = "#unitile.tiles<rows = 128, keys = 64>";
  launch.grid = {combine(TermOp::CeilDiv, lengthOfQ(), constant(128)),
                 constant(32), Expr{{TermOp::Device, 0}}};
  launch.block = {256, 1, 1};
  launch.sharedBytes = 49152;
  launch.overlaps = true;
  Argument address, scale;
  address.buffer = {BufferKind::Workspace, 0};
  scale.kind = Argument::Kind::F32;
  scale.bits = 0x3e000000;
  launch.arguments = {address,
                      number(Argument::Kind::I32, lengthOfQ()),
                      number(Argument::Kind::I64, {{TermOp::Stride, 1}}),
                      scale,
                      mapOfQ(),
                      number(Argument::Kind::I64,
                             {{TermOp::Stride, kStrideBase * kMaxTensors}})};
  Variant v;
  v.chip = "sm_90a";
  v.capability = 90;
  v.exact = true;
  v.leastDriver = 12000;
  v.image = StringRef(".version 8.0\0\xff", 14).str();
  v.workspace = {combine(TermOp::Mul, constant(4), lengthOfQ())};
  v.steps = {fill, launch};
  a.variants = {v, v};
  a.variants[1].chip = "sm_80";
  a.variants[1].exact = false;
  a.variants[1].kind = ImageKind::MachineCode;
  return a;
}

std::string test::fileOf(StringRef body) {
  std::string file = write(Artifact()).substr(0, kHeaderBytes);
  support::endian::write32le(&file[12], crc32(arrayRefFromStringRef(body)));
  support::endian::write64le(&file[16], body.size());
  return file + body.str();
}
