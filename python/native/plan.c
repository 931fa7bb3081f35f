/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What a plan is known by, and how it is made. */
#include "plan.h"
#include <string.h>

unsigned plan_generation;

void plan_hash(plan_call *call) {
  uint64_t hash = (uint64_t)call->count << 1 | call->has_out;
  for (int i = 0; i < call->count + call->has_out; ++i) {
    const unisparse_tensor *x = &call->given[i];
    hash = (hash ^ ((uint64_t)x->element << 8 | (uint64_t)x->rank)) *
           UINT64_C(0x9E3779B97F4A7C15);
    for (int d = 0; d < x->rank; ++d)
      hash = (hash ^ (uint64_t)x->sizes[d] ^ hash >> 29) *
             UINT64_C(0xBF58476D1CE4E5B9);
  }
  call->hash = hash ^ hash >> 32;
}

static bool same_tensor(const unisparse_tensor *a, const unisparse_tensor *b) {
  if (a->element != b->element || a->rank != b->rank)
    return false;
  for (int d = 0; d < a->rank; ++d)
    if (a->sizes[d] != b->sizes[d] || a->strides[d] != b->strides[d])
      return false;
  return true;
}

/* As _plan.key has it: plain values of one type that are equal, and tuples and
 * lists of them. */
static bool same_option(PyObject *a, PyObject *b, bool nested) {
  if (a == b && !PyList_CheckExact(a))
    return true;
  if (!nested && PyTuple_CheckExact(b) &&
      (PyTuple_CheckExact(a) || PyList_CheckExact(a))) {
    Py_ssize_t size = PyTuple_Size(b);
    bool is_list = PyList_CheckExact(a);
    if ((is_list ? PyList_Size(a) : PyTuple_Size(a)) != size)
      return false;
    for (Py_ssize_t i = 0; i < size; ++i)
      if (!same_option(is_list ? PyList_GetItem(a, i) : PyTuple_GetItem(a, i),
                       PyTuple_GetItem(b, i), true))
        return false;
    return true;
  }
  if (Py_TYPE(a) != Py_TYPE(b) ||
      !(PyLong_CheckExact(a) || PyFloat_CheckExact(a) ||
        PyUnicode_CheckExact(a)))
    return false;
  int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  if (equal < 0)
    PyErr_Clear();
  return equal == 1;
}

bool plan_matches(const plan *p, const plan_call *call) {
  if (p->generation != plan_generation || p->hash != call->hash ||
      p->count != call->count || p->has_out != call->has_out ||
      p->device.type != call->device.type || p->device.id != call->device.id ||
      PyTuple_Size(p->options) != call->option_count)
    return false;
  for (int i = 0; i < p->count + p->has_out; ++i)
    if (!same_tensor(&p->given[i], &call->given[i]))
      return false;
  for (Py_ssize_t i = 0; i < call->option_count; ++i)
    if (!same_option(call->options[i], PyTuple_GetItem(p->options, i), false))
      return false;
  return true;
}

plan *plan_keep(plan *p) {
  ++p->references;
  return p;
}

void plan_release(plan *p) {
  if (!p || --p->references > 0)
    return;
  device_release(p->on_device);
  Py_XDECREF(p->options);
  Py_XDECREF(p->makers);
  Py_XDECREF(p->threads);
  for (int i = 0; i < PLAN_LAYOUTS; ++i)
    Py_XDECREF(p->turned[i]);
  PyMem_Free(p);
}

/* A tuple of small numbers -> how many, or -1. */
static int numbers(PyObject *tuple, int *to, int most) {
  Py_ssize_t size = PyTuple_Size(tuple);
  if (size < 0 || size > most)
    return -1;
  for (Py_ssize_t i = 0; i < size; ++i) {
    long x = PyLong_AsLong(PyTuple_GetItem(tuple, i));
    if (PyErr_Occurred())
      return -1;
    to[i] = (int)x;
  }
  return (int)size;
}

PyObject *plan_kept(PyObject *x) {
  Py_INCREF(x);
  return x;
}

/* Sizes and strides of this very call: its addresses are the next ones' own. */
static bool fill_device(plan *p, PyObject *functions) {
  unisparse_tensor inputs[PLAN_MAX_GIVEN];
  for (int i = 0; i < p->input_count; ++i)
    inputs[i] = p->given[p->order[i]];
  p->on_device = device_make(functions, p->program, inputs, p->input_count,
                             p->outputs, p->output_count);
  return p->on_device != NULL;
}

static bool fill_host(plan *p, PyObject *host) {
  unsigned long long run, check;
  long long lengths[4];
  PyObject *led, *threads;
  if (!PyArg_ParseTuple(host, "KKO!(LLLL)O", &run, &check, &PyTuple_Type, &led,
                        &lengths[0], &lengths[1], &lengths[2], &lengths[3],
                        &threads) ||
      numbers(led, p->led, PLAN_LED) != PLAN_LED)
    return false;
  p->run = (plan_on_host *)(uintptr_t)run;
  p->check = (plan_check_on_host *)(uintptr_t)check;
  for (int i = 0; i < PLAN_LED; ++i)
    p->is_led |= p->led[i] >= 0;
  p->values = (unisparse_cpu_values){.queries = lengths[0],
                                     .keys = lengths[1],
                                     .query_block = lengths[2],
                                     .key_block = lengths[3]};
  p->threads = plan_kept(threads);
  return true;
}

static bool fill_launch(plan *p, PyObject *launch) {
  unsigned long long program;
  long long workspace;
  PyObject *order, *makers, *turned, *flat, *pick, *host, *device;
  const char *outputs;
  Py_ssize_t bytes;
  if (!PyArg_ParseTuple(launch, "KLO!y#O!OOO!iOO", &program, &workspace,
                        &PyTuple_Type, &order, &outputs, &bytes, &PyTuple_Type,
                        &makers, &turned, &flat, &PyTuple_Type, &pick, &p->o,
                        &host, &device))
    return false;
  p->program = (void *)(uintptr_t)program;
  p->workspace = workspace;
  p->input_count = numbers(order, p->order, PLAN_MAX_GIVEN);
  p->pick_count = numbers(pick, p->pick, PLAN_MAX_OUTPUTS);
  p->output_count = (int)(bytes / (Py_ssize_t)sizeof(unisparse_tensor));
  if (p->input_count != p->count || p->pick_count < 0 ||
      p->output_count > PLAN_MAX_OUTPUTS ||
      PyTuple_Size(makers) != p->output_count)
    return false;
  for (int i = 0; i < p->input_count; ++i)
    if (p->order[i] < 0 || p->order[i] >= p->count)
      return false;
  for (int i = 0; i < p->pick_count; ++i)
    if (p->pick[i] < 0 || p->pick[i] >= p->output_count)
      return false;
  if (p->o < 0 || p->o >= p->output_count)
    return false;
  memcpy(p->outputs, outputs, (size_t)bytes);
  /* What the program is given for o has the caller's strides. */
  if (p->has_out)
    memcpy(p->outputs[p->o].strides, p->given[p->count].strides,
           sizeof p->outputs[p->o].strides);
  p->makers = plan_kept(makers);
  p->turned[PLAN_BSHD] = plan_kept(turned);
  p->turned[PLAN_FLAT] = plan_kept(flat);
  return host == Py_None ? fill_device(p, device) : fill_host(p, host);
}

plan *plan_new(const plan_call *call, PyObject *options, PyObject *launch) {
  plan *p = PyMem_Calloc(1, sizeof *p);
  if (!p) {
    PyErr_NoMemory();
    return NULL;
  }
  p->references = 1;
  p->generation = plan_generation;
  p->hash = call->hash;
  p->device = call->device;
  p->count = call->count;
  p->has_out = call->has_out;
  memcpy(p->given, call->given, sizeof p->given);
  p->options = plan_kept(options);
  if (fill_launch(p, launch))
    return p;
  if (!PyErr_Occurred())
    PyErr_SetString(PyExc_ValueError, "launch: expected one of this plan");
  plan_release(p);
  return NULL;
}
