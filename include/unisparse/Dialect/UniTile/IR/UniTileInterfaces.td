// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILEINTERFACES_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILEINTERFACES_TD

include "mlir/IR/Interfaces.td"

def UniTile_FragmentLayoutInterface : AttrInterface<"FragmentLayoutInterface"> {
  let cppNamespace = "::unisparse::unitile";
  let description = [{
    How a fragment is spread over the threads of the warps that share it. Element
    `i` of a thread is at `getBase()(lane, warp) + getOffsets()[i]`; how many
    elements a thread holds, in which rows, and what it has to ask other lanes
    for when a row is reduced, follows.

    Elements `2 n` and `2 n + 1` are neighbours of a row. Eight columns from a
    multiple of 8 on are held by the lanes that share the row, and the next eight
    alike: base columns are below 8.
  }];
  let methods = [
    InterfaceMethod<"Rows that a warp holds of each `warps` times as many.",
      "int64_t", "getWarpRows">,
    InterfaceMethod<"`(lane, warp) -> (row, column)` that a thread's offsets start from.",
      "::mlir::AffineMap", "getBase">,
    InterfaceMethod<[{
        A thread's elements of `rows x columns` that `warps` share, in the order
        of its registers. Their rows do not depend on `columns`.
      }],
      "::llvm::SmallVector<::unisparse::unitile::Position>", "getOffsets",
      (ins "int64_t":$rows, "int64_t":$columns, "int64_t":$warps)>,
    InterfaceMethod<[{
        The bits by which the numbers of lanes that share a row differ, least
        first. Where one is set, so is one bit of the base column.
      }],
      "::llvm::SmallVector<int64_t>", "getRowLanes">,
    InterfaceMethod<[{
        Whether 16 x 16 elements from multiples of 16 on are four matrices of
        8 x 8 as ldmatrix and stmatrix move them, each spread over one warp: lane
        `l` has row `l / 4`, columns `2 (l % 4)` and the next, of a warp's rows,
        which begin at row `getWarpRows()` times its number.
      }],
      "bool", "isOfMatrices">
  ];
}

def UniTile_MmaAtomInterface : AttrInterface<"MmaAtomInterface"> {
  let cppNamespace = "::unisparse::unitile";
  let description = [{
    Which instructions a product becomes, and how its operands lie in registers.
  }];
  let methods = [
    InterfaceMethod<"Columns of a that one instruction takes.",
      "int64_t", "getK">,
    InterfaceMethod<"Whether it multiplies elements of this type.",
      "bool", "takes", (ins "::mlir::Type":$element)>,
    InterfaceMethod<"Whether its sums are in flight until waited for.",
      "bool", "isAsynchronous">,
    InterfaceMethod<"Of a, where a is a fragment.",
      "::unisparse::unitile::FragmentLayoutInterface", "getLayoutOfA">,
    InterfaceMethod<"Of the accumulator and the result.",
      "::unisparse::unitile::FragmentLayoutInterface", "getLayoutOfSums">
  ];
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILEINTERFACES_TD
