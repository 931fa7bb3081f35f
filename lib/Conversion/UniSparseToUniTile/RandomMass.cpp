// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RandomMass.h"

using namespace unisparse;

/// 2^32 over the golden ratio: neighbours end far apart.
static constexpr uint32_t kStep = 0x9E3779B9;

static Value bits(PageBuilder &p, uint32_t value) {
  return p.i32(static_cast<int32_t>(value));
}

static Value mix(PageBuilder &p, Value x) {
  for (auto [shift, factor] : {std::pair<uint32_t, uint32_t>{16, 0x85EBCA6B},
                               {13, 0xC2B2AE35},
                               {16, 1}}) {
    Value high = arith::ShRUIOp::create(p.b, x, bits(p, shift));
    x = p.mul(arith::XOrIOp::create(p.b, x, high).getResult(), bits(p, factor));
  }
  return x;
}

Value unisparse::randomRow(PageBuilder &p, int64_t seed, Value unit,
                           Value row) {
  Value first = p.add(bits(p, static_cast<uint32_t>(seed)),
                      p.mul(p.add(unit, 1), bits(p, kStep)));
  return mix(p, arith::XOrIOp::create(p.b, mix(p, first), row));
}

Value unisparse::randomMass(PageBuilder &p, Value row, Value j) {
  return mix(p, arith::XOrIOp::create(p.b, row, p.mul(j, bits(p, kStep))));
}
