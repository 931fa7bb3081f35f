/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "status.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Two names of the artifact and the text around them fit. */
enum { MESSAGE_BYTES = 2048 };

static _Thread_local char message[MESSAGE_BYTES];

/* Bytes of the control character at `at`, 0 where there is none: C0, DEL, and
 * in UTF-8 C1 and the separators of lines and paragraphs. */
static size_t control_bytes(const unsigned char *at) {
  if ((at[0] > 0 && at[0] < 0x20) || at[0] == 0x7F)
    return 1;
  if (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0)
    return 2;
  bool separates = at[0] == 0xE2 && at[1] == 0x80 && (at[2] & 0xFE) == 0xA8;
  return separates ? 3 : 0;
}

void usrt_make_printable(char *text, char instead) {
  const unsigned char *from = (const unsigned char *)text;
  char *to = text;
  while (*from) {
    size_t bytes = control_bytes(from);
    *to++ = bytes ? instead : (char)*from;
    from += bytes ? bytes : 1;
  }
  *to = 0;
}

/* One line of whole characters: paths and drivers' texts may hold line ends,
 * and a message that was too long may end inside a character. */
static void tidy(void) {
  size_t length = strlen(message);
  if (length == MESSAGE_BYTES - 1) {
    while (length > 0 && ((unsigned char)message[length - 1] & 0xC0) == 0x80)
      --length;
    if (length > 0 && ((unsigned char)message[length - 1] & 0x80))
      --length;
    message[length] = 0;
  }
  usrt_make_printable(message, ' ');
}

unisparse_status usrt_fail(unisparse_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  tidy();
  return status;
}

const char *unisparse_last_message(void) { return message; }

const char *unisparse_status_name(unisparse_status status) {
  switch (status) {
  case UNISPARSE_OK:
    return "UNISPARSE_OK";
  case UNISPARSE_BAD_ARGUMENT:
    return "UNISPARSE_BAD_ARGUMENT";
  case UNISPARSE_BAD_FILE:
    return "UNISPARSE_BAD_FILE";
  case UNISPARSE_BAD_ARTIFACT:
    return "UNISPARSE_BAD_ARTIFACT";
  case UNISPARSE_BAD_VERSION:
    return "UNISPARSE_BAD_VERSION";
  case UNISPARSE_NO_DRIVER:
    return "UNISPARSE_NO_DRIVER";
  case UNISPARSE_NO_DEVICE:
    return "UNISPARSE_NO_DEVICE";
  case UNISPARSE_BAD_CHIP:
    return "UNISPARSE_BAD_CHIP";
  case UNISPARSE_OLD_DRIVER:
    return "UNISPARSE_OLD_DRIVER";
  case UNISPARSE_BAD_SHAPE:
    return "UNISPARSE_BAD_SHAPE";
  case UNISPARSE_BAD_ALIGNMENT:
    return "UNISPARSE_BAD_ALIGNMENT";
  case UNISPARSE_OVERLAP:
    return "UNISPARSE_OVERLAP";
  case UNISPARSE_SMALL_WORKSPACE:
    return "UNISPARSE_SMALL_WORKSPACE";
  case UNISPARSE_WRONG_DEVICE:
    return "UNISPARSE_WRONG_DEVICE";
  case UNISPARSE_DRIVER_ERROR:
    return "UNISPARSE_DRIVER_ERROR";
  case UNISPARSE_NO_MEMORY:
    return "UNISPARSE_NO_MEMORY";
  }
  return "UNISPARSE_STATUS_UNKNOWN";
}
