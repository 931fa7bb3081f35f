/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A libcuda without a GPU: it keeps count of contexts and modules, writes down
 * what is enqueued, and fails when told to. Addresses mean memory:
 *   0x1_0000_0000 and on  device 0        0x3_0000_0000 and on  managed
 *   0x2_0000_0000 and on  device 1        0x4_0000_0000 and on  pinned, host
 * and anything else is unknown to it. */
#ifndef UNISPARSE_UNITTESTS_RUNTIME_STUBDRIVER_H
#define UNISPARSE_UNITTESTS_RUNTIME_STUBDRIVER_H

/* The second stub, beside the one that tests control, is opened alone. */
#ifdef STUB_WITHOUT_TENSOR_MAPS
#pragma GCC visibility push(hidden)
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { STUB_MAX_DEVICES = 2 };

/* Free to be changed by tests; stub_reset sets what is given here. */
typedef struct StubConfig {
  int device_count;                      /* 2 */
  int capabilities[STUB_MAX_DEVICES];    /* 90, 80 */
  int multiprocessors[STUB_MAX_DEVICES]; /* 132, 108 */
  int driver_version;                    /* 12040 */
  const char *jit_log;                   /* "", what a failing load says */
  int keep_log;                          /* 1 */
  int captured; /* 0, what streams say to be captured (CUstreamCaptureStatus) */
} StubConfig;
extern StubConfig stub_config;

/* Forgets calls, failures and the log; objects that live go on living. */
void stub_reset(void);

/* The call of `function` after `skip` more of them fails with `code`. What
 * gives something back (unload, release, pop) does so and then fails. */
void stub_fail(const char *function, int skip, int code);

/* Whether the failure asked for has happened. */
int stub_failed(void);

/* Lines, each with its end, of every enqueued piece of work, tensor map and
 * module. Kernels are named "NAME:KINDS", a letter for each argument: p
 * address or i64, i i32 or f32, m tensor map. A graph that is launched is a
 * line and then those of its work, as they would be without it; "set node N" is
 * one that gets other arguments. */
const char *stub_log(void);

int stub_calls(const char *function);
int stub_live_modules(void);
int stub_live_graphs(void);   /* and executable ones */
int stub_live_contexts(void); /* retained and not released, all devices */

/* Of this thread. Device of the current context, -1 where there is none. */
int stub_current_device(void);
int stub_stack_depth(void);
int stub_capture_mode(void);  /* 0 unless exchanged */
void stub_push_foreign(void); /* as a caller with a context of its own */
int stub_pop_foreign(void);   /* whether that one was current */

#ifdef __cplusplus
}
#endif

#ifdef STUB_WITHOUT_TENSOR_MAPS
#pragma GCC visibility pop
#endif

#endif /* UNISPARSE_UNITTESTS_RUNTIME_STUBDRIVER_H */
