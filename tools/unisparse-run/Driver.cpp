// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Driver.h"
#include "Options.h"
#include "llvm/Support/DynamicLibrary.h"
#include "llvm/Support/Process.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

/// Signatures as in the CUDA driver API's reference; handles are pointers.
struct run::DriverCalls {
  int (*init)(unsigned);
  int (*getErrorString)(int, const char **);
  int (*deviceGetCount)(int *);
  int (*deviceGet)(int *, int);
  int (*deviceGetName)(char *, int, int);
  int (*deviceGetAttribute)(int *, int, int);
  int (*primaryCtxRetain)(void **, int);
  int (*primaryCtxRelease)(int);
  int (*ctxSetCurrent)(void *);
  int (*memAlloc)(uint64_t *, size_t);
  int (*memFree)(uint64_t);
  int (*memset)(uint64_t, unsigned char, size_t);
  int (*copyToDevice)(uint64_t, const void *, size_t);
  int (*copyToHost)(void *, uint64_t, size_t);
  int (*streamCreate)(void **, unsigned);
  int (*streamDestroy)(void *);
  int (*streamSynchronize)(void *);
  int (*eventCreate)(void **, unsigned);
  int (*eventDestroy)(void *);
  int (*eventRecord)(void *, void *);
  int (*eventElapsedTime)(float *, void *, void *);
};

static constexpr int kMajor = 75, kMinor = 76; // CU_DEVICE_ATTRIBUTE_...

static Error noDevice(const Twine &expected, const Twine &got) {
  return failure("--target=cuda", "expected " + expected + ", got " + got);
}

static Error load(DriverCalls &c) {
  std::string error;
  // As in the runtime: tests put a driver of their own there.
  std::string name =
      sys::Process::GetEnv("UNISPARSE_LIBCUDA").value_or("libcuda.so.1");
  auto library = sys::DynamicLibrary::getPermanentLibrary(name.c_str(), &error);
  if (!library.isValid())
    return noDevice("NVIDIA's driver on this machine", error);
  StringRef missing;
  auto find = [&](auto &call, const char *symbol) {
    void *address = library.getAddressOfSymbol(symbol);
    call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(address);
    if (!address)
      missing = symbol;
  };
  find(c.init, "cuInit");
  find(c.getErrorString, "cuGetErrorString");
  find(c.deviceGetCount, "cuDeviceGetCount");
  find(c.deviceGet, "cuDeviceGet");
  find(c.deviceGetName, "cuDeviceGetName");
  find(c.deviceGetAttribute, "cuDeviceGetAttribute");
  find(c.primaryCtxRetain, "cuDevicePrimaryCtxRetain");
  find(c.primaryCtxRelease, "cuDevicePrimaryCtxRelease_v2");
  find(c.ctxSetCurrent, "cuCtxSetCurrent");
  find(c.memAlloc, "cuMemAlloc_v2");
  find(c.memFree, "cuMemFree_v2");
  find(c.memset, "cuMemsetD8_v2");
  find(c.copyToDevice, "cuMemcpyHtoD_v2");
  find(c.copyToHost, "cuMemcpyDtoH_v2");
  find(c.streamCreate, "cuStreamCreate");
  find(c.streamDestroy, "cuStreamDestroy_v2");
  find(c.streamSynchronize, "cuStreamSynchronize");
  find(c.eventCreate, "cuEventCreate");
  find(c.eventDestroy, "cuEventDestroy_v2");
  find(c.eventRecord, "cuEventRecord");
  find(c.eventElapsedTime, "cuEventElapsedTime");
  return missing.empty() ? Error::success()
                         : noDevice("a driver with " + missing, "one without");
}

Error Device::check(int status, const char *call) const {
  if (!status)
    return Error::success();
  const char *text = nullptr;
  calls->getErrorString(status, &text);
  return failure("device " + Twine(ordinal),
                 Twine(call) + ": " + (text ? text : "unknown error"));
}

Error Device::start(int64_t number) {
  calls = std::make_unique<DriverCalls>();
  if (Error e = load(*calls))
    return e;
  DriverCalls &c = *calls;
  int count = 0;
  // The driver is there, but no device that it drives.
  if (c.init(0) || c.deviceGetCount(&count) || !count)
    return noDevice("an NVIDIA GPU", "none");
  if (number < 0 || number >= count)
    return failure("--device", "expected 0 to " + Twine(count - 1) + ", got " +
                                   Twine(number));
  ordinal = number;
  char text[256] = {};
  int major = 0, minor = 0;
  if (Error e = check(c.deviceGet(&handle, ordinal), "cuDeviceGet"))
    return e;
  if (Error e = check(c.deviceGetName(text, sizeof(text) - 1, handle),
                      "cuDeviceGetName"))
    return e;
  for (auto [value, attribute] : {std::pair{&major, kMajor}, {&minor, kMinor}})
    if (Error e = check(c.deviceGetAttribute(value, attribute, handle),
                        "cuDeviceGetAttribute"))
      return e;
  deviceName = text;
  computeCapability = 10 * major + minor;
  if (Error e = check(c.primaryCtxRetain(&context, handle),
                      "cuDevicePrimaryCtxRetain"))
    return e;
  if (Error e = check(c.ctxSetCurrent(context), "cuCtxSetCurrent"))
    return e;
  // Not a non-blocking one: it has to wait for copies out of pageable memory,
  // which return before they have arrived.
  if (Error e = check(c.streamCreate(&queue, 0), "cuStreamCreate"))
    return e;
  for (void *&mark : marks)
    if (Error e = check(c.eventCreate(&mark, 0), "cuEventCreate"))
      return e;
  return Error::success();
}

Expected<std::unique_ptr<Device>> Device::open(int64_t number) {
  std::unique_ptr<Device> device(new Device);
  if (Error e = device->start(number))
    return std::move(e);
  return std::move(device);
}

Device::~Device() {
  for (void *mark : marks)
    if (mark)
      calls->eventDestroy(mark);
  if (queue)
    calls->streamDestroy(queue);
  if (context)
    calls->primaryCtxRelease(handle);
}

Error Device::begin() {
  return check(calls->eventRecord(marks[0], queue), "cuEventRecord");
}

Error Device::end() {
  return check(calls->eventRecord(marks[1], queue), "cuEventRecord");
}

Expected<double> Device::elapsed() {
  if (Error e = check(calls->streamSynchronize(queue), "cuStreamSynchronize"))
    return std::move(e);
  float milliseconds = 0;
  if (Error e =
          check(calls->eventElapsedTime(&milliseconds, marks[0], marks[1]),
                "cuEventElapsedTime"))
    return std::move(e);
  return milliseconds * 1e-3;
}

DeviceMemory::~DeviceMemory() {
  if (address)
    device->calls->memFree(address);
}

Expected<DeviceMemory> DeviceMemory::allocate(Device &device, size_t bytes,
                                              size_t guard) {
  DeviceMemory memory;
  memory.device = &device;
  memory.guard = guard;
  size_t all = bytes + 2 * guard;
  if (Error e = device.check(
          device.calls->memAlloc(&memory.address, std::max<size_t>(all, 1)),
          "cuMemAlloc"))
    return std::move(e);
  if (guard)
    if (Error e = device.check(device.calls->memset(memory.address, 0xff, all),
                               "cuMemsetD8"))
      return std::move(e);
  return std::move(memory);
}

Error DeviceMemory::copyFrom(const void *host, size_t bytes) {
  if (!bytes)
    return Error::success();
  return device->check(
      device->calls->copyToDevice(address + guard, host, bytes),
      "cuMemcpyHtoD");
}

Error DeviceMemory::copyTo(void *host, size_t bytes) const {
  if (!bytes)
    return Error::success();
  return device->check(device->calls->copyToHost(host, address + guard, bytes),
                       "cuMemcpyDtoH");
}
