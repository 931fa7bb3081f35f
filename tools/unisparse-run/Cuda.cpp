// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Cuda.h"
#include <cstdlib>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

namespace {
/// NaN around the data, a page and more (P3); keeps 256-byte alignment.
constexpr size_t kGuard = 8192;

unisparse_element elementOf(DType dtype) {
  switch (dtype) {
  case DType::F16:
    return UNISPARSE_F16;
  case DType::BF16:
    return UNISPARSE_BF16;
  case DType::I32:
    return UNISPARSE_I32;
  default:
    return UNISPARSE_F32;
  }
}

DType dtypeOf(unisparse_element element) {
  static constexpr DType types[] = {DType::F32, DType::F16, DType::BF16,
                                    DType::I32};
  return types[element];
}

/// Contiguous; the address is filled in once there is one.
unisparse_tensor describe(const Tensor &t) {
  unisparse_tensor d = {};
  d.element = elementOf(t.dtype);
  d.rank = t.shape.size();
  int64_t stride = 1;
  for (int32_t i = d.rank; i-- > 0;) {
    d.sizes[i] = t.shape[i];
    d.strides[i] = stride;
    stride *= t.shape[i];
  }
  return d;
}

size_t bytesOf(const unisparse_tensor &t) {
  return product(ArrayRef(t.sizes, t.rank)) * getDTypeSize(dtypeOf(t.element));
}
} // namespace

/// One run's tensors and the memory behind them.
struct DeviceProgram::Call {
  SmallVector<unisparse_tensor> inputs, outputs;
  std::vector<DeviceMemory> memory; ///< Of inputs, then of outputs.
  DeviceMemory workspace;
  size_t workspaceBytes = 0;
};

Error DeviceProgram::check(unisparse_status status) const {
  if (status == UNISPARSE_OK)
    return Error::success();
  return failure(source, unisparse_last_message());
}

Expected<std::unique_ptr<DeviceProgram>> DeviceProgram::read(StringRef bytes,
                                                             StringRef source) {
  std::unique_ptr<DeviceProgram> program(new DeviceProgram(source));
  if (Error e = program->check(unisparse_artifact_read(
          bytes.data(), bytes.size(), &program->artifact)))
    return std::move(e);
  return std::move(program);
}

Error DeviceProgram::load(Device &where) {
  device = &where;
  return check(unisparse_program_load(artifact, where.number(), &program));
}

static ReturnedType returnedType(unisparse_element element,
                                 ArrayRef<int64_t> sizes) {
  ReturnedType type;
  type.dtype = dtypeOf(element);
  type.shape.assign(sizes.begin(), sizes.end());
  type.text = (getDTypeName(*type.dtype) + shapeText(sizes)).str();
  return type;
}

SmallVector<ReturnedType> DeviceProgram::returnedTypes() const {
  SmallVector<ReturnedType> types;
  unisparse_signature s;
  for (int32_t i = 0; i < unisparse_artifact_outputs(artifact); ++i)
    // The number is one of the artifact's.
    if (unisparse_artifact_output(artifact, i, &s) == UNISPARSE_OK)
      types.push_back(returnedType(s.element, ArrayRef(s.sizes, s.rank)));
  return types;
}

DeviceProgram::~DeviceProgram() {
  unisparse_program_free(program);
  unisparse_artifact_free(artifact);
}

std::vector<KernelSchedule> DeviceProgram::schedules() const {
  std::vector<KernelSchedule> schedules;
  unisparse_kernel kernel;
  for (int32_t i = 0; i < unisparse_program_kernels(program); ++i) {
    // The number is one of the program's.
    if (unisparse_program_kernel(program, i, &kernel) != UNISPARSE_OK)
      break;
    bool known = any_of(schedules, [&](const KernelSchedule &other) {
      return other.kernel == kernel.name;
    });
    if (*kernel.schedule && !known)
      schedules.push_back({kernel.name, kernel.schedule});
  }
  return schedules;
}

Error DeviceProgram::copyInputs(const Inputs &in, Call &call) {
  for (const Tensor *t : in.arguments()) {
    auto memory = DeviceMemory::allocate(*device, t->numBytes(),
                                         in.poisoned ? kGuard : 0);
    if (!memory)
      return memory.takeError();
    if (Error e = memory->copyFrom(t->bytes(), t->numBytes()))
      return e;
    call.inputs.push_back(describe(*t));
    call.inputs.back().data = memory->data();
    call.memory.push_back(std::move(*memory));
    memoryBytes += t->numBytes();
  }
  return Error::success();
}

/// Outputs and workspace, as the runtime says they are.
Error DeviceProgram::allocate(Call &call) {
  call.outputs.resize(unisparse_artifact_outputs(artifact));
  if (Error e = check(unisparse_program_prepare(
          program, call.inputs.data(), call.inputs.size(), call.outputs.data(),
          call.outputs.size(), &call.workspaceBytes)))
    return e;
  for (unisparse_tensor &output : call.outputs) {
    auto memory = DeviceMemory::allocate(*device, bytesOf(output));
    if (!memory)
      return memory.takeError();
    output.data = memory->data();
    call.memory.push_back(std::move(*memory));
    memoryBytes += bytesOf(output);
  }
  memoryBytes += call.workspaceBytes;
  return DeviceMemory::allocate(*device, call.workspaceBytes)
      .moveInto(call.workspace);
}

Expected<Outputs> DeviceProgram::copyOutputs(const Call &call) const {
  Outputs outputs;
  for (auto [i, output] : enumerate(call.outputs)) {
    Result r;
    r.dtype = dtypeOf(output.element);
    r.shape.assign(output.sizes, output.sizes + output.rank);
    void *host = std::malloc(std::max<size_t>(1, r.numBytes()));
    if (!host)
      report_bad_alloc_error("result");
    r.storage = {host, std::free};
    r.data = static_cast<char *>(host);
    if (Error e =
            call.memory[call.inputs.size() + i].copyTo(host, r.numBytes()))
      return std::move(e);
    Result *place =
        outputs.placeOf(output.rank, output.element == UNISPARSE_I32);
    if (place && !place->data)
      *place = std::move(r);
  }
  return std::move(outputs);
}

Expected<Outputs> DeviceProgram::run(const Options &o, const Inputs &in,
                                     Timing &timing) {
  Call call;
  memoryBytes = 0;
  if (Error e = copyInputs(in, call))
    return std::move(e);
  if (Error e = allocate(call))
    return std::move(e);
  SmallVector<ReturnedType> types;
  for (const unisparse_tensor &t : call.outputs)
    types.push_back(returnedType(t.element, ArrayRef(t.sizes, t.rank)));
  if (Error e = checkReturns(source, types, o, in).takeError())
    return std::move(e);
  if (Error e = device->begin())
    return std::move(e);
  if (Error e = check(unisparse_program_launch(
          program, call.inputs.data(), call.inputs.size(), call.outputs.data(),
          call.outputs.size(), call.workspace.data(), call.workspaceBytes,
          device->stream())))
    return std::move(e);
  if (Error e = device->end())
    return std::move(e);
  Expected<double> seconds = device->elapsed();
  if (!seconds)
    return seconds.takeError();
  timing.total = *seconds;
  return copyOutputs(call);
}
