/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What capi.test checks the output of: builds a program, reads it back, runs
 * passes and pipelines by name, compiles it. */
#include "mlir-c/BuiltinAttributes.h"
#include "mlir-c/BuiltinTypes.h"
#include "mlir-c/Diagnostics.h"
#include "mlir-c/Pass.h"
#include "unisparse-c/UniSparse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static MlirStringRef text(const char *string) {
  return mlirStringRefCreateFromCString(string);
}

static void print(MlirStringRef string, void *data) {
  fwrite(string.data, 1, string.length, stdout);
}

static MlirLogicalResult said(MlirDiagnostic diagnostic, void *data) {
  printf("diagnostic: ");
  mlirDiagnosticPrint(diagnostic, print, NULL);
  printf("\n");
  return mlirLogicalResultSuccess();
}

struct bytes {
  char *data;
  size_t size;
  int calls;
};
static void keep(MlirStringRef string, void *data) {
  struct bytes *bytes = data;
  bytes->data = malloc(string.length);
  memcpy(bytes->data, string.data, string.length);
  bytes->size = string.length;
  ++bytes->calls;
}

static MlirType tokens(MlirContext context, int64_t heads, int64_t length) {
  int64_t shape[] = {1, heads, length, 64};
  return mlirRankedTensorTypeGet(4, shape, mlirF16TypeGet(context),
                                 mlirAttributeGetNull());
}

/* A function of q, k and v around what `create` makes of them. */
static MlirModule program(MlirContext context,
                          MlirOperation (*create)(MlirLocation,
                                                  const MlirValue[3])) {
  MlirLocation location = mlirLocationUnknownGet(context);
  MlirModule module = mlirModuleCreateEmpty(location);
  MlirType types[] = {tokens(context, 4, 256), tokens(context, 2, 256),
                      tokens(context, 2, 256)};
  MlirLocation locations[] = {location, location, location};
  MlirBlock body = mlirBlockCreate(3, types, locations);
  MlirValue arguments[3];
  for (int i = 0; i < 3; ++i)
    arguments[i] = mlirBlockGetArgument(body, i);
  MlirOperation op = create(location, arguments);
  if (mlirOperationIsNull(op))
    exit(1);
  mlirBlockAppendOwnedOperation(body, op);
  MlirValue o = mlirOperationGetResult(op, 0);
  MlirOperationState end = mlirOperationStateGet(text("func.return"), location);
  mlirOperationStateAddOperands(&end, 1, &o);
  mlirBlockAppendOwnedOperation(body, mlirOperationCreate(&end));
  MlirRegion region = mlirRegionCreate();
  mlirRegionAppendOwnedBlock(region, body);
  MlirType result = mlirValueGetType(o);
  MlirNamedAttribute attributes[] = {
      mlirNamedAttributeGet(mlirIdentifierGet(context, text("sym_name")),
                            mlirStringAttrGet(context, text("main"))),
      mlirNamedAttributeGet(
          mlirIdentifierGet(context, text("function_type")),
          mlirTypeAttrGet(mlirFunctionTypeGet(context, 3, types, 1, &result)))};
  MlirOperationState function =
      mlirOperationStateGet(text("func.func"), location);
  mlirOperationStateAddAttributes(&function, 2, attributes);
  mlirOperationStateAddOwnedRegions(&function, 1, &region);
  mlirBlockAppendOwnedOperation(mlirModuleGetBody(module),
                                mlirOperationCreate(&function));
  return module;
}

static MlirOperation sparse(MlirLocation location, const MlirValue inputs[3]) {
  UnisparseRule rule = unisparseRuleDefault();
  rule.kind = UNISPARSE_RULE_TOP_K;
  rule.k = 2;
  UnisparseAttention attention = {0};
  attention.q = inputs[0];
  attention.k = inputs[1];
  attention.v = inputs[2];
  attention.block =
      unisparseBlockAttrGet(mlirLocationGetContext(location), 64, 64);
  attention.pooling = unisparsePoolingAttrGetRefined(
      mlirLocationGetContext(location), 8, 8, 1, 0, 0);
  attention.rule =
      unisparseRuleAttrGet(mlirLocationGetContext(location), &rule);
  attention.causal = true;
  MlirOperation op = unisparseAttentionCreate(location, &attention);
  UnisparseAttention read = unisparseAttentionRead(op);
  UnisparseRule readRule = unisparseRuleAttrRead(read.rule);
  printf("attention %d %d, block %ld, pooling %ld, rule %d %ld, causal %d, lse "
         "%d, packed %d\n",
         unisparseOperationIsAttention(op),
         unisparseOperationIsBlockSparseAttention(op),
         (long)unisparseBlockAttrGetQuery(read.block),
         (long)unisparsePoolingAttrGetKey(read.pooling), readRule.kind,
         (long)readRule.k, read.causal, read.returnLse,
         read.cuSeqlensQ.ptr != NULL);
  return op;
}

/* What an attention gets that says nothing. */
static void measured(MlirLocation location, const MlirValue inputs[3],
                     bool causal, bool bySum) {
  UnisparseAttention attention = {0};
  attention.q = inputs[0];
  attention.k = inputs[1];
  attention.v = inputs[2];
  attention.causal = causal;
  attention.aggregateBySum = bySum;
  MlirOperation op = unisparseAttentionCreate(location, &attention);
  UnisparseAttention read = unisparseAttentionRead(op);
  UnisparseRule rule = unisparseRuleAttrRead(read.rule);
  printf("measured: representatives %ld, spread %ld, p %.2f, last %ld, relax "
         "%.2f\n",
         (long)unisparsePoolingAttrGetRepresentatives(read.pooling),
         (long)unisparsePoolingAttrGetSpread(read.pooling), rule.p,
         (long)rule.last, rule.relax);
  mlirOperationDestroy(op);
}

static MlirOperation dense(MlirLocation location, const MlirValue inputs[3]) {
  UnisparseBlockSparseAttention attention = {0};
  attention.q = inputs[0];
  attention.k = inputs[1];
  attention.v = inputs[2];
  attention.scale = 0.5;
  MlirOperation op = unisparseBlockSparseAttentionCreate(location, &attention);
  printf("dense %d, scale %.2f, selection %d\n",
         unisparseOperationIsBlockSparseAttention(op),
         unisparseBlockSparseAttentionRead(op).scale,
         unisparseBlockSparseAttentionRead(op).counts.ptr != NULL);
  return op;
}

static MlirOperation bad(MlirLocation location, const MlirValue inputs[3]) {
  MlirContext context = mlirLocationGetContext(location);
  UnisparseAttention attention = {0};
  attention.q = inputs[0];
  attention.k = inputs[1];
  attention.v = inputs[2];
  attention.pooling =
      unisparsePoolingAttrGet(context, 3, 3, 1); /* does not divide the block */
  if (!mlirOperationIsNull(unisparseAttentionCreate(location, &attention)))
    exit(1);
  attention.pooling = attention.block =
      unisparseBlockAttrGet(context, 64, 64); /* of another kind */
  if (!mlirOperationIsNull(unisparseAttentionCreate(location, &attention)))
    exit(1);
  attention = (UnisparseAttention){0};
  if (!mlirOperationIsNull(unisparseAttentionCreate(location, &attention)))
    exit(1);
  measured(location, inputs, true, false);
  measured(location, inputs, false, true);
  attention.pooling = unisparsePoolingAttrGetRefined(context, 8, 8, 1, 16, 4);
  printf("representatives %ld, spread %ld\n",
         (long)unisparsePoolingAttrGetRepresentatives(attention.pooling),
         (long)unisparsePoolingAttrGetSpread(attention.pooling));
  UnisparseRule rule = unisparseRuleDefault();
  rule.kind = UNISPARSE_RULE_RANDOM;
  rule.p = 0.5;
  rule.seed = 7;
  rule.last = 1;
  rule = unisparseRuleAttrRead(unisparseRuleAttrGet(context, &rule));
  printf("rule %d, %.2f, seed %ld, last %ld\n", rule.kind, rule.p,
         (long)rule.seed, (long)rule.last);
  rule = unisparseRuleDefault();
  rule.p = 2;
  if (!mlirAttributeIsNull(unisparseRuleAttrGet(context, &rule)) ||
      !mlirAttributeIsNull(unisparseBlockAttrGet(context, 0, 64)))
    exit(1);
  return dense(location, inputs);
}

static void run(MlirContext context, MlirModule module, const char *pipeline) {
  MlirPassManager manager = mlirPassManagerCreate(context);
  if (mlirLogicalResultIsFailure(
          mlirParsePassPipeline(mlirPassManagerGetAsOpPassManager(manager),
                                text(pipeline), print, NULL)) ||
      mlirLogicalResultIsFailure(
          mlirPassManagerRunOnOp(manager, mlirModuleGetOperation(module))))
    exit(1);
  mlirOperationPrint(mlirModuleGetOperation(module), print, NULL);
  mlirPassManagerDestroy(manager);
}

/* A program that an artifact cannot be, and whose pipelines run. */
static void refuse(MlirContext context, const char *body) {
  char source[2048];
  snprintf(source, sizeof source,
           "!t = tensor<1x4x?x64xf16>\n"
           "func.func @main(%%q: !t) -> !t {\n"
           "  %%c1 = arith.constant 1 : index\n"
           "  %%c2 = arith.constant 2 : index\n"
           "  %%n = tensor.dim %%q, %%c2 : !t\n"
           "%s  return %%o : !t\n}\n",
           body);
  MlirModule module = mlirModuleCreateParse(context, text(source));
  MlirStringRef chip = text("sm_80");
  if (mlirModuleIsNull(module) ||
      mlirLogicalResultIsSuccess(unisparseCompileToArtifact(
          module, &chip, 1, UNISPARSE_FORMAT_PTX, text(""), keep, NULL)))
    exit(1);
  MlirPassManager manager = mlirPassManagerCreate(context);
  if (mlirLogicalResultIsFailure(
          mlirParsePassPipeline(mlirPassManagerGetAsOpPassManager(manager),
                                text("builtin.module(unisparse-outline{chips="
                                     "sm_80},unisparse-to-cpu-pipeline)"),
                                print, NULL)) ||
      mlirLogicalResultIsFailure(
          mlirPassManagerRunOnOp(manager, mlirModuleGetOperation(module))))
    exit(1);
  mlirPassManagerDestroy(manager);
  mlirModuleDestroy(module);
}

int main(int argc, char **argv) {
  MlirDialectRegistry registry = mlirDialectRegistryCreate();
  unisparseRegisterAllDialects(registry);
  unisparseRegisterAllPasses();
  MlirContext context = mlirContextCreateWithRegistry(registry, false);
  mlirContextLoadAllAvailableDialects(context);
  mlirContextAttachDiagnosticHandler(context, said, NULL, NULL);
  MlirStringRef namespace =
      mlirDialectHandleGetNamespace(mlirGetDialectHandle__unisparse__());
  printf("dialect %.*s\n", (int)namespace.length, namespace.data);

  MlirModule module = program(context, sparse);
  MlirStringRef chips[] = {text("sm_80"), text("sm_90a")};
  struct bytes artifact = {0};
  if (mlirLogicalResultIsFailure(unisparseCompileToArtifact(
          module, chips, 2, UNISPARSE_FORMAT_PTX, text(""), keep, &artifact)))
    return 1;
  FILE *file = fopen(argv[1], "wb");
  if (!file || fwrite(artifact.data, 1, artifact.size, file) != artifact.size ||
      fclose(file))
    return 1;
  printf("artifact in %d call\n", artifact.calls);
  free(artifact.data);
  chips[1] = text("sm_1");
  if (mlirLogicalResultIsSuccess(unisparseCompileToArtifact(
          module, chips, 2, UNISPARSE_FORMAT_PTX, text(""), keep, &artifact)) ||
      mlirLogicalResultIsSuccess(unisparseCompileToArtifact(
          module, chips, 0, UNISPARSE_FORMAT_PTX, text(""), keep, &artifact)) ||
      mlirLogicalResultIsSuccess(
          unisparseCompileToArtifact(module, chips, 1, UNISPARSE_FORMAT_PTX,
                                     text("other"), keep, &artifact)))
    return 1;
  run(context, module, "builtin.module(unisparse-decompose-attention)");
  mlirModuleDestroy(module);

  refuse(context, "  %o = tensor.empty(%n) : !t\n");
  refuse(context,
         "  %o = scf.for %i = %c1 to %n step %c1 iter_args(%x = %q) -> !t {\n"
         "    %a = unisparse.block_sparse_attention %x, %q, %q block <64x64> : "
         "(!t, !t, !t) -> !t\n"
         "    scf.yield %a : !t\n  }\n");
  refuse(context,
         "  %long = arith.cmpi sgt, %n, %c1 : index\n"
         "  %o = scf.if %long -> !t {\n"
         "    %a = unisparse.block_sparse_attention %q, %q, %q block <64x64> : "
         "(!t, !t, !t) -> !t\n"
         "    scf.yield %a : !t\n  } else {\n    scf.yield %q : !t\n  }\n");

  module = program(context, bad);
  run(context, module,
      "builtin.module(unisparse-sparsify-attention{rule=top_k=3})");
  run(context, module, "builtin.module(unisparse-to-cpu-pipeline)");
  mlirModuleDestroy(module);
  mlirContextDestroy(context);
  mlirDialectRegistryDestroy(registry);
  return 0;
}
