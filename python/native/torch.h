/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* torch's tensors through DLPack's C exchange API: nothing is linked with
 * torch. What a function here does not know it says by `false`, with no
 * exception set: Python's own path then says what is wrong, or does it. */
#ifndef UNISPARSE_PYTHON_TORCH_H
#define UNISPARSE_PYTHON_TORCH_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "exchange.h"
#include "unisparse-rt/unisparse.h"
#include <stdbool.h>

/* connect(tensor_type, parameter_type, is_neg, is_grad_enabled, modes, check)
 * -> whether there is an exchange API of a known version. `modes`: a function
 * that counts the modes that see every operator, or None; `check`: what raises
 * a runtime's status. */
PyObject *torch_connect(PyObject *module, PyObject *arguments);
bool torch_connected(void);

/* A tensor of torch's own two types: sizes, strides, element and address. */
bool torch_describe(PyObject *x, unisparse_tensor *to, exchange_device *device);

/* Whether these, of the given elements, are read as they lie: no mode looks on,
 * no gradient is wanted, no negation is pending. */
bool torch_plain(PyObject *const *tensors, const unisparse_tensor *given,
                 int count);

/* Memory without a tensor around it, of the current stream's until it is given
 * back. Null for 0 bytes. */
bool torch_take(exchange_device device, int64_t bytes, exchange_managed **out);
void torch_give_back(exchange_managed *memory);

bool torch_stream(exchange_device device, void **stream);

/* Raises what a runtime function failed with, on the thread that called it.
 * -> NULL */
PyObject *torch_raise(int status);

int64_t torch_element_bytes(unisparse_element element);

#endif /* UNISPARSE_PYTHON_TORCH_H */
