// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RandomMass.h"

using namespace unisparse::loops;

static Value bits(Emit &e, uint32_t value) {
  return arith::ConstantIntOp::create(e.b, static_cast<int32_t>(value), 32);
}

/// 2^32 over the golden ratio: neighbours end far apart.
static constexpr uint32_t kStep = 0x9E3779B9;

static Value mix(Emit &e, Value x) {
  for (auto [shift, factor] : {std::pair<uint32_t, uint32_t>{16, 0x85EBCA6B},
                               {13, 0xC2B2AE35},
                               {16, 1}}) {
    Value high = arith::ShRUIOp::create(e.b, x, bits(e, shift));
    x = arith::MulIOp::create(e.b, arith::XOrIOp::create(e.b, x, high),
                              bits(e, factor));
  }
  return x;
}

/// `value` times kStep, modulo 2^32.
static Value stepped(Emit &e, Value value) {
  return arith::MulIOp::create(e.b, e.toI32(value), bits(e, kStep));
}

Value unisparse::loops::randomRow(Emit &e, int64_t seed, Value unit,
                                  Value row) {
  Value first = arith::AddIOp::create(e.b, bits(e, static_cast<uint32_t>(seed)),
                                      stepped(e, e.add(unit, 1)));
  Value x = mix(e, first);
  return mix(e, arith::XOrIOp::create(e.b, x, e.toI32(row)));
}

Value unisparse::loops::randomMass(Emit &e, Value row, Value j) {
  Value x = mix(e, arith::XOrIOp::create(e.b, row, stepped(e, j)));
  Type f64 = e.b.getF64Type();
  Value mass = arith::UIToFPOp::create(e.b, f64, x);
  Value scale = arith::ConstantOp::create(e.b, e.b.getFloatAttr(f64, 0x1p-32));
  return e.mulF(mass, scale);
}
