# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What goes wrong, in one exception."""

from __future__ import annotations

import enum
from typing import Any, Mapping


class Status(enum.IntEnum):
    """unisparse_status of unisparse.h."""

    OK = 0
    BAD_ARGUMENT = 1
    BAD_FILE = 2
    BAD_ARTIFACT = 3
    BAD_VERSION = 4
    NO_DRIVER = 5
    NO_DEVICE = 6
    BAD_CHIP = 7
    OLD_DRIVER = 8
    BAD_SHAPE = 9
    BAD_ALIGNMENT = 10
    OVERLAP = 11
    SMALL_WORKSPACE = 12
    WRONG_DEVICE = 13
    DRIVER_ERROR = 14
    NO_MEMORY = 15


class Error(Exception):
    """One line: what failed, what was expected, what was given. `status` says of which kind it is."""

    def __init__(self, message: str, status: int = Status.BAD_ARGUMENT) -> None:
        super().__init__(message)
        self.status = status


def unexpected(argument: str, expected: str, got: Any, status: Status = Status.BAD_ARGUMENT) -> Error:
    """The error of an argument that is not what it has to be."""
    return Error(f"{argument}: expected {expected}, got {got}", status)


def renamed(error: Error, names: Mapping[str, str]) -> Error:
    """The same of an argument that the caller knows by another name."""
    name, colon, rest = str(error).partition(":")
    return Error(names[name] + colon + rest, error.status) if name in names else error
