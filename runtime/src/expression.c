/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "program.h"

/* Whether a operation b overflows; *result is the value where it does not. */
static bool overflows(unisparse_term code, int64_t a, int64_t b,
                      int64_t *result) {
  switch (code) {
  case UNISPARSE_TERM_ADD:
    return __builtin_add_overflow(a, b, result);
  case UNISPARSE_TERM_SUB:
    return __builtin_sub_overflow(a, b, result);
  case UNISPARSE_TERM_MUL:
    return __builtin_mul_overflow(a, b, result);
  case UNISPARSE_TERM_FLOORDIV: /* of a divisor above 0, as C rounds towards 0
                                 */
    *result = a / b - (a % b < 0);
    return false;
  case UNISPARSE_TERM_CEILDIV:
    *result = a / b + (a % b > 0);
    return false;
  case UNISPARSE_TERM_MIN:
    *result = a < b ? a : b;
    return false;
  case UNISPARSE_TERM_MAX:
    *result = a > b ? a : b;
    return false;
  default:
    return true;
  }
}

static int64_t leaf(const usrt_op *op, const usrt_frame *frame) {
  switch (op->code) {
  case UNISPARSE_TERM_SYMBOL:
    return frame->symbols[op->value];
  case UNISPARSE_TERM_STRIDE: {
    int64_t tensor = op->value / UNISPARSE_STRIDE_BASE;
    const usrt_shape *shape =
        tensor < UNISPARSE_MAX_TENSORS
            ? &frame->inputs[tensor]
            : &frame->outputs[tensor - UNISPARSE_MAX_TENSORS];
    return shape->strides[op->value % UNISPARSE_STRIDE_BASE];
  }
  case UNISPARSE_TERM_FACT:
    return frame->multiprocessors;
  default:
    return op->value;
  }
}

const char *usrt_evaluate(const usrt_expression *expression,
                          const usrt_frame *frame, int64_t *value) {
  int64_t stack[UNISPARSE_MAX_TERMS];
  uint32_t depth = 0; /* loading the artifact checked that it stays in range */
  for (uint32_t i = 0; i < expression->count; ++i) {
    const usrt_op *op = &expression->ops[i];
    if (op->code < UNISPARSE_TERM_ADD) {
      stack[depth++] = leaf(op, frame);
      continue;
    }
    int64_t right = stack[--depth], left = stack[depth - 1];
    bool divides = op->code == UNISPARSE_TERM_FLOORDIV ||
                   op->code == UNISPARSE_TERM_CEILDIV;
    if (divides && right <= 0)
      return right == 0 ? "divides by 0" : "divides by a negative number";
    if (overflows(op->code, left, right, &stack[depth - 1]))
      return "overflows 64 bits";
  }
  *value = stack[0];
  return NULL;
}
