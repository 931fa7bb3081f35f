// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Support.h"
#include "unisparse-c/UniSparse.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Target/LaunchPlan.h"

using namespace mlir;
using namespace unisparse;

static LogicalResult compile(ModuleOp module, ArrayRef<MlirStringRef> chips,
                             TileFormat format, StringRef entry,
                             std::string &bytes) {
  if (chips.empty())
    return emitError(module.getLoc(), "expected at least one chip, got none");
  artifact::Artifact all;
  for (MlirStringRef chip : chips) {
    OwningOpRef<ModuleOp> clone = module.clone();
    GPUPipelineOptions options;
    options.chip = unwrap(chip).str();
    options.format = format;
    PassManager pm(module.getContext());
    if (failed(buildGPUPipeline(pm, options,
                                [&] { return emitError(module.getLoc()); })) ||
        failed(pm.run(*clone)))
      return failure();
    FailureOr<artifact::Artifact> one = translateToArtifact(*clone, entry);
    if (failed(one))
      return failure();
    if (llvm::Error e = artifact::merge(all, std::move(*one)))
      return emitError(module.getLoc(), llvm::toString(std::move(e)));
  }
  bytes = artifact::write(all);
  // What the runtime would refuse is not handed out.
  if (llvm::Error e = artifact::read(bytes).takeError())
    return emitError(module.getLoc(), llvm::toString(std::move(e)));
  return success();
}

MlirLogicalResult
unisparseCompileToArtifact(MlirModule module, const MlirStringRef *chips,
                           intptr_t chipCount, UnisparseFormat format,
                           MlirStringRef entry, MlirStringCallback callback,
                           void *userData) {
  std::string bytes;
  LogicalResult done = compile(
      unwrap(module), ArrayRef(chips, chipCount),
      format == UNISPARSE_FORMAT_BINARY ? TileFormat::Bin : TileFormat::Isa,
      unwrap(entry), bytes);
  if (succeeded(done))
    callback(mlirStringRefCreate(bytes.data(), bytes.size()), userData);
  return wrap(done);
}
