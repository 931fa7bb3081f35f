// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A dialect whose op is made of UniSparse's attributes and types.
#ifndef HOUSE_TD
#define HOUSE_TD

include "unisparse/Dialect/UniSparse/IR/UniSparseAttrs.td"
include "unisparse/Dialect/UniSparse/IR/UniSparseTensors.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def House_Dialect : Dialect {
  let name = "house";
  let cppNamespace = "::house";
  let dependentDialects = ["::unisparse::UniSparseDialect"];
}

def House_AttendOp : Op<House_Dialect, "attend", [Pure]> {
  let summary = "Causal attention of a policy";
  let arguments = (ins UniSparse_Tokens:$q, UniSparse_Tokens:$k, UniSparse_Tokens:$v,
                       UniSparse_RuleAttr:$rule);
  let results = (outs UniSparse_Tokens:$o);
  let assemblyFormat = "$q `,` $k `,` $v `rule` $rule attr-dict `:` functional-type(operands, results)";
}

#endif // HOUSE_TD
