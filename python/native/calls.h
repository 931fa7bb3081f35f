/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* The types of unisparse._native, which functions of the module make. */
#ifndef UNISPARSE_PYTHON_CALLS_H
#define UNISPARSE_PYTHON_CALLS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* False with an exception set. */
bool calls_ready(void);
bool bound_ready(void);

/* calls(leading, sets): a cache of as many sets of plans, for a function whose
 * arguments are so many tensors, cu_seqlens, sinks, score_tables, layout, out
 * and options; -1 for a program's, which are tensors. */
PyObject *calls_new(PyObject *module, PyObject *arguments);

/* bound(functions, program, inputs, outputs, workspace, device_type, device,
 * stream, results). */
PyObject *bound_new(PyObject *module, PyObject *arguments);

#endif /* UNISPARSE_PYTHON_CALLS_H */
