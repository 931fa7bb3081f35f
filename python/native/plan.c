/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "plan.h"
#include <string.h>

typedef unisparse_status launch_on_device(const void *, const unisparse_tensor *,
                                          int32_t, const unisparse_tensor *,
                                          int32_t, void *, size_t, void *);
typedef unisparse_status run_on_host(const void *, const unisparse_tensor *,
                                     int32_t, const unisparse_tensor *, int32_t,
                                     int32_t);
typedef unisparse_status check_on_host(const unisparse_cpu_values *);

struct plan {
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
  void *run, *program;
  int input_count, output_count, o, pick_count;
  int order[PLAN_MAX_GIVEN], pick[PLAN_MAX_OUTPUTS];
  unisparse_tensor outputs[PLAN_MAX_OUTPUTS];
  /* (function, arguments, keywords or None) of each output, and of o in the
   * other layouts. */
  PyObject *makers, *turned[PLAN_LAYOUTS];
  /* On a device: */
  int64_t workspace;
  /* In memory of the host: */
  bool on_host, is_led;
  check_on_host *check;
  int led[PLAN_LED];
  unisparse_cpu_values values;
  PyObject *threads;
};

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
      !(PyLong_CheckExact(a) || PyFloat_CheckExact(a) || PyUnicode_CheckExact(a)))
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

static PyObject *kept(PyObject *x) {
  Py_INCREF(x);
  return x;
}

static bool fill_host(plan *p, PyObject *host) {
  unsigned long long check;
  long long lengths[4];
  PyObject *led, *threads;
  if (!PyArg_ParseTuple(host, "KO!(LLLL)O", &check, &PyTuple_Type, &led,
                        &lengths[0], &lengths[1], &lengths[2], &lengths[3],
                        &threads) ||
      numbers(led, p->led, PLAN_LED) != PLAN_LED)
    return false;
  p->on_host = true;
  p->check = (check_on_host *)(uintptr_t)check;
  for (int i = 0; i < PLAN_LED; ++i)
    p->is_led |= p->led[i] >= 0;
  p->values = (unisparse_cpu_values){.queries = lengths[0],
                                     .keys = lengths[1],
                                     .query_block = lengths[2],
                                     .key_block = lengths[3]};
  p->threads = kept(threads);
  return true;
}

static bool fill_launch(plan *p, PyObject *launch) {
  unsigned long long run, program;
  long long workspace;
  PyObject *order, *makers, *turned, *flat, *pick, *host;
  const char *outputs;
  Py_ssize_t bytes;
  if (!PyArg_ParseTuple(launch, "KKLO!y#O!OOO!iO", &run, &program, &workspace,
                        &PyTuple_Type, &order, &outputs, &bytes, &PyTuple_Type,
                        &makers, &turned, &flat, &PyTuple_Type, &pick, &p->o,
                        &host))
    return false;
  p->run = (void *)(uintptr_t)run;
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
  p->makers = kept(makers);
  p->turned[PLAN_BSHD] = kept(turned);
  p->turned[PLAN_FLAT] = kept(flat);
  return host == Py_None || fill_host(p, host);
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
  p->options = kept(options);
  if (fill_launch(p, launch))
    return p;
  if (!PyErr_Occurred())
    PyErr_SetString(PyExc_ValueError, "launch: expected one of this plan");
  plan_release(p);
  return NULL;
}

/*--------------------------------------------------------------------------*\
 * A call
\*--------------------------------------------------------------------------*/

/* What a call allocates, and gives back or returns. */
typedef struct memory {
  unisparse_tensor inputs[PLAN_MAX_GIVEN], outputs[PLAN_MAX_OUTPUTS];
  PyObject *made[PLAN_MAX_OUTPUTS];
  exchange_managed *taken[PLAN_MAX_OUTPUTS], *workspace;
} memory;

static int64_t bytes_of(const unisparse_tensor *x) {
  int64_t bytes = torch_element_bytes(x->element);
  for (int d = 0; d < x->rank; ++d)
    bytes *= x->sizes[d];
  return bytes;
}

/* From the first to behind the last byte. */
static void range_of(const unisparse_tensor *x, uintptr_t range[2]) {
  int64_t last = 0;
  for (int d = 0; d < x->rank; ++d) {
    if (x->sizes[d] == 0) {
      range[0] = range[1] = 0;
      return;
    }
    last += (x->sizes[d] - 1) * x->strides[d];
  }
  range[0] = (uintptr_t)x->data;
  range[1] = range[0] + (uintptr_t)((last + 1) * torch_element_bytes(x->element));
}

/* Whether a program may write o where the caller wants it: Python's path knows
 * what to copy. */
static bool out_is_apart(const plan_call *call) {
  const unisparse_tensor *out = &call->given[call->count];
  uintptr_t written[2], read[2];
  if ((uintptr_t)out->data % 16 != 0)
    return false;
  range_of(out, written);
  for (int i = 0; i < call->count; ++i) {
    range_of(&call->given[i], read);
    if (read[0] < written[1] && written[0] < read[1])
      return false;
  }
  return true;
}

static PyObject *make(PyObject *maker) {
  PyObject *keywords = PyTuple_GetItem(maker, 2);
  PyObject *made =
      PyObject_Call(PyTuple_GetItem(maker, 0), PyTuple_GetItem(maker, 1),
                    keywords == Py_None ? NULL : keywords);
  if (!made)
    PyErr_Clear();
  return made;
}

static bool is_picked(const plan *p, int output) {
  for (int i = 0; i < p->pick_count; ++i)
    if (p->pick[i] == output)
      return true;
  return false;
}

static bool make_output(const plan *p, const plan_call *call, int n,
                        memory *m) {
  unisparse_tensor *output = &m->outputs[n];
  *output = p->outputs[n];
  if (n == p->o && call->own_out) {
    m->made[n] = kept(call->objects[call->count]);
    output->data = call->given[call->count].data;
    return true;
  }
  if (!is_picked(p, n)) {
    if (!torch_take(p->device, bytes_of(output), &m->taken[n]))
      return false;
    output->data = m->taken[n] ? m->taken[n]->tensor.data : NULL;
    return true;
  }
  PyObject *maker = n == p->o && call->layout != PLAN_BHSD
                        ? p->turned[call->layout]
                        : PyTuple_GetItem(p->makers, n);
  unisparse_tensor found;
  exchange_device device;
  m->made[n] = make(maker);
  if (!m->made[n] || !torch_describe(m->made[n], &found, &device) ||
      device.type != p->device.type || device.id != p->device.id)
    return false;
  output->data = found.data;
  return true;
}

static PyObject *results(const plan *p, const plan_call *call,
                         const memory *m) {
  if (p->pick_count == 1 && !call->as_list)
    return kept(m->made[p->pick[0]]);
  PyObject *result = call->as_list ? PyList_New(p->pick_count)
                                   : PyTuple_New(p->pick_count);
  for (int i = 0; result && i < p->pick_count; ++i) {
    PyObject *made = kept(m->made[p->pick[i]]);
    if (call->as_list)
      PyList_SetItem(result, i, made);
    else
      PyTuple_SetItem(result, i, made);
  }
  return result;
}

static unisparse_status check_values(const plan *p, const memory *m) {
  const unisparse_tensor *led[PLAN_LED];
  for (int i = 0; i < PLAN_LED; ++i)
    led[i] = p->led[i] < 0 ? NULL : &m->inputs[p->led[i]];
  unisparse_cpu_values values = p->values;
  values.cu_seqlens_q = led[0];
  values.cu_seqlens_k = led[1];
  values.counts = led[2];
  values.indices = led[3];
  return p->check(&values);
}

static bool threads_of(const plan *p, int32_t *threads) {
  PyObject *found = PyObject_CallNoArgs(p->threads);
  *threads = found ? (int32_t)PyLong_AsLong(found) : 0;
  Py_XDECREF(found);
  if (!PyErr_Occurred())
    return true;
  PyErr_Clear();
  return false;
}

static PyObject *run_in(plan *p, const plan_call *call, memory *m) {
  void *stream = NULL;
  int32_t threads = 0;
  unisparse_status status;
  for (int i = 0; i < p->input_count; ++i)
    m->inputs[i] = call->given[p->order[i]];
  if (p->is_led) {
    Py_BEGIN_ALLOW_THREADS
    status = check_values(p, m);
    Py_END_ALLOW_THREADS
    if (status != UNISPARSE_OK)
      return torch_raise(status);
  }
  for (int n = 0; n < p->output_count; ++n)
    if (!make_output(p, call, n, m))
      return kept(Py_None);
  if (p->on_host ? !threads_of(p, &threads)
                 : !torch_stream(p->device, &stream) ||
                       !torch_take(p->device, p->workspace, &m->workspace))
    return kept(Py_None);
  void *workspace = m->workspace ? m->workspace->tensor.data : NULL;
  /* The runtime may wait, for a full queue say: other threads run meanwhile. */
  Py_BEGIN_ALLOW_THREADS
  status = p->on_host
               ? ((run_on_host *)p->run)(p->program, m->inputs, p->input_count,
                                         m->outputs, p->output_count, threads)
               : ((launch_on_device *)p->run)(
                     p->program, m->inputs, p->input_count, m->outputs,
                     p->output_count, workspace, (size_t)p->workspace, stream);
  Py_END_ALLOW_THREADS
  return status == UNISPARSE_OK ? results(p, call, m) : torch_raise(status);
}

PyObject *plan_run(plan *p, const plan_call *call) {
  if (!torch_plain(call->objects, call->count + call->own_out) ||
      (call->own_out && !out_is_apart(call)))
    return kept(Py_None);
  memory m;
  memset(m.made, 0, sizeof m.made);
  memset(m.taken, 0, sizeof m.taken);
  m.workspace = NULL;
  PyObject *result = run_in(p, call, &m);
  /* What is freed may run code of torch's, which takes an exception for its own. */
  PyObject *kind, *value, *trace;
  PyErr_Fetch(&kind, &value, &trace);
  for (int n = 0; n < p->output_count; ++n) {
    Py_XDECREF(m.made[n]);
    torch_give_back(m.taken[n]);
  }
  torch_give_back(m.workspace);
  PyErr_Restore(kind, value, trace);
  return result;
}
