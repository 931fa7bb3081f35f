// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_SHARDING_H
#define UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_SHARDING_H

#include "mlir/IR/DialectRegistry.h"

namespace unisparse {

/// shard::ShardingInterface for the five ops, for upstream's
/// sharding-propagation and shard-partition.
void registerShardingInterfaceModels(mlir::DialectRegistry &registry);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_SHARDING_H
