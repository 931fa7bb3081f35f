// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The few calls of NVIDIA's driver that a host of the runtime makes itself:
// memory, a stream, events. libcuda is opened when a device is, so the tool
// runs without one.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_DRIVER_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_DRIVER_H

#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <string>

namespace unisparse::run {

struct DriverCalls;

/// A device with its primary context current, and a stream.
class Device {
public:
  static llvm::Expected<std::unique_ptr<Device>> open(int64_t number);
  ~Device();

  int number() const { return ordinal; }
  const std::string &name() const { return deviceName; }
  /// 10 * major + minor
  int64_t capability() const { return computeCapability; }
  void *stream() const { return queue; }

  /// Marks the beginning and the end of what is timed on the stream.
  llvm::Error begin();
  llvm::Error end();
  /// Waits for the stream; seconds between the two marks.
  llvm::Expected<double> elapsed();

private:
  friend class DeviceMemory;
  Device() = default;
  llvm::Error start(int64_t number);
  llvm::Error check(int status, const char *call) const;

  std::unique_ptr<DriverCalls> calls;
  int ordinal = 0, handle = 0;
  std::string deviceName;
  int64_t computeCapability = 0;
  void *context = nullptr, *queue = nullptr;
  void *marks[2] = {};
};

/// Memory of a device, with `guard` bytes of NaN or -1 on either side.
class DeviceMemory {
public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory &&other) { *this = std::move(other); }
  DeviceMemory &operator=(DeviceMemory &&other) {
    std::swap(device, other.device);
    std::swap(address, other.address);
    std::swap(guard, other.guard);
    return *this;
  }
  ~DeviceMemory();

  static llvm::Expected<DeviceMemory> allocate(Device &device, size_t bytes,
                                               size_t guard = 0);
  void *data() const { return reinterpret_cast<void *>(address + guard); }
  llvm::Error copyFrom(const void *host, size_t bytes);
  llvm::Error copyTo(void *host, size_t bytes) const;

private:
  Device *device = nullptr;
  uint64_t address = 0;
  size_t guard = 0;
};

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_DRIVER_H
