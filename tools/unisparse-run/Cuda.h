// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Runs artifacts on a GPU through the runtime's C interface, as any host would.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_CUDA_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_CUDA_H

#include "Driver.h"
#include "Execute.h"
#include "Report.h"
#include "Returns.h"
#include "unisparse-rt/unisparse.h"

namespace unisparse::run {

/// An artifact, and once it is loaded, on a device.
class DeviceProgram {
public:
  /// Reads an artifact, without a device; `source` is what messages call it.
  static llvm::Expected<std::unique_ptr<DeviceProgram>>
  read(llvm::StringRef bytes, llvm::StringRef source);
  ~DeviceProgram();

  /// What it returns, as far as the artifact alone says.
  llvm::SmallVector<ReturnedType> returnedTypes() const;
  llvm::Error load(Device &device);

  /// The chip whose kernels the runtime chose.
  llvm::StringRef chip() const { return unisparse_program_chip(program); }
  /// Of each kernel that has one, its schedule: #unitile.schedule<...>, ...
  std::vector<KernelSchedule> schedules() const;
  /// Device memory of the last run: inputs, outputs, workspace.
  size_t bytes() const { return memoryBytes; }

  /// Copies the inputs there, runs, and copies the outputs back, once their
  /// sizes are known to be what the inputs make them. The time is the device's,
  /// without the copies.
  llvm::Expected<Outputs> run(const Options &o, const Inputs &in,
                              Timing &timing);

private:
  struct Call;

  explicit DeviceProgram(llvm::StringRef source) : source(source) {}
  llvm::Error check(unisparse_status status) const;
  llvm::Error copyInputs(const Inputs &in, Call &call);
  llvm::Error allocate(Call &call);
  llvm::Expected<Outputs> copyOutputs(const Call &call) const;

  Device *device = nullptr;
  std::string source;
  unisparse_artifact *artifact = nullptr;
  unisparse_program *program = nullptr;
  size_t memoryBytes = 0;
};

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_CUDA_H
