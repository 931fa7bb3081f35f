// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Threads.h"
#include "../common/CommandLine.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Process.h"
#include <algorithm>
#include <cstdlib>
#include <pthread.h>
#include <vector>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::tools;

// OpenMP's runtime, which compiled code calls too. Debian's clang brings no
// omp.h of its own, so the functions are declared here.
extern "C" int omp_get_max_threads(void);
extern "C" int omp_get_thread_limit(void);
extern "C" int omp_get_num_threads(void);
extern "C" size_t kmp_get_stacksize_s(void);
extern "C" void GOMP_parallel(void (*body)(void *), void *data,
                              unsigned threads, unsigned flags);

/// More than any machine has.
static constexpr int64_t kMaxThreads = 1024;
static constexpr const char *kVariable = "OMP_NUM_THREADS";

/// What the runtime would take from the environment: the first of "8,2", one
/// for each level of nesting. It hangs or aborts over what is no such list.
static Error readVariable(std::optional<int64_t> &threads) {
  std::string text = sys::Process::GetEnv(kVariable).value_or("");
  if (StringRef(text).trim().empty())
    return Error::success(); // As if it were not there.
  SmallVector<StringRef> levels;
  StringRef(text).split(levels, ',');
  for (StringRef level : levels) {
    int64_t number;
    if (level.trim().getAsInteger(10, number) || number < 1 ||
        number > kMaxThreads)
      return usage(kVariable, "numbers from 1 to " + Twine(kMaxThreads), text);
    threads = threads.value_or(number);
  }
  return Error::success();
}

namespace {
/// Threads that do nothing, as many as are to run beside this one. They need
/// what OpenMP's would: the same stack, and a little for the runtime itself.
class Trial {
public:
  Trial() { pthread_mutex_lock(&gate); }
  ~Trial() {
    pthread_mutex_unlock(&gate);
    for (pthread_t thread : threads)
      pthread_join(thread, nullptr);
  }

  /// Starts `count` of them; 0, or why the next one did not start.
  int start(int count) {
    constexpr size_t kOfRuntime = 1 << 20;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int code = pthread_attr_setstacksize(&attributes,
                                         kmp_get_stacksize_s() + kOfRuntime);
    for (int i = 0; i < count && !code; ++i) {
      pthread_t thread;
      code = pthread_create(&thread, &attributes, &wait, &gate);
      if (!code)
        threads.push_back(thread);
    }
    pthread_attr_destroy(&attributes);
    return code;
  }
  size_t started() const { return threads.size(); }

private:
  static void *wait(void *gate) {
    auto *mutex = static_cast<pthread_mutex_t *>(gate);
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
    return nullptr;
  }

  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  std::vector<pthread_t> threads;
};
} // namespace

/// How many threads a region really has; starting one starts them.
static int countThreads(int threads) {
  int count = 1;
  // Every thread of the region writes the same number.
  GOMP_parallel(
      [](void *count) {
        __atomic_store_n(static_cast<int *>(count), omp_get_num_threads(),
                         __ATOMIC_RELAXED);
      },
      &count, threads, 0);
  return count;
}

Expected<int> run::startThreads(std::optional<int64_t> asked) {
  StringRef subject = asked ? "--threads" : kVariable;
  if (asked.value_or(1) > kMaxThreads)
    return failure(subject, "expected at most " + Twine(kMaxThreads) +
                                ", got " + Twine(*asked));
  if (!asked)
    if (Error e = readVariable(asked))
      return std::move(e);
  // From here on the runtime reads its variables. It would warn in lines of
  // its own.
  if (asked)
    setenv(kVariable, std::to_string(*asked).c_str(), /*overwrite=*/1);
  else
    unsetenv(kVariable);
  setenv("KMP_WARNINGS", "0", /*overwrite=*/0);
  int threads = std::min(omp_get_max_threads(), omp_get_thread_limit());
  {
    Trial trial;
    if (int code = trial.start(threads - 1))
      return failure(subject,
                     "expected a number of threads that can be started, at "
                     "most " +
                         Twine(trial.started() + 1) + " here, got " +
                         Twine(threads) + " (" +
                         std::generic_category().message(code) + ")");
  }
  return countThreads(threads);
}
