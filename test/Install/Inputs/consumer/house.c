/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A context that knows the dialect, from C. */
#include "unisparse-c/UniSparse.h"
#include <stdio.h>

int main(void) {
  MlirDialectRegistry registry = mlirDialectRegistryCreate();
  unisparseRegisterDialects(registry);
  MlirContext context = mlirContextCreateWithRegistry(registry, false);
  MlirStringRef name = mlirStringRefCreateFromCString("unisparse");
  printf("dialect %s\n",
         mlirDialectIsNull(mlirContextGetOrLoadDialect(context, name))
             ? "unknown"
             : "known");
  mlirContextDestroy(context);
  mlirDialectRegistryDestroy(registry);
  return 0;
}
