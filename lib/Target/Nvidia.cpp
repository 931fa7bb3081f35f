// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Target/Nvidia.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace unisparse;

static constexpr int64_t kKiB = 1024;

static constexpr NvidiaChip kChips[] = {
    {"sm_80", "+ptx80", 163 * kKiB, 208, false},
    {"sm_86", "+ptx80", 99 * kKiB, 208, false},
    {"sm_89", "+ptx80", 99 * kKiB, 208, false},
    {"sm_90", "+ptx80", 227 * kKiB, 208, false},
    {"sm_90a", "+ptx80", 227 * kKiB, 208, true},
    {"sm_100a", "+ptx86", 227 * kKiB, 172, false},
    {"sm_120", "+ptx87", 99 * kKiB, 172, false},
};

int64_t NvidiaChip::capability() const {
  llvm::StringRef digits = name.drop_front(llvm::StringRef("sm_").size());
  int64_t number = 0;
  digits.consumeInteger(10, number);
  return number;
}

/// PTX ISA, "Release Notes": the release table.
static constexpr std::pair<int64_t, int64_t> kDrivers[] = {
    {80, 12000}, {81, 12010}, {82, 12020}, {83, 12030}, {84, 12040},
    {85, 12050}, {86, 12070}, {87, 12080}, {88, 12090}, {90, 13000},
};

int64_t unisparse::leastDriverOf(int64_t ptxVersion) {
  const auto *row = llvm::find_if(
      kDrivers, [&](const auto &r) { return r.first == ptxVersion; });
  return row == std::end(kDrivers) ? 0 : row->second;
}

llvm::ArrayRef<NvidiaChip> unisparse::nvidiaChips() { return kChips; }

const NvidiaChip *unisparse::findNvidiaChip(llvm::StringRef name) {
  const NvidiaChip *chip = llvm::find_if(
      kChips, [&](const NvidiaChip &c) { return c.name == name; });
  return chip == std::end(kChips) ? nullptr : chip;
}

mlir::FailureOr<const NvidiaChip *> unisparse::requireNvidiaChip(
    llvm::StringRef name,
    llvm::function_ref<mlir::InFlightDiagnostic()> emitError) {
  if (const NvidiaChip *chip = findNvidiaChip(name))
    return chip;
  return emitError() << "expected a chip among " << nvidiaChipNames()
                     << ", got '" << name << "'";
}

std::string unisparse::nvidiaChipNames() {
  return llvm::join(
      llvm::map_range(kChips, [](auto &chip) { return chip.name; }), ", ");
}

const NvidiaChip *unisparse::nvidiaChipFor(int64_t capability) {
  const NvidiaChip *best = nullptr;
  for (const NvidiaChip &chip : kChips) {
    bool runs = chip.isExact() ? chip.capability() == capability
                               : chip.capability() <= capability;
    // The later of two of one capability is the exact one.
    if (runs && (!best || chip.capability() >= best->capability()))
      best = &chip;
  }
  return best;
}
