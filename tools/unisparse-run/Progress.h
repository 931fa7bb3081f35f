// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A line on the terminal for what takes more than two seconds.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_PROGRESS_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_PROGRESS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace unisparse::run {

/// While it lives, and after two seconds, says on stderr what goes on and for
/// how long; nothing where stderr is no terminal. The line is wiped at the end.
class Progress {
public:
  explicit Progress(llvm::StringRef what) : what(what) {
    if (llvm::sys::Process::StandardErrIsDisplayed())
      thread = std::thread([this] { tick(); });
  }

  ~Progress() {
    if (!thread.joinable())
      return;
    {
      std::lock_guard<std::mutex> lock(mutex);
      done = true;
    }
    wake.notify_all();
    thread.join();
  }

  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

private:
  void tick() {
    using namespace std::chrono;
    std::unique_lock<std::mutex> lock(mutex);
    auto start = steady_clock::now();
    auto next = start + seconds(2);
    bool shown = false;
    while (!wake.wait_until(lock, next, [this] { return done; })) {
      auto passed = duration_cast<seconds>(steady_clock::now() - start);
      llvm::errs() << "\r" << what << " ... " << passed.count() << " s";
      shown = true;
      next += seconds(1);
    }
    if (shown)
      llvm::errs() << "\r\033[K";
  }

  std::string what;
  std::thread thread;
  std::mutex mutex;
  std::condition_variable wake;
  bool done = false;
};

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_PROGRESS_H
