/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Plans of the runtime (unisparse_plan), which keep their program loaded: all
 * of them are known here, so that forget() can end them. Everything but the
 * launch itself is done by threads that hold the GIL. */
#ifndef UNISPARSE_PYTHON_DEVICE_H
#define UNISPARSE_PYTHON_DEVICE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "unisparse-rt/unisparse.h"
#include <stdbool.h>

typedef struct device_plan device_plan;

/* `functions`: the addresses of unisparse_plan_make, _launch and _free. NULL
 * with an exception set. */
device_plan *device_make(PyObject *functions, const void *program,
                         const unisparse_tensor *inputs, int32_t input_count,
                         const unisparse_tensor *outputs, int32_t output_count);

/* What is entered lives until it is left, whoever forgets it. False where it
 * was forgotten. */
bool device_enter(device_plan *p);
void device_leave(device_plan *p);

/* Of a plan that was entered. */
unisparse_status device_launch(const device_plan *p, void *const *inputs,
                               void *const *outputs, void *workspace,
                               void *stream);

/* Nobody enters it any more, nor is in it. */
void device_release(device_plan *p);

/* Ends the plans that nobody is in, and each of the others when it is left. */
void device_forget(void);

#endif /* UNISPARSE_PYTHON_DEVICE_H */
