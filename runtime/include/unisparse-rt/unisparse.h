/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Runs what `unisparse-compile` wrote, on an NVIDIA GPU. Plain C; libcuda is
 * opened when a program is loaded, never at link time.
 *
 *   unisparse_artifact *artifact;   bytes, validated; needs no GPU
 *   unisparse_program *program;     the artifact on one device
 *   unisparse_plan *plan;           the program for given sizes, where many
 *                                   launches have them
 *
 * A launch enqueues every stage on the caller's stream: it allocates nothing
 * (a plan's second one on a stream makes a CUDA graph), waits for nothing and
 * may be captured in a CUDA graph. All functions may be
 * called from several threads at once, on one object too, except that an object
 * is freed once and when nothing uses it any more.
 *
 * Every function that can fail returns a status; unisparse_last_message() then
 * says what failed, what was expected and what was given. */
#ifndef UNISPARSE_RT_UNISPARSE_H
#define UNISPARSE_RT_UNISPARSE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UNISPARSE_API __attribute__((visibility("default")))
#else
#define UNISPARSE_API
#endif

typedef enum unisparse_status {
  UNISPARSE_OK = 0,
  UNISPARSE_BAD_ARGUMENT = 1, /* a null pointer, a wrong number of tensors */
  UNISPARSE_BAD_FILE = 2,     /* cannot be read */
  UNISPARSE_BAD_ARTIFACT = 3, /* truncated, damaged, or no artifact at all */
  UNISPARSE_BAD_VERSION = 4,  /* written in another version of the format */
  UNISPARSE_NO_DRIVER = 5,    /* libcuda cannot be opened or lacks a symbol */
  UNISPARSE_NO_DEVICE = 6,    /* no GPU, or none of that number */
  UNISPARSE_BAD_CHIP = 7,     /* nothing in the artifact runs on the device */
  UNISPARSE_OLD_DRIVER = 8,   /* the driver does not know the artifact's PTX */
  UNISPARSE_BAD_SHAPE = 9,    /* type, rank, size, stride or a length rule */
  UNISPARSE_BAD_ALIGNMENT = 10,
  UNISPARSE_OVERLAP = 11, /* something written overlaps something else */
  UNISPARSE_SMALL_WORKSPACE = 12,
  UNISPARSE_WRONG_DEVICE = 13, /* memory of another device, or of the host */
  UNISPARSE_DRIVER_ERROR = 14, /* any other failure of a driver call */
  UNISPARSE_NO_MEMORY = 15     /* of the host */
} unisparse_status;

/* "UNISPARSE_OK" and so on; never null. */
UNISPARSE_API const char *unisparse_status_name(unisparse_status status);

/* What this thread's last failing call had to say, one line without its end;
 * valid until this thread's next call. Empty before the first failure. */
UNISPARSE_API const char *unisparse_last_message(void);

typedef enum unisparse_element {
  UNISPARSE_F32 = 0,
  UNISPARSE_F16 = 1,
  UNISPARSE_BF16 = 2,
  UNISPARSE_I32 = 3
} unisparse_element;

#define UNISPARSE_MAX_RANK 4

/* A tensor in device memory. Sizes and strides in elements. */
typedef struct unisparse_tensor {
  void *data; /* may be null where a size is 0 */
  unisparse_element element;
  int32_t rank;
  int64_t sizes[UNISPARSE_MAX_RANK];
  int64_t strides[UNISPARSE_MAX_RANK];
} unisparse_tensor;

/*--------------------------------------------------------------------------*\
 * Artifacts
\*--------------------------------------------------------------------------*/

typedef struct unisparse_artifact unisparse_artifact;

/* The version of the artifacts that this library reads, and no other. */
UNISPARSE_API int32_t unisparse_format_version(void);

/* Copies and validates `size` bytes. */
UNISPARSE_API unisparse_status unisparse_artifact_read(
    const void *bytes, size_t size, unisparse_artifact **artifact);
UNISPARSE_API unisparse_status
unisparse_artifact_open(const char *path, unisparse_artifact **artifact);
UNISPARSE_API void unisparse_artifact_free(unisparse_artifact *artifact);

UNISPARSE_API int32_t
unisparse_artifact_inputs(const unisparse_artifact *artifact);
UNISPARSE_API int32_t
unisparse_artifact_outputs(const unisparse_artifact *artifact);

/* Describes input or output `index`: name, element, rank, and sizes, -1 where
 * one is known only when a program is prepared. Returned strings live as long
 * as the artifact. */
typedef struct unisparse_signature {
  const char *name;
  unisparse_element element;
  int32_t rank;
  int64_t sizes[UNISPARSE_MAX_RANK];
} unisparse_signature;
UNISPARSE_API unisparse_status
unisparse_artifact_input(const unisparse_artifact *artifact, int32_t index,
                         unisparse_signature *out);
UNISPARSE_API unisparse_status
unisparse_artifact_output(const unisparse_artifact *artifact, int32_t index,
                          unisparse_signature *out);

/*--------------------------------------------------------------------------*\
 * Programs
\*--------------------------------------------------------------------------*/

typedef struct unisparse_program unisparse_program;

/* Loads what fits the device best into its primary context. */
UNISPARSE_API unisparse_status
unisparse_program_load(const unisparse_artifact *artifact, int32_t device,
                       unisparse_program **program);
UNISPARSE_API void unisparse_program_free(unisparse_program *program);

/* The chip the loaded kernels were compiled for, as in "sm_90a". */
UNISPARSE_API const char *
unisparse_program_chip(const unisparse_program *program);

/* What the program launches, in order, a kernel as often as it is launched:
 * the kernel's name, and its schedule as "#unitile.schedule<stages = 3, ...>"
 * (the warp-specialised kernel) or "#unitile.tiles<rows = 128, keys = 64>" (a
 * portable one), empty where the kernel comes in one form only. Strings live as
 * long as the program. */
typedef struct unisparse_kernel {
  const char *name;
  const char *schedule;
} unisparse_kernel;
UNISPARSE_API int32_t
unisparse_program_kernels(const unisparse_program *program);
UNISPARSE_API unisparse_status unisparse_program_kernel(
    const unisparse_program *program, int32_t index, unisparse_kernel *out);

/* Checks the inputs' types, sizes and strides (data may be null) and fills in
 * what a launch needs: outputs[i] gets element, rank, sizes and contiguous
 * strides (data is left alone), *workspace the bytes of scratch memory.
 * `outputs` and `workspace` may be null. Outputs that the artifact gives
 * contiguous rows may have other strides in a launch. */
UNISPARSE_API unisparse_status unisparse_program_prepare(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, unisparse_tensor *outputs, int32_t output_count,
    size_t *workspace);

/* Enqueues the program on `stream` (a CUstream or cudaStream_t of the
 * program's device; null is the legacy default stream). `workspace` is 256-byte
 * aligned memory of the device, at least as many bytes as prepare says, not
 * shared with a launch that may run at the same time. */
UNISPARSE_API unisparse_status unisparse_program_launch(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    void *workspace, size_t workspace_bytes, void *stream);

/* The same for a caller that knows all memory to be the device's, as the
 * tensors of a framework say it of theirs: the driver, which launch asks of
 * each tensor, is not asked, and UNISPARSE_WRONG_DEVICE is never the answer. */
UNISPARSE_API unisparse_status unisparse_program_launch_known(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    void *workspace, size_t workspace_bytes, void *stream);

/*--------------------------------------------------------------------------*\
 * Plans
\*--------------------------------------------------------------------------*/

/* A program for tensors of given sizes and strides, which are checked and
 * worked out once: a launch takes addresses alone. */
typedef struct unisparse_plan unisparse_plan;

/* Sizes and strides are what unisparse_program_launch takes; no data is looked
 * at. A plan keeps what it needs of the program. */
UNISPARSE_API unisparse_status unisparse_plan_make(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    unisparse_plan **plan);

/* The bytes of scratch memory that a launch needs. */
UNISPARSE_API size_t unisparse_plan_workspace(const unisparse_plan *plan);

/* What unisparse_program_launch_known does of tensors at these addresses, as
 * many as the artifact has of either kind, with as large a workspace as the
 * plan says. From the second launch on a stream on, the steps go to the driver
 * as one CUDA graph, which that launch makes; on a stream that is being
 * captured, and wherever the driver does not take graphs, one by one. */
UNISPARSE_API unisparse_status unisparse_plan_launch(unisparse_plan *plan,
                                                     void *const *inputs,
                                                     void *const *outputs,
                                                     void *workspace,
                                                     void *stream);

/* Launches that have not run yet do so all the same, as long as the program is
 * there: when it and its plans are freed, its kernels are unloaded. */
UNISPARSE_API void unisparse_plan_free(unisparse_plan *plan);

#ifdef __cplusplus
}
#endif

#endif /* UNISPARSE_RT_UNISPARSE_H */
