# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The folder of compiled artifacts: who may write there, and how files appear in it whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import stat
import tempfile
import time
import warnings
from typing import Iterator, Set, Tuple

from ._errors import Error, Status

_PARTIAL = ".partial-"
# A folder is locked right after it is made: younger ones may be about to be.
_SWEPT_AFTER_SECONDS = 60


def folder() -> pathlib.Path:
    if named := os.environ.get("UNISPARSE_CACHE"):
        return pathlib.Path(named)
    try:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    except RuntimeError:
        raise Error("UNISPARSE_CACHE: expected a folder for compiled programs, as there is no home, got none", Status.BAD_FILE) from None
    return pathlib.Path(base) / "unisparse"


def _cannot(place: object, what: str, error: OSError) -> Error:
    return Error(f"{place}: expected a folder that can be {what}, got {error.strerror}", Status.BAD_FILE)


def _is_private_group(found: os.stat_result) -> bool:
    """The group that many systems give each user alone has the user's number; with it, folders are made for the group too."""
    return found.st_gid == found.st_uid


_warned: Set[str] = set()


def expect_trusted(place: pathlib.Path) -> None:
    """What is in a folder runs on the GPU or in this process, with all that it may do: nobody else is to put it there."""
    try:
        found = os.stat(place)
    except OSError as error:
        raise _cannot(place, "read", error) from None
    if found.st_mode & stat.S_IWOTH:
        raise Error(
            f"{place}: expected a folder that others cannot write (chmod o-w, or name a folder inside it), "
            f"got mode {stat.S_IMODE(found.st_mode):o}",
            Status.BAD_FILE,
        )
    doubts = []
    if found.st_mode & stat.S_IWGRP and not _is_private_group(found):
        doubts.append(f"its group may write there (mode {stat.S_IMODE(found.st_mode):o})")
    if found.st_uid not in (0, os.geteuid()):
        doubts.append(f"it belongs to user {found.st_uid}")
    if doubts and str(place) not in _warned:
        _warned.add(str(place))
        warnings.warn(f"{place}: programs that run with all that this process may do are taken from here, and {' and '.join(doubts)}", stacklevel=2)


def make(place: pathlib.Path, root: pathlib.Path) -> None:
    """Makes `place`, in or at `root`. What is made is the user's alone."""
    try:
        for one in (root, *reversed([x for x in place.parents if root in x.parents]), place):
            os.makedirs(one, mode=0o700, exist_ok=True)
    except OSError as error:
        raise _cannot(place, "made", error) from None
    expect_trusted(root)
    expect_trusted(place)


def _sweep(place: pathlib.Path) -> None:
    """Removes what killed processes left. A lock tells those at work: their compiler holds it too, and no dead process does."""
    with os.scandir(place) as entries:
        left = [entry for entry in entries if entry.name.startswith(_PARTIAL)]
    for entry in left:
        with contextlib.suppress(OSError):  # Their owners remove them, too.
            if time.time() - entry.stat().st_mtime <= _SWEPT_AFTER_SECONDS:
                continue
            descriptor = os.open(entry.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[Tuple[str, int]]:
    """-> where to write the file instead, and a descriptor that the writing program is to hold. The file then takes its
    place at once: several processes may want it at the same time."""
    partial, descriptor = None, None
    try:
        try:
            _sweep(path.parent)
            partial = tempfile.mkdtemp(dir=path.parent, prefix=_PARTIAL)
            descriptor = os.open(partial, os.O_RDONLY)
            with contextlib.suppress(OSError):  # Some network file systems have no locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise _cannot(path.parent, "written", error) from None
        written = os.path.join(partial, path.name)
        yield written, descriptor
        try:
            os.replace(written, path)
        except OSError as error:
            raise Error(f"{path}: expected the compiler's file, got {error.strerror}", Status.BAD_FILE) from None
    finally:
        if partial:
            shutil.rmtree(partial, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)
