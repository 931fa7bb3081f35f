/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A host with an unisparse_call of its own, as unisparse-rt/call.h allows:
 * dense causal attention of f32 q and k, which are v too, in place of the
 * artifact. It says what it was called with. */
#include "unisparse-rt/call.h"
#include "unisparse-rt/format.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *what, const unisparse_tensor *tensor) {
  printf("%s element %d rank %d sizes", what, (int)tensor->element,
         (int)tensor->rank);
  for (int i = 0; i < tensor->rank; ++i)
    printf(" %lld", (long long)tensor->sizes[i]);
  printf(" strides");
  for (int i = 0; i < tensor->rank; ++i)
    printf(" %lld", (long long)tensor->strides[i]);
  printf("\n");
}

static float *row(const unisparse_tensor *x, int64_t b, int64_t h, int64_t l) {
  return (float *)x->data + b * x->strides[0] + h * x->strides[1] +
         l * x->strides[2];
}

static void attend(const unisparse_tensor in[2], const unisparse_tensor *o,
                   int64_t b, int64_t h, int64_t i) {
  int64_t kv = h / (in[0].sizes[1] / in[1].sizes[1]), dims = in[0].sizes[3];
  int64_t last = i + in[1].sizes[2] - in[0].sizes[2];
  double total = 0, sums[256] = {0};
  for (int64_t t = 0; t <= last; ++t) {
    double logit = 0;
    for (int64_t d = 0; d < dims; ++d)
      logit += row(&in[0], b, h, i)[d] * row(&in[1], b, kv, t)[d];
    double weight = exp(logit / sqrt((double)dims));
    total += weight;
    for (int64_t d = 0; d < dims; ++d)
      sums[d] += weight * row(&in[1], b, kv, t)[d];
  }
  for (int64_t d = 0; d < dims; ++d)
    row(o, b, h, i)[d] = (float)(sums[d] / total);
}

void unisparse_call(const void *artifact, int64_t bytes,
                    const unisparse_tensor *inputs, int32_t input_count,
                    const unisparse_tensor *outputs, int32_t output_count) {
  printf("call %.8s of %s bytes, %d inputs, %d outputs\n",
         (const char *)artifact, bytes > 1000 ? "many" : "few",
         (int)input_count, (int)output_count);
  for (int32_t i = 0; i < input_count; ++i)
    say("input", &inputs[i]);
  say("output", &outputs[0]);
  if (input_count != 2 || output_count != 1)
    abort();
  for (int64_t b = 0; b < outputs->sizes[0]; ++b)
    for (int64_t h = 0; h < outputs->sizes[1]; ++h)
      for (int64_t i = 0; i < outputs->sizes[2]; ++i)
        attend(inputs, outputs, b, h, i);
}
