/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A bound call, see _program.py: everything but the stream is known. */
#include "calls.h"

#include "plan.h"
#include <string.h>

typedef struct bound {
  PyObject_HEAD unsigned generation;
  plan_on_device *run;
  void *program, *workspace, *stream;
  unsigned long long bytes;
  exchange_device device;
  int32_t input_count, output_count;
  unisparse_tensor *tensors; /* inputs, then outputs */
  PyObject *results;
} bound;

/* again() -> the results, or None where the current stream is another or a
 * program was closed since. */
static PyObject *again(PyObject *object, PyObject *unused) {
  (void)unused;
  bound *self = (bound *)object;
  void *stream = NULL;
  if (self->generation != plan_generation ||
      !torch_stream(self->device, &stream) || stream != self->stream) {
    Py_INCREF(Py_None);
    return Py_None;
  }
  PyThreadState *state = PyEval_SaveThread();
  unisparse_status status =
      self->run(self->program, self->tensors, self->input_count,
                self->tensors + self->input_count, self->output_count,
                self->workspace, (size_t)self->bytes, stream);
  PyEval_RestoreThread(state);
  if (status != UNISPARSE_OK)
    return torch_raise(status);
  Py_INCREF(self->results);
  return self->results;
}

static void free_bound(PyObject *object) {
  bound *self = (bound *)object;
  PyTypeObject *type = Py_TYPE(object);
  PyMem_Free(self->tensors);
  Py_XDECREF(self->results);
  PyObject_Free(object);
  Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"again", again, METH_NOARGS, "again() -> the results, or None"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, free_bound}, {Py_tp_methods, methods}, {0, NULL}};

static PyType_Spec spec = {
    "unisparse._native.Bound", sizeof(bound), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

static PyTypeObject *type;

bool bound_ready(void) {
  if (!type)
    type = (PyTypeObject *)PyType_FromSpec(&spec);
  return type != NULL;
}

PyObject *bound_new(PyObject *module, PyObject *arguments) {
  (void)module;
  unsigned long long run, program, workspace, bytes, stream;
  const char *inputs, *outputs;
  Py_ssize_t input_bytes, output_bytes;
  exchange_device device;
  PyObject *results;
  if (!PyArg_ParseTuple(arguments, "KKy#y#KKiiKO:bound", &run, &program,
                        &inputs, &input_bytes, &outputs, &output_bytes,
                        &workspace, &bytes, &device.type, &device.id, &stream,
                        &results))
    return NULL;
  if (!torch_connected()) {
    PyErr_SetString(PyExc_ValueError, "bound: expected torch to be connected");
    return NULL;
  }
  bound *self = PyObject_New(bound, type);
  if (!self)
    return NULL;
  Py_INCREF(results);
  self->results = results;
  self->generation = plan_generation;
  self->run = (plan_on_device *)(uintptr_t)run;
  self->program = (void *)(uintptr_t)program;
  self->workspace = (void *)(uintptr_t)workspace;
  self->bytes = bytes;
  self->stream = (void *)(uintptr_t)stream;
  self->device = device;
  self->input_count =
      (int32_t)(input_bytes / (Py_ssize_t)sizeof(unisparse_tensor));
  self->output_count =
      (int32_t)(output_bytes / (Py_ssize_t)sizeof(unisparse_tensor));
  self->tensors = PyMem_Malloc((size_t)(input_bytes + output_bytes) + 1);
  if (!self->tensors) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  memcpy(self->tensors, inputs, (size_t)input_bytes);
  memcpy((char *)self->tensors + input_bytes, outputs, (size_t)output_bytes);
  return (PyObject *)self;
}
