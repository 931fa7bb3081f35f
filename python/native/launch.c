/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A call of a plan: memory, the current stream, the runtime. */
#include "plan.h"
#include <string.h>

/* What a call allocates, and gives back or returns. */
typedef struct memory {
  unisparse_tensor inputs[PLAN_MAX_GIVEN], outputs[PLAN_MAX_OUTPUTS];
  PyObject *made[PLAN_MAX_OUTPUTS];
  /* The workspace and, in front of it, outputs that are no results. */
  exchange_managed *taken;
} memory;

enum { PIECE = 512 }; /* Of torch's allocator on GPUs. */

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
  range[1] =
      range[0] + (uintptr_t)((last + 1) * torch_element_bytes(x->element));
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
    m->made[n] = plan_kept(call->objects[call->count]);
    output->data = call->given[call->count].data;
    return true;
  }
  if (!is_picked(p, n))
    return true;
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

/* -> the workspace's address in *workspace. */
static bool take_rest(const plan *p, memory *m, void **workspace) {
  int64_t places[PLAN_MAX_OUTPUTS], bytes = 0;
  for (int n = 0; n < p->output_count; ++n)
    if (!is_picked(p, n)) {
      places[n] = bytes;
      bytes += (bytes_of(&m->outputs[n]) + PIECE - 1) / PIECE * PIECE;
    }
  if (!torch_take(p->device, bytes + p->workspace, &m->taken))
    return false;
  char *memory = m->taken ? m->taken->tensor.data : NULL;
  for (int n = 0; memory && n < p->output_count; ++n)
    if (!is_picked(p, n))
      m->outputs[n].data =
          bytes_of(&m->outputs[n]) > 0 ? memory + places[n] : NULL;
  *workspace = p->workspace > 0 ? memory + bytes : NULL;
  return true;
}

static PyObject *results(const plan *p, const plan_call *call,
                         const memory *m) {
  if (p->pick_count == 1 && !call->as_list)
    return plan_kept(m->made[p->pick[0]]);
  PyObject *result =
      call->as_list ? PyList_New(p->pick_count) : PyTuple_New(p->pick_count);
  for (int i = 0; result && i < p->pick_count; ++i) {
    PyObject *made = plan_kept(m->made[p->pick[i]]);
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

static unisparse_status launch(const plan *p, const plan_call *call,
                               const memory *m, void *workspace, void *stream) {
  void *inputs[PLAN_MAX_GIVEN], *outputs[PLAN_MAX_OUTPUTS];
  for (int i = 0; i < p->input_count; ++i)
    inputs[i] = call->given[p->order[i]].data;
  for (int n = 0; n < p->output_count; ++n)
    outputs[n] = m->outputs[n].data;
  return device_launch(p->on_device, inputs, outputs, workspace, stream);
}

static PyObject *run_in(plan *p, const plan_call *call, memory *m) {
  void *stream = NULL, *workspace;
  int32_t threads = 0;
  unisparse_status status;
  for (int i = 0; !p->on_device && i < p->input_count; ++i)
    m->inputs[i] = call->given[p->order[i]];
  /* The runtime may wait, for a full queue say: other threads run meanwhile. */
  PyThreadState *state;
  if (p->is_led) {
    state = PyEval_SaveThread();
    status = check_values(p, m);
    PyEval_RestoreThread(state);
    if (status != UNISPARSE_OK)
      return torch_raise(status);
  }
  for (int n = 0; n < p->output_count; ++n)
    if (!make_output(p, call, n, m))
      return plan_kept(Py_None);
  if (!take_rest(p, m, &workspace) ||
      (p->on_device ? !torch_stream(p->device, &stream)
                    : !threads_of(p, &threads)))
    return plan_kept(Py_None);
  state = PyEval_SaveThread();
  status = p->on_device ? launch(p, call, m, workspace, stream)
                        : p->run(p->program, m->inputs, p->input_count,
                                 m->outputs, p->output_count, threads);
  PyEval_RestoreThread(state);
  return status == UNISPARSE_OK ? results(p, call, m) : torch_raise(status);
}

PyObject *plan_run(plan *p, const plan_call *call) {
  if (!torch_plain(call->objects, call->given, call->count + call->own_out) ||
      (call->own_out && !out_is_apart(call)))
    return plan_kept(Py_None);
  /* What makes memory may be Python, which may forget plans. */
  if (p->on_device && !device_enter(p->on_device))
    return plan_kept(Py_None);
  memory m;
  memset(m.made, 0, sizeof m.made);
  m.taken = NULL;
  PyObject *result = run_in(p, call, &m);
  /* What is freed may run code of torch's, which takes an exception for its
   * own. */
  PyObject *kind, *value, *trace;
  PyErr_Fetch(&kind, &value, &trace);
  for (int n = 0; n < p->output_count; ++n)
    Py_XDECREF(m.made[n]);
  torch_give_back(m.taken);
  if (p->on_device)
    device_leave(p->on_device);
  PyErr_Restore(kind, value, trace);
  return result;
}
