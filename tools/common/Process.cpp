// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Process.h"
#include "CommandLine.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <new>
#include <unistd.h>

using namespace llvm;
using namespace unisparse;

/// Of the tool, for messages; a literal.
static StringRef toolName = "unisparse";

void tools::endProcess(StringRef message) {
  static std::atomic_flag spoken = ATOMIC_FLAG_INIT;
  if (spoken.test_and_set())
    while (true)
      pause(); // Another thread is ending the process.
  errs() << toolName << ": ";
  printOneLine(errs(), message);
  sys::RunInterruptHandlers(); // Removes temporary files.
  _exit(1);
}

void tools::endWithoutMemory(size_t bytes) {
  char text[96];
  if (bytes)
    snprintf(text, sizeof(text), "memory: expected %zu bytes, got none", bytes);
  else
    snprintf(text, sizeof(text), "memory: expected more of it, got none");
  endProcess(text);
}

/// Whether the process started without a standard output.
static bool outputClosed = false;

Error tools::checkOutputStream() {
  if (!outputClosed)
    return Error::success();
  return createStringError("stdout: expected an open file, got a closed one");
}

/// Runs before stdout's stream is destroyed, which would end the process in
/// LLVM's own words; --help and --version end it without the tool's doing.
static void closeOutput() {
  outs().flush();
  std::error_code error = outs().error();
  outs().clear_error();
  if (outputClosed && outs().tell())
    error = std::make_error_code(std::errc::bad_file_descriptor);
  if (error)
    tools::endProcess("stdout: expected to take all that is written, got " +
                      error.message());
}

void tools::startProcess(StringRef tool) {
  toolName = tool;
  outputClosed = fcntl(STDOUT_FILENO, F_GETFD) < 0;
  // Numbers of closed streams are not to be a file's that is opened later.
  std::error_code ignored = sys::Process::FixupStandardFileDescriptors();
  (void)ignored;
  std::set_new_handler([] { endWithoutMemory(0); });
  install_bad_alloc_error_handler(
      [](void *, const char *, bool) { endWithoutMemory(0); });
  install_fatal_error_handler(
      [](void *, const char *reason, bool) { endProcess(reason); });
  outs(); // Made before the handler is, it is destroyed behind it.
  std::atexit(closeOutput);
}
