/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* unisparse._native: calls like earlier ones without Python's part of them. The
 * package does without it where it is not built, or torch is older than 2.10.
 * CPython's limited API of 3.10 alone, so that one file serves all versions. */
#include "calls.h"

#include "plan.h"

static PyObject *forget(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  ++plan_generation;
  device_forget();
  Py_INCREF(Py_None);
  return Py_None;
}

static PyObject *describe(PyObject *module, PyObject *x) {
  (void)module;
  unisparse_tensor found;
  exchange_device device;
  if (!torch_connected() || !torch_describe(x, &found, &device)) {
    Py_INCREF(Py_None);
    return Py_None;
  }
  return Py_BuildValue("(ii)", device.type, device.id);
}

static PyObject *stream(PyObject *module, PyObject *arguments) {
  (void)module;
  exchange_device device;
  void *found;
  if (!PyArg_ParseTuple(arguments, "ii:stream", &device.type, &device.id))
    return NULL;
  if (!torch_connected() || !torch_stream(device, &found)) {
    Py_INCREF(Py_None);
    return Py_None;
  }
  return PyLong_FromVoidPtr(found);
}

static PyMethodDef functions[] = {
    {"connect", torch_connect, METH_VARARGS,
     "connect(tensor_type, parameter_type, is_neg, is_grad_enabled, modes, "
     "check) -> whether torch's tensors speak DLPack's C exchange API"},
    {"calls", calls_new, METH_VARARGS, "calls(leading, sets) -> a cache"},
    {"bound", bound_new, METH_VARARGS,
     "bound(functions, program, inputs, outputs, workspace, device_type, "
     "device, stream, results) -> a call"},
    {"device", describe, METH_O,
     "device(x) -> DLPack's (type, number), or None"},
    {"stream", stream, METH_VARARGS, "stream(device_type, device) -> address"},
    {"forget", forget, METH_NOARGS, "forget(): no plan of before is found"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        "_native",
                                        NULL,
                                        -1,
                                        functions,
                                        NULL,
                                        NULL,
                                        NULL,
                                        NULL};

/* Counted up with every change of what a function takes: _again.py's INTERFACE.
 */
enum { INTERFACE = 2 };

PyMODINIT_FUNC PyInit__native(void) {
  if (!calls_ready() || !bound_ready())
    return NULL;
  PyObject *module = PyModule_Create(&definition);
  if (module && PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
