/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A plan (see _plan.py) as C has it: what a call has to be like, and what is
 * then launched. */
#ifndef UNISPARSE_PYTHON_PLAN_H
#define UNISPARSE_PYTHON_PLAN_H

#include "device.h"
#include "torch.h"

#include "unisparse-rt/cpu.h"

enum { PLAN_MAX_GIVEN = 16, PLAN_MAX_OUTPUTS = 8, PLAN_LED = 4 };

/* How o is made where the caller gives no memory for it. */
enum {
  PLAN_BHSD, /* as the program says */
  PLAN_BSHD, /* [B, L, H, D] */
  PLAN_FLAT, /* [tokens, H, D] */
  PLAN_LAYOUTS
};

/* What a call gives. Tensors are [B, H, L, D], whatever the layout was. */
typedef struct plan_call {
  int count;    /* of tensors, without `out` */
  bool has_out; /* there are sizes and strides for o, at [count] */
  bool own_out; /* and they are a tensor of the caller's */
  bool as_list; /* results are a list of all outputs */
  int layout;
  exchange_device device;
  uint64_t hash;
  PyObject *const *options;
  Py_ssize_t option_count;
  PyObject *objects[PLAN_MAX_GIVEN + 1];
  unisparse_tensor given[PLAN_MAX_GIVEN + 1];
} plan_call;

typedef unisparse_status plan_on_host(const void *, const unisparse_tensor *,
                                      int32_t, const unisparse_tensor *,
                                      int32_t, int32_t);
typedef unisparse_status plan_check_on_host(const unisparse_cpu_values *);

typedef struct plan {
  int references;
  unsigned generation;
  /* What it is known by. */
  uint64_t hash;
  exchange_device device;
  int count;
  bool has_out;
  unisparse_tensor given[PLAN_MAX_GIVEN + 1];
  PyObject *options;
  /* What is launched. */
  void *program;
  int input_count, output_count, o, pick_count;
  int order[PLAN_MAX_GIVEN], pick[PLAN_MAX_OUTPUTS];
  unisparse_tensor outputs[PLAN_MAX_OUTPUTS];
  /* (function, arguments, keywords or None) of each output, and of o in the
   * other layouts. */
  PyObject *makers, *turned[PLAN_LAYOUTS];
  /* On a device: */
  device_plan *on_device;
  int64_t workspace;
  /* In memory of the host: */
  bool is_led;
  plan_on_host *run;
  plan_check_on_host *check;
  int led[PLAN_LED];
  unisparse_cpu_values values;
  PyObject *threads;
} plan;

/* Of the tensors' sizes and elements. */
void plan_hash(plan_call *call);

/* The tuple `launch` is what _again.py's `launch` makes. `options`: a tuple
 * that the plan keeps. NULL with an exception set. */
plan *plan_new(const plan_call *call, PyObject *options, PyObject *launch);
bool plan_matches(const plan *p, const plan_call *call);
plan *plan_keep(plan *p);
/* x, with a reference more. */
PyObject *plan_kept(PyObject *x);
void plan_release(plan *p);

/* Runs it -> its results; NULL with an exception set; None where Python's path
 * is the one to ask. */
PyObject *plan_run(plan *p, const plan_call *call);

/* Plans of before are found no more: a program is being closed. */
extern unsigned plan_generation;

#endif /* UNISPARSE_PYTHON_PLAN_H */
