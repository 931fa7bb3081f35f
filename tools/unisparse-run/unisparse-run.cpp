// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse-run: block-sparse attention on the q, k, v of a file.
#include "../common/OutputFiles.h"
#include "../common/Process.h"
#include "Compile.h"
#include "Cuda.h"
#include "Execute.h"
#include "MemoryEstimate.h"
#include "Options.h"
#include "Progress.h"
#include "Report.h"
#include "Tensors.h"
#include "Threads.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/InitAll.h"
#include "unisparse/Support/RegularFile.h"
#include "unisparse/Support/SelectionMap.h"
#include "unisparse/Target/Nvidia.h"
#include <chrono>
#include <functional>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

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

/// A map is of one sequence and has its limits. What blocks decide is known
/// once a program has been read.
Error checkMap(const Options &o, const Inputs &in, bool blocksToo) {
  if (o.map.empty())
    return Error::success();
  if (in.packed() && in.cuQ.shape[0] != 2)
    return failure("--map", "expected one sequence, got a packed batch of " +
                                Twine(in.cuQ.shape[0] - 1));
  if (!in.batch() || !in.lq() || !in.lk())
    return failure("--map", "expected queries and keys to draw, got none");
  if (in.batch() > kMaxMapHeads / in.heads())
    return failure("--map", "expected at most " + Twine(kMaxMapHeads) +
                                " heads of all batches, got " +
                                Twine(in.batch()) + " times " +
                                Twine(in.heads()));
  if (int64_t rows = ceilUnits(in.lq(), o.blockQ);
      blocksToo && rows > kMaxMapRows)
    return failure("--map", "expected at most " + Twine(kMaxMapRows) +
                                " query blocks, got " + Twine(rows));
  return Error::success();
}

/// What goes on: where it runs, what runs there, and what is told about it.
/// Everything that can be refused is, before what takes memory or time.
class Session {
public:
  explicit Session(Options &options) : o(options) {}

  /// Reads shapes and programs.
  Error prepare();
  /// Whether the run fits memory.
  Error checkMemory();
  Error load() { return loadInputs(o, files, in); }
  Error openDevice();
  Error compileAll();
  Error run();

private:
  Error readArtifact();
  Error loadOnDevice();

  Options &o;
  InputFiles files;
  Inputs in;
  Report report;
  ReturnedKinds returns;
  Run main, dense;
  std::unique_ptr<mlir::MLIRContext> context;
  std::unique_ptr<tools::FirstError> said;
  Program program;
  Compiled compiled;
  std::unique_ptr<Device> device;
  std::unique_ptr<DeviceProgram> mainProgram, denseProgram;
};

Error Session::prepare() {
  if (Error e = startThreads(o.threads).moveInto(report.threads))
    return e;
  keepFreedMemory();
  if (Error e = describeInputs(o, files, in))
    return e;
  if (Error e = checkMap(o, in, /*blocksToo=*/false))
    return e;
  if (!o.artifact.empty())
    return readArtifact();
  auto start = std::chrono::steady_clock::now();
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  // A module of one function has no work for further threads.
  context = std::make_unique<mlir::MLIRContext>(
      registry, mlir::MLIRContext::Threading::DISABLED);
  tools::loadDialects(*context);
  said = std::make_unique<tools::FirstError>(context.get());
  if (Error e = readOrBuild(*context, o, in, *said).moveInto(program))
    return said->orElse(std::move(e));
  returns = program.returns;
  report.compileSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return checkMap(o, in, /*blocksToo=*/true);
}

Error Session::readArtifact() {
  std::unique_ptr<MemoryBuffer> file;
  if (Error e =
          openRegularFile(o.artifact, tools::kMaxProgramBytes).moveInto(file))
    return e;
  if (Error e = DeviceProgram::read(file->getBuffer(), o.artifact)
                    .moveInto(mainProgram))
    return e;
  if (Error e = checkReturns(o.artifact, mainProgram->returnedTypes(), o, in)
                    .moveInto(returns))
    return e;
  return checkMap(o, in, /*blocksToo=*/true);
}

Error Session::checkMemory() {
  MemoryEstimate estimate;
  addInputs(estimate, o, in);
  if (program.module)
    addStages(estimate, o, in, *program.module, report.threads, hostStrip());
  else // All that is known of an artifact's sizes.
    estimate.add(
        "results", o.input,
        (returns.o ? static_cast<double>(in.q.numBytes()) / in.headDim() *
                         in.valueDim()
                   : 0.0) +
            (returns.lse ? 4.0 * in.q.numElements() / in.headDim() : 0.0));
  addReport(estimate, o, in, returns.selection() || in.counts);
  return estimate.check(readAvailableMemory());
}

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
  auto add = [this](StringRef image, std::unique_ptr<DeviceProgram> &program,
                    Run &run) -> Error {
    if (!program)
      if (Error e =
              DeviceProgram::read(image, "--target=cuda").moveInto(program))
        return e;
    run = [this, &program](Timing &t) { return program->run(o, in, t); };
    return program->load(*device);
  };
  if (Error e = add(compiled.mainImage, mainProgram, main))
    return e;
  report.chip = mainProgram->chip().str();
  report.kernels = mainProgram->schedules();
  if (compiled.denseImage.empty())
    return Error::success();
  return add(compiled.denseImage, denseProgram, dense);
}

Error Session::compileAll() {
  Progress progress("compiling");
  if (!o.artifact.empty())
    return loadOnDevice();
  if (Error e = compile(program, o, *said).moveInto(compiled))
    return e;
  report.compileSeconds += compiled.seconds;
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
  if (Error e = tools::checkOutputStream())
    return e;
  if (Error e = checkOptions(o))
    return e;
  tools::RunFiles files;
  files.inputs = {{"the input", o.input},
                  {"--program", o.program},
                  {"--selection", o.selection},
                  {"--artifact", o.artifact}};
  files.outputs = {{"--output", o.output}, {"--map", o.map}};
  files.dumpIR = {"--dump-ir", o.dumpIR};
  if (Error e = tools::checkFiles(files))
    return e;
  Session session(o);
  for (auto step : {&Session::prepare, &Session::checkMemory, &Session::load})
    if (Error e = (session.*step)())
      return e;
  if (o.cuda)
    if (Error e = session.openDevice())
      return e;
  if (Error e = session.compileAll())
    return e;
  return session.run();
}

} // namespace

int main(int argc, char **argv) {
  tools::startProcess("unisparse-run");
  Options options;
  if (std::optional<int> status = parseOptions(argc, argv, options))
    return *status;
  if (Error e = runAll(options)) {
    tools::printError("unisparse-run", std::move(e));
    return 1;
  }
  return 0;
}
