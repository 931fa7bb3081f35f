/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for license information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */

/* Says what an artifact takes. */
#include <stdio.h>
#include <unisparse-rt/unisparse.h>

int main(int argc, char **argv) {
  unisparse_artifact *artifact;
  if (argc != 2 ||
      unisparse_artifact_open(argv[1], &artifact) != UNISPARSE_OK) {
    fprintf(stderr, "host: %s\n", unisparse_last_message());
    return 1;
  }
  for (int32_t i = 0; i < unisparse_artifact_inputs(artifact); ++i) {
    unisparse_signature input;
    if (unisparse_artifact_input(artifact, i, &input) != UNISPARSE_OK)
      return 1;
    printf("%s: rank %d\n", input.name, (int)input.rank);
  }
  unisparse_artifact_free(artifact);
  return 0;
}
