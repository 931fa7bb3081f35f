/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* The compiler from C, beside MLIR's own C interface (mlir-c/): attributes and
 * ops of the unisparse dialect, passes and pipelines by name, artifacts in
 * memory. What fails says why through the context's diagnostics. */
#ifndef UNISPARSE_C_UNISPARSE_H
#define UNISPARSE_C_UNISPARSE_H

#include "mlir-c/IR.h"

#ifdef __cplusplus
extern "C" {
#endif

/*--------------------------------------------------------------------------*\
 * Registration
\*--------------------------------------------------------------------------*/

MLIR_DECLARE_CAPI_DIALECT_REGISTRATION(UniSparse, unisparse);
MLIR_DECLARE_CAPI_DIALECT_REGISTRATION(UniTile, unitile);

/* The dialects, and what the pipelines need of other dialects: a context with
 * this and the dialects of the input runs each of them. */
MLIR_CAPI_EXPORTED void unisparseRegisterDialects(MlirDialectRegistry registry);
/* Those, and all of upstream MLIR. */
MLIR_CAPI_EXPORTED void
unisparseRegisterAllDialects(MlirDialectRegistry registry);
/* Passes and pipelines under their names, as mlirParsePassPipeline takes them.
 * Once a process. */
MLIR_CAPI_EXPORTED void unisparseRegisterPasses(void);
/* Those, and all of upstream MLIR. */
MLIR_CAPI_EXPORTED void unisparseRegisterAllPasses(void);

/*--------------------------------------------------------------------------*\
 * Attributes. A get returns a null attribute where a number is out of range.
\*--------------------------------------------------------------------------*/

/* #unisparse.block<QxK> */
MLIR_CAPI_EXPORTED bool unisparseAttributeIsABlock(MlirAttribute attr);
MLIR_CAPI_EXPORTED MlirAttribute unisparseBlockAttrGet(MlirContext context,
                                                       int64_t query,
                                                       int64_t key);
MLIR_CAPI_EXPORTED int64_t unisparseBlockAttrGetQuery(MlirAttribute attr);
MLIR_CAPI_EXPORTED int64_t unisparseBlockAttrGetKey(MlirAttribute attr);

/* #unisparse.pooling<QxK, heads = N>, and with representatives and spread */
MLIR_CAPI_EXPORTED bool unisparseAttributeIsAPooling(MlirAttribute attr);
MLIR_CAPI_EXPORTED MlirAttribute unisparsePoolingAttrGet(MlirContext context,
                                                         int64_t query,
                                                         int64_t key,
                                                         int64_t heads);
MLIR_CAPI_EXPORTED int64_t unisparsePoolingAttrGetQuery(MlirAttribute attr);
MLIR_CAPI_EXPORTED int64_t unisparsePoolingAttrGetKey(MlirAttribute attr);
MLIR_CAPI_EXPORTED int64_t unisparsePoolingAttrGetHeads(MlirAttribute attr);
MLIR_CAPI_EXPORTED MlirAttribute unisparsePoolingAttrGetRefined(
    MlirContext context, int64_t query, int64_t key, int64_t heads,
    int64_t representatives, int64_t spread);
MLIR_CAPI_EXPORTED int64_t
unisparsePoolingAttrGetRepresentatives(MlirAttribute attr);
MLIR_CAPI_EXPORTED int64_t unisparsePoolingAttrGetSpread(MlirAttribute attr);

typedef enum UnisparseRuleKind {
  UNISPARSE_RULE_TOP_P = 0,
  UNISPARSE_RULE_TOP_K = 1,
  UNISPARSE_RULE_ALL = 2,
  UNISPARSE_RULE_THRESHOLD = 3,
  UNISPARSE_RULE_RANDOM = 4
} UnisparseRuleKind;

/* #unisparse.rule<...> */
typedef struct UnisparseRule {
  UnisparseRuleKind kind;
  double p;          /* of top-p, where negative: from the op's operand; of
                      * threshold and random */
  int64_t k;         /* of top-k */
  int64_t sink;      /* first blocks that are forced */
  int64_t local;     /* blocks up to the diagonal that are forced */
  int64_t minBlocks; /* least blocks, the forced ones counted */
  int64_t maxBlocks; /* most besides the forced ones; negative: any number */
  int64_t denseBelow;
  int64_t last; /* last query blocks that take every candidate */
  int64_t seed; /* of random */
  double relax; /* of top-p: how much more long rows may leave out [L11] */
} UnisparseRule;

/* The measured policy of causal attention: top-p 0.8, the last query block
 * dense, relax 0.5, the defaults of the rest. */
MLIR_CAPI_EXPORTED UnisparseRule unisparseRuleDefault(void);
MLIR_CAPI_EXPORTED bool unisparseAttributeIsARule(MlirAttribute attr);
MLIR_CAPI_EXPORTED MlirAttribute
unisparseRuleAttrGet(MlirContext context, const UnisparseRule *rule);
MLIR_CAPI_EXPORTED UnisparseRule unisparseRuleAttrRead(MlirAttribute attr);

/* #unisparse.window<left = 4095, right = 0>, in tokens; negative: no limit. */
MLIR_CAPI_EXPORTED bool unisparseAttributeIsAWindow(MlirAttribute attr);
MLIR_CAPI_EXPORTED MlirAttribute unisparseWindowAttrGet(MlirContext context,
                                                        int64_t left,
                                                        int64_t right);
MLIR_CAPI_EXPORTED int64_t unisparseWindowAttrGetLeft(MlirAttribute attr);
MLIR_CAPI_EXPORTED int64_t unisparseWindowAttrGetRight(MlirAttribute attr);

/*--------------------------------------------------------------------------*\
 * Ops. Created ones belong to the caller until they are inserted in a block;
 * null where the operands and attributes make no valid op. Other ops are made
 * and every op is read with mlir-c/IR.h: unisparse.pool, block_score and
 * block_select by mlirOperationCreate, results in the order of the op's
 * documentation.
\*--------------------------------------------------------------------------*/

/* unisparse.attention; all members that are null or 0 say nothing. */
typedef struct UnisparseAttention {
  MlirValue q, k, v;
  MlirValue topP;                     /* shares of the heads */
  MlirValue cuSeqlensQ, cuSeqlensK;   /* of a packed batch */
  MlirAttribute block, pooling, rule; /* 128x128; the measured policy:
                                       * 8x8 with 16 representatives and
                                       * spread, top-p 0.8 and, where
                                       * causal, the last block dense */
  bool aggregateBySum;
  bool shareInGroup;
  bool causal;
  bool returnLse;
  double scale;         /* 0: D ** -0.5 */
  double alpha;         /* 0: 1 */
  double softcap;       /* 0: none [M1] */
  MlirAttribute window; /* #unisparse.window<...> [M2] */
  MlirValue sinkLogits; /* one a query head [M3] */
} UnisparseAttention;

MLIR_CAPI_EXPORTED bool unisparseOperationIsAttention(MlirOperation op);
MLIR_CAPI_EXPORTED MlirOperation unisparseAttentionCreate(
    MlirLocation location, const UnisparseAttention *attention);
MLIR_CAPI_EXPORTED UnisparseAttention unisparseAttentionRead(MlirOperation op);

/* unisparse.block_sparse_attention, over a given selection or, without one,
 * dense; members as above. */
typedef struct UnisparseBlockSparseAttention {
  MlirValue q, k, v;
  MlirValue counts, indices;
  MlirValue cuSeqlensQ, cuSeqlensK;
  MlirAttribute block;
  bool causal;
  bool returnLse;
  double scale;
  double softcap;
  MlirAttribute window;
  MlirValue sinkLogits;
} UnisparseBlockSparseAttention;

MLIR_CAPI_EXPORTED bool
unisparseOperationIsBlockSparseAttention(MlirOperation op);
MLIR_CAPI_EXPORTED MlirOperation unisparseBlockSparseAttentionCreate(
    MlirLocation location, const UnisparseBlockSparseAttention *attention);
MLIR_CAPI_EXPORTED UnisparseBlockSparseAttention
unisparseBlockSparseAttentionRead(MlirOperation op);

/*--------------------------------------------------------------------------*\
 * Artifacts
\*--------------------------------------------------------------------------*/

typedef enum UnisparseFormat {
  UNISPARSE_FORMAT_PTX = 0,
  UNISPARSE_FORMAT_BINARY = 1 /* by ptxas */
} UnisparseFormat;

/* Compiles the module, which stays as it is, for each chip ("sm_90a") and hands
 * the artifact's bytes to `callback`, in one call. `entry` names the function;
 * empty, it is the one public function. The bytes are what
 * unisparse_artifact_read of unisparse-rt takes. */
MLIR_CAPI_EXPORTED MlirLogicalResult unisparseCompileToArtifact(
    MlirModule module, const MlirStringRef *chips, intptr_t chipCount,
    UnisparseFormat format, MlirStringRef entry, MlirStringCallback callback,
    void *userData);

#ifdef __cplusplus
}
#endif

#endif /* UNISPARSE_C_UNISPARSE_H */
