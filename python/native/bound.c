/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A bound call, see _program.py: everything but the stream is known, and that
 * is one of few. */
#include "calls.h"

#include "plan.h"

/* So many streams are known at a time; the oldest gives way. */
enum { STREAMS = 8 };

typedef struct bound {
  PyObject_HEAD unsigned generation;
  device_plan *plan;
  void *workspace, *streams[STREAMS];
  unsigned stream_count;
  exchange_device device;
  void **inputs, **outputs; /* their addresses, in one piece of memory */
  PyObject *results;
} bound;

static bool knows(const bound *self, const void *stream) {
  for (unsigned i = 0; i < self->stream_count && i < STREAMS; ++i)
    if (self->streams[i] == stream)
      return true;
  return false;
}

static PyObject *run(bound *self) {
  void *stream = NULL;
  if (!torch_stream(self->device, &stream) || !knows(self, stream))
    return plan_kept(Py_None);
  PyThreadState *state = PyEval_SaveThread();
  unisparse_status status = device_launch(
      self->plan, self->inputs, self->outputs, self->workspace, stream);
  PyEval_RestoreThread(state);
  return status == UNISPARSE_OK ? plan_kept(self->results)
                                : torch_raise(status);
}

/* again() -> the results, or None where the current stream is an unknown one or
 * a program was closed since. */
static PyObject *again(PyObject *object, PyObject *unused) {
  (void)unused;
  bound *self = (bound *)object;
  if (self->generation != plan_generation || !device_enter(self->plan))
    return plan_kept(Py_None);
  PyObject *result = run(self);
  device_leave(self->plan);
  return result;
}

/* also(stream) -> whether it is known from now on: not where a program was
 * closed since. */
static PyObject *also(PyObject *object, PyObject *stream) {
  bound *self = (bound *)object;
  void *known = PyLong_AsVoidPtr(stream);
  if (PyErr_Occurred())
    return NULL;
  if (self->generation != plan_generation)
    return plan_kept(Py_False);
  if (!knows(self, known))
    self->streams[self->stream_count++ % STREAMS] = known;
  return plan_kept(Py_True);
}

static void free_bound(PyObject *object) {
  bound *self = (bound *)object;
  PyTypeObject *type = Py_TYPE(object);
  device_release(self->plan);
  PyMem_Free(self->inputs);
  Py_XDECREF(self->results);
  PyObject_Free(object);
  Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"again", again, METH_NOARGS, "again() -> the results, or None"},
    {"also", also, METH_O, "also(stream) -> whether it is known from now on"},
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

static int32_t count_of(Py_ssize_t bytes) {
  return (int32_t)(bytes / (Py_ssize_t)sizeof(unisparse_tensor));
}

PyObject *bound_new(PyObject *module, PyObject *arguments) {
  (void)module;
  unsigned long long program, workspace, stream;
  const char *inputs, *outputs;
  Py_ssize_t input_bytes, output_bytes;
  exchange_device device;
  PyObject *functions, *results;
  if (!PyArg_ParseTuple(arguments, "OKy#y#KiiKO:bound", &functions, &program,
                        &inputs, &input_bytes, &outputs, &output_bytes,
                        &workspace, &device.type, &device.id, &stream,
                        &results))
    return NULL;
  if (!torch_connected()) {
    PyErr_SetString(PyExc_ValueError, "bound: expected torch to be connected");
    return NULL;
  }
  int32_t input_count = count_of(input_bytes),
          output_count = count_of(output_bytes);
  bound *self = PyObject_New(bound, type);
  if (!self)
    return NULL;
  self->results = plan_kept(results);
  self->generation = plan_generation;
  self->workspace = (void *)(uintptr_t)workspace;
  self->streams[0] = (void *)(uintptr_t)stream;
  self->stream_count = 1;
  self->device = device;
  self->plan = NULL;
  self->inputs = PyMem_Malloc((size_t)(input_count + output_count + 1) *
                              sizeof *self->inputs);
  const unisparse_tensor *in = (const unisparse_tensor *)inputs,
                         *out = (const unisparse_tensor *)outputs;
  if (self->inputs)
    self->plan = device_make(functions, (void *)(uintptr_t)program, in,
                             input_count, out, output_count);
  else
    PyErr_NoMemory();
  if (!self->plan) {
    Py_DECREF(self);
    return NULL;
  }
  self->outputs = self->inputs + input_count;
  for (int32_t i = 0; i < input_count; ++i)
    self->inputs[i] = in[i].data;
  for (int32_t i = 0; i < output_count; ++i)
    self->outputs[i] = out[i].data;
  return (PyObject *)self;
}
