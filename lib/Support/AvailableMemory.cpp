// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Support/AvailableMemory.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <algorithm>
#include <optional>
#include <sys/resource.h>

using namespace llvm;
using namespace unisparse;

/// A file of /proc or /sys, whose size is not known before it is read; empty
/// where there is none.
static std::unique_ptr<MemoryBuffer> readText(const Twine &path) {
  auto text = MemoryBuffer::getFileAsStream(path);
  return text ? std::move(*text) : MemoryBuffer::getMemBuffer("");
}

/// The number behind `name` in lines such as "MemAvailable:  123 kB".
static std::optional<uint64_t> findField(const MemoryBuffer &text,
                                         StringRef name) {
  for (line_iterator line(text.getMemBufferRef()); !line.is_at_eof(); ++line) {
    StringRef rest = *line;
    uint64_t value;
    if (!rest.consume_front(name))
      continue;
    bool kilobytes = rest.consume_back("kB");
    if (!rest.trim().getAsInteger(10, value))
      return kilobytes ? value * 1024 : value;
  }
  return std::nullopt;
}

static uint64_t difference(uint64_t limit, uint64_t used) {
  return limit > used ? limit - used : 0;
}

/// A group's limit less what it uses; pages of files count as used, but go
/// where memory is asked for.
static uint64_t leftOf(StringRef folder, StringRef limitFile,
                       StringRef usedFile) {
  uint64_t limit, used;
  // "max" is no number: no limit.
  if (readText(folder + "/" + limitFile)
          ->getBuffer()
          .trim()
          .getAsInteger(10, limit) ||
      readText(folder + "/" + usedFile)
          ->getBuffer()
          .trim()
          .getAsInteger(10, used))
    return UINT64_MAX;
  auto statistics = readText(folder + "/memory.stat");
  for (StringRef name : {"total_inactive_file ", "inactive_file "})
    if (auto files = findField(*statistics, name)) {
      used = difference(used, *files);
      break;
    }
  return difference(limit, used);
}

/// The least that a group and those above it leave. Inside a container the
/// group's path may be the host's, which is not there: then what counts is the
/// root of the mount.
static uint64_t leftOfAll(StringRef root, StringRef path, StringRef limit,
                          StringRef used) {
  uint64_t left = leftOf(root, limit, used);
  for (path = path.trim('/'); !path.empty();
       path = sys::path::parent_path(path, sys::path::Style::posix)) {
    SmallString<128> folder(root);
    sys::path::append(folder, path);
    left = std::min(left, leftOf(folder, limit, used));
  }
  return left;
}

uint64_t unisparse::readControlGroups(StringRef groups, StringRef root) {
  uint64_t left = UINT64_MAX;
  SmallVector<StringRef> lines;
  groups.split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (StringRef line : lines) { // "4:memory:/path", or "0::/path" of version 2
    StringRef kinds = line.split(':').second.split(':').first;
    StringRef path = line.split(':').second.split(':').second;
    if (kinds.empty())
      left =
          std::min(left, leftOfAll(root, path, "memory.max", "memory.current"));
    SmallVector<StringRef> names;
    kinds.split(names, ',');
    if (is_contained(names, "memory"))
      left = std::min(left, leftOfAll((root + "/memory").str(), path,
                                      "memory.limit_in_bytes",
                                      "memory.usage_in_bytes"));
  }
  return left;
}

AvailableMemory unisparse::readAvailableMemory() {
  AvailableMemory memory;
  auto bound = [&](uint64_t bytes, StringRef name) {
    if (bytes < memory.bytes)
      memory = {bytes, name};
  };
  if (auto bytes = findField(*readText("/proc/meminfo"), "MemAvailable:"))
    bound(*bytes, "physical memory");
  auto status = readText("/proc/self/status");
  for (auto [resource, field, name] :
       {std::tuple{RLIMIT_AS, "VmSize:", "the limit of address space"},
        {RLIMIT_DATA, "VmData:", "the limit of data"}}) {
    rlimit limit;
    if (getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY)
      continue;
    bound(difference(limit.rlim_cur, findField(*status, field).value_or(0)),
          name);
  }
  bound(readControlGroups(readText("/proc/self/cgroup")->getBuffer(),
                          "/sys/fs/cgroup"),
        "the control group");
  return memory;
}
