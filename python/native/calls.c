/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Plans by calls: a cache in front of the plans that _plan.py has. What is not
 * in it, or looks odd, is None, and Python's path goes on. */
#include "calls.h"

#include "plan.h"
#include <string.h>

/* A call is looked for in this many places; the oldest gives way. */
enum { WAYS = 4 };

typedef struct calls {
  PyObject_HEAD int
      leading; /* tensors that lead the arguments of a function, or EVERY */
  unsigned sets, next;
  plan **plans;
} calls;

enum { EVERY = -1 }; /* all arguments are tensors: those of a program */

/* What follows the leading tensors of a function. */
enum { ENDS, SINKS, TABLES, LAYOUT, OUT, FIRST_OPTION };

static bool add(plan_call *call, PyObject *x) {
  exchange_device device;
  if (call->count == PLAN_MAX_GIVEN ||
      !torch_describe(x, &call->given[call->count], &device))
    return false;
  if (call->count == 0)
    call->device = device;
  else if (device.type != call->device.type || device.id != call->device.id)
    return false;
  call->objects[call->count++] = x;
  return true;
}

/* [B, L, H, D] or [L, H, D] -> [B, H, L, D], as _layout.py does it. */
static bool turn(unisparse_tensor *x, int layout) {
  if (x->rank != (layout == PLAN_FLAT ? 3 : 4))
    return false;
  if (layout == PLAN_FLAT) {
    memmove(x->sizes + 1, x->sizes, 3 * sizeof *x->sizes);
    memmove(x->strides + 1, x->strides, 3 * sizeof *x->strides);
    x->strides[0] = x->sizes[1] * x->strides[1];
    x->sizes[0] = 1;
    x->rank = 4;
  }
  int64_t size = x->sizes[1], stride = x->strides[1];
  x->sizes[1] = x->sizes[2];
  x->strides[1] = x->strides[2];
  x->sizes[2] = size;
  x->strides[2] = stride;
  return true;
}

static int64_t at_least_one(int64_t x) { return x > 1 ? x : 1; }

/* o, [B, H, L, Dv], in new memory [B, L, H, Dv] where there is none for it. */
static void lay_out(plan_call *call) {
  unisparse_tensor *o = &call->given[call->count];
  *o = call->given[0];
  o->data = NULL;
  o->sizes[3] = call->given[2].sizes[3];
  o->strides[3] = 1;
  o->strides[1] = at_least_one(o->sizes[3]);
  o->strides[2] = o->strides[1] * at_least_one(o->sizes[1]);
  o->strides[0] = o->strides[2] * at_least_one(o->sizes[2]);
}

static bool is_word(PyObject *x, const char *word) {
  return PyUnicode_CheckExact(x) &&
         PyUnicode_CompareWithASCIIString(x, word) == 0;
}

static bool add_ends(plan_call *call, PyObject *ends) {
  if (ends == Py_None)
    return true;
  if (PyTuple_CheckExact(ends) && PyTuple_Size(ends) == 2)
    return add(call, PyTuple_GetItem(ends, 0)) &&
           add(call, PyTuple_GetItem(ends, 1));
  return add(call, ends) && add(call, ends);
}

static bool add_out(plan_call *call, PyObject *out) {
  if (out == Py_None)
    return true;
  exchange_device device;
  if (!torch_describe(out, &call->given[call->count], &device) ||
      device.type != call->device.type || device.id != call->device.id)
    return false;
  call->objects[call->count] = out;
  call->has_out = call->own_out = true;
  return true;
}

/* A function's arguments. */
static bool read_function(int leading, PyObject *const *arguments,
                          Py_ssize_t count, plan_call *call) {
  if (count < leading + FIRST_OPTION)
    return false;
  PyObject *const *rest = arguments + leading;
  bool turned = !is_word(rest[LAYOUT], "bhsd");
  if (rest[TABLES] != Py_None || (turned && !is_word(rest[LAYOUT], "bshd")))
    return false;
  for (int i = 0; i < leading; ++i)
    if (!add(call, arguments[i]))
      return false;
  if (turned)
    call->layout = rest[ENDS] != Py_None && call->given[0].rank == 3
                       ? PLAN_FLAT
                       : PLAN_BSHD;
  if (!add_ends(call, rest[ENDS]) ||
      (rest[SINKS] != Py_None && !add(call, rest[SINKS])) ||
      !add_out(call, rest[OUT]))
    return false;
  for (int i = 0; turned && i < 3; ++i)
    if (!turn(&call->given[i], call->layout))
      return false;
  if (turned && call->own_out && !turn(&call->given[call->count], call->layout))
    return false;
  if (turned && !call->own_out) {
    lay_out(call);
    call->has_out = true;
  }
  call->options = rest + FIRST_OPTION;
  call->option_count = count - leading - FIRST_OPTION;
  return true;
}

static bool read_program(PyObject *const *arguments, Py_ssize_t count,
                         plan_call *call) {
  if (count < 1)
    return false;
  for (Py_ssize_t i = 0; i < count; ++i)
    if (!add(call, arguments[i]))
      return false;
  return true;
}

static void begin(const calls *self, plan_call *call) {
  call->as_list = self->leading == EVERY;
  call->count = 0;
  call->has_out = call->own_out = false;
  call->layout = PLAN_BHSD;
  call->options = NULL;
  call->option_count = 0;
}

static plan **set_of(calls *self, const plan_call *call) {
  return self->plans + (call->hash % self->sets) * WAYS;
}

static plan **find(calls *self, const plan_call *call) {
  plan **set = set_of(self, call);
  for (int i = 0; i < WAYS; ++i)
    if (set[i] && plan_matches(set[i], call))
      return &set[i];
  return NULL;
}

/* Where nothing is that is of use, else where the oldest is, more or less. */
static plan **free_place(calls *self, const plan_call *call) {
  plan **set = set_of(self, call);
  for (int i = 0; i < WAYS; ++i)
    if (!set[i] || set[i]->generation != plan_generation)
      return &set[i];
  return &set[self->next++ % WAYS];
}

static PyObject *nothing(void) {
  Py_INCREF(Py_None);
  return Py_None;
}

/* again(*arguments) -> the results, or None. */
static PyObject *again(PyObject *object, PyObject *const *arguments,
                       Py_ssize_t count) {
  calls *self = (calls *)object;
  plan_call call;
  if (!self->plans || !torch_connected())
    return nothing();
  begin(self, &call);
  if (!(self->leading == EVERY
            ? read_program(arguments, count, &call)
            : read_function(self->leading, arguments, count, &call)))
    return nothing();
  plan_hash(&call);
  plan **place = find(self, &call);
  if (!place)
    return nothing();
  plan *p = plan_keep(*place); /* Others run while this one launches. */
  PyObject *result = plan_run(p, &call);
  plan_release(p);
  return result;
}

/* Tensors that are [B, H, L, D] already, and `out`. */
static bool read_plan(PyObject *tensors, PyObject *out, plan_call *call) {
  for (Py_ssize_t i = 0; i < PyTuple_Size(tensors); ++i)
    if (!add(call, PyTuple_GetItem(tensors, i)))
      return false;
  return call->count > 0 && add_out(call, out);
}

/* remember(tensors, out, options, launch): calls like this one are found from
 * now on. */
static PyObject *remember(PyObject *object, PyObject *arguments) {
  calls *self = (calls *)object;
  PyObject *tensors, *out, *options, *launch;
  plan_call call;
  if (!PyArg_ParseTuple(arguments, "O!OO!O!:remember", &PyTuple_Type, &tensors,
                        &out, &PyTuple_Type, &options, &PyTuple_Type, &launch))
    return NULL;
  begin(self, &call);
  if (!torch_connected() || !read_plan(tensors, out, &call))
    return nothing();
  plan_hash(&call);
  PyObject *values[64];
  call.option_count = PyTuple_Size(options);
  call.options = values;
  if (call.option_count > 64)
    return nothing();
  for (Py_ssize_t i = 0; i < call.option_count; ++i)
    values[i] = PyTuple_GetItem(options, i);
  if (!self->plans)
    self->plans = PyMem_Calloc((size_t)self->sets * WAYS, sizeof *self->plans);
  if (!self->plans)
    return PyErr_NoMemory();
  plan *made = plan_new(&call, options, launch);
  if (!made)
    return NULL;
  plan **place = find(self, &call);
  if (!place)
    place = free_place(self, &call);
  plan *before = *place;
  *place = made;
  plan_release(before);
  return nothing();
}

static void free_calls(PyObject *object) {
  calls *self = (calls *)object;
  PyTypeObject *type = Py_TYPE(object);
  for (unsigned i = 0; self->plans && i < self->sets * WAYS; ++i)
    plan_release(self->plans[i]);
  PyMem_Free(self->plans);
  PyObject_Free(object);
  Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"again", (PyCFunction)(void (*)(void))again, METH_FASTCALL,
     "again(*arguments) -> what a call like an earlier one gives, or None"},
    {"remember", remember, METH_VARARGS,
     "remember(tensors, out, options, launch)"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, free_calls}, {Py_tp_methods, methods}, {0, NULL}};

static PyType_Spec spec = {
    "unisparse._native.Calls", sizeof(calls), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

static PyTypeObject *type;

bool calls_ready(void) {
  if (!type)
    type = (PyTypeObject *)PyType_FromSpec(&spec);
  return type != NULL;
}

PyObject *calls_new(PyObject *module, PyObject *arguments) {
  (void)module;
  int leading, sets;
  if (!PyArg_ParseTuple(arguments, "ii:calls", &leading, &sets))
    return NULL;
  if (leading < EVERY || leading > PLAN_MAX_GIVEN || sets < 1 || sets > 4096) {
    PyErr_SetString(PyExc_ValueError, "calls: expected few tensors and sets");
    return NULL;
  }
  calls *self = PyObject_New(calls, type);
  if (!self)
    return NULL;
  self->leading = leading;
  self->sets = (unsigned)sets;
  self->next = 0;
  self->plans = NULL;
  return (PyObject *)self;
}
