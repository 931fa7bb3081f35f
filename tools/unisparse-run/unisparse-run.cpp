// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse-run: block-sparse attention on the q, k, v of a file.
#include "Compile.h"
#include "Cuda.h"
#include "Execute.h"
#include "Options.h"
#include "Progress.h"
#include "Report.h"
#include "Tensors.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/InitAll.h"
#include "unisparse/Target/Nvidia.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"
#include <functional>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;
using tools::checkWritable;

namespace {

double medianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Timing medianOf(const std::vector<Timing> &runs) {
  Timing median;
  auto pick = [&](auto get) {
    std::vector<double> values;
    for (const Timing &t : runs)
      values.push_back(get(t));
    return medianOf(values);
  };
  median.total = pick([](const Timing &t) { return t.total; });
  for (int i = 0; i < UNISPARSE_STAGE_COUNT; ++i)
    median.stages.seconds[i] =
        pick([i](const Timing &t) { return t.stages.seconds[i]; });
  return median;
}

/// One run of a function, wherever it runs.
using Run = std::function<Expected<Outputs>(Timing &)>;

/// Runs a function --repeat times; the outputs are the last run's.
Expected<Outputs> repeat(const Options &o, const Run &run, StringRef what,
                         std::vector<Timing> &runs) {
  Progress progress(what);
  Outputs outputs;
  for (int64_t i = 0; i < o.repeat; ++i) {
    Timing timing;
    outputs = Outputs(); // The last run's results make room for the next's.
    Expected<Outputs> result = run(timing);
    if (!result)
      return result.takeError();
    outputs = std::move(*result);
    runs.push_back(timing);
  }
  return std::move(outputs);
}

Expected<Comparison> compareWithDense(const Options &o, const Run &run,
                                      const Outputs &out, double seconds) {
  std::vector<Timing> runs;
  Expected<Outputs> dense = repeat(o, run, "dense attention", runs);
  if (!dense)
    return dense.takeError();
  Comparison c = compareOutputs(out.o, dense->o);
  c.denseSeconds = medianOf(runs).total;
  c.speedup = c.denseSeconds / seconds;
  return c;
}

/// Memory that the system can give, or no bound where it does not say.
int64_t availableBytes() {
  auto text = MemoryBuffer::getFileAsStream("/proc/meminfo");
  if (!text)
    return INT64_MAX;
  for (line_iterator line(**text); !line.is_at_eof(); ++line) {
    StringRef field = *line;
    int64_t kilobytes;
    if (field.consume_front("MemAvailable:") && field.consume_back("kB") &&
        !field.trim().getAsInteger(10, kilobytes))
      return kilobytes * 1024;
  }
  return INT64_MAX;
}

/// Masses and indices are [B, Hq, R, J]: small blocks of a long input ask for
/// more than there is, which compiled code would only find out by crashing.
Error checkMemory(const Options &o, const Inputs &in) {
  double rows =
      static_cast<double>(in.batch()) * in.heads() *
      (ceilUnits(in.lq(), o.blockQ) + (in.packed() ? in.cuQ.shape[0] : 0));
  // Masses and indices, and the indices once more for a file.
  double bytes = rows * ceilUnits(in.lk(), o.blockK) * 12 +
                 2.0 * in.q.numBytes() / in.headDim() * in.valueDim();
  double available = static_cast<double>(availableBytes());
  if (bytes <= available)
    return Error::success();
  return failure("--block", formatv("expected blocks whose masses and indices "
                                    "fit the {0:f0} MiB of memory available, "
                                    "got {1}x{2}, which takes {3:f0} MiB",
                                    available / 1048576, o.blockQ, o.blockK,
                                    bytes / 1048576)
                                .str());
}

/// A map is of one sequence; a picture and tensors are two files.
Error checkMap(const Options &o, const Inputs &in) {
  if (o.map.empty())
    return Error::success();
  if (o.map == o.output)
    return failure("--map",
                   "expected another file than --output, got " + o.map);
  if (in.packed() && in.cuQ.shape[0] != 2)
    return failure("--map", "expected one sequence, got a packed batch of " +
                                Twine(in.cuQ.shape[0] - 1));
  return Error::success();
}

/// What goes on: where it runs, what runs there, and what is told about it.
class Session {
public:
  explicit Session(Options &options) : o(options) {}

  Error openDevice();
  Error compileAll();
  Error run();

  Options &o;
  Inputs in;
  Report report;

private:
  Error loadOnDevice();

  Run main, dense;
  std::unique_ptr<mlir::MLIRContext> context;
  Compiled compiled;
  std::unique_ptr<Device> device;
  std::unique_ptr<DeviceProgram> mainProgram, denseProgram;
};

/// Before anything is compiled: the chip is the device's.
Error Session::openDevice() {
  if (Error e = Device::open(o.device).moveInto(device))
    return e;
  report.device = device->name();
  if (!o.chip.empty() || !o.artifact.empty())
    return Error::success();
  const NvidiaChip *chip = nvidiaChipFor(device->capability());
  if (!chip)
    return failure("--device", "expected a GPU that can run code for one of " +
                                   nvidiaChipNames() + ", got " +
                                   report.device);
  o.chip = chip->name.str();
  return Error::success();
}

Error Session::loadOnDevice() {
  StringRef source =
      o.artifact.empty() ? "--target=cuda" : StringRef(o.artifact);
  if (Error e = DeviceProgram::load(*device, compiled.mainImage, source)
                    .moveInto(mainProgram))
    return e;
  report.chip = mainProgram->chip().str();
  report.kernels = mainProgram->schedules();
  main = [this](Timing &t) { return mainProgram->run(in, t); };
  if (compiled.denseImage.empty())
    return Error::success();
  dense = [this](Timing &t) { return denseProgram->run(in, t); };
  return DeviceProgram::load(*device, compiled.denseImage, source)
      .moveInto(denseProgram);
}

Error Session::compileAll() {
  Progress progress("compiling");
  if (!o.artifact.empty()) {
    auto file = MemoryBuffer::getFile(o.artifact, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
    if (!file)
      return failure("--artifact", "expected a file, got " + o.artifact + ": " +
                                       file.getError().message());
    compiled.mainImage = (*file)->getBuffer().str();
    return loadOnDevice();
  }
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  context = std::make_unique<mlir::MLIRContext>(
      registry, o.threads == 1 ? mlir::MLIRContext::Threading::DISABLED
                               : mlir::MLIRContext::Threading::ENABLED);
  context->loadAllAvailableDialects();
  if (Error e = compile(*context, o, in).moveInto(compiled))
    return e;
  report.compileSeconds = compiled.seconds;
  if (o.cuda)
    return loadOnDevice();
  main = [this](Timing &t) { return execute(compiled, compiled.main, in, t); };
  dense = [this](Timing &t) {
    return execute(compiled, compiled.dense, in, t);
  };
  return Error::success();
}

Error Session::run() {
  resetPeak();
  size_t before = readMemory().now;
  std::vector<Timing> runs;
  Expected<Outputs> out = repeat(o, main, "attention", runs);
  if (!out)
    return out.takeError();
  report.median = medianOf(runs);
  report.peakBytes = readMemory().peak;
  report.runBytes = report.peakBytes > before ? report.peakBytes - before : 0;
  if (mainProgram)
    report.deviceBytes = mainProgram->bytes();

  if (Error e = checkOutputs(o, in, *out))
    return e;
  FileSelection selection = fileSelection(o, in, *out);
  countBlocks(o, in, selection, report);
  if (o.compareDense) {
    Expected<Comparison> c =
        compareWithDense(o, dense, *out, report.median.total);
    if (!c)
      return c.takeError();
    report.comparison = *c;
  }
  if (!o.map.empty())
    if (Error e = writeMap(o, in, selection, report))
      return e;
  if (!o.output.empty())
    if (Error e = writeOutput(o, in, *out, selection))
      return e;
  o.json ? printJSON(o, in, report) : printTable(o, in, report);
  return Error::success();
}

Error runAll(Options &o) {
  if (Error e = checkOptions(o))
    return e;
  if (Error e = checkWritable("--output", o.output))
    return e;
  if (Error e = checkWritable("--map", o.map))
    return e;
  Session session(o);
  if (Error e = readInputs(o).moveInto(session.in))
    return e;
  if (Error e = checkMap(o, session.in))
    return e;
  if (Error e = checkMemory(o, session.in))
    return e;
  session.report.threads = setThreads(o.threads.value_or(0));
  if (o.cuda)
    if (Error e = session.openDevice())
      return e;
  if (Error e = session.compileAll())
    return e;
  return session.run();
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  if (std::optional<int> status = parseOptions(argc, argv, options))
    return *status;
  if (Error e = runAll(options)) {
    errs() << "unisparse-run: " << toString(std::move(e)) << '\n';
    return 1;
  }
  return 0;
}
