# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""UniSparse's programs: where they are, how they are run, and which compiler it is."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from typing import List, Optional, Sequence, Tuple

from ._errors import Error, Status


def tool(name: str, variable: str) -> Optional[str]:
    """A program of UniSparse: the one that the environment names, else PATH's, else the one that was installed with this
    Python's packages, else None."""
    return os.environ.get(variable) or shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))


def run(command: Sequence[str], failure: str, keep: Tuple[int, ...] = (), folder: Optional[str] = None) -> str:
    """Runs a program of UniSparse -> its stdout. Its errors are one line on stderr, which becomes the exception's message.
    `keep`: descriptors that it holds too."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", pass_fds=keep, cwd=folder)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise Error(f"{command[0]}: expected a program that starts, got {said}", Status.BAD_FILE) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Error(f"{failure}: {lines[-1]}")
    return done.stdout


@dataclasses.dataclass(frozen=True)
class Compiler:
    """A compiler as a cache has to know it. Its version names the LLVM it runs on, which its file may only load; its content
    tells two builds of one version apart. Times of files tell nothing: packages keep the build's."""

    path: str
    version: List[str] = dataclasses.field(compare=False)
    digest: str

    @classmethod
    def found(cls) -> Optional[Compiler]:
        path = tool("unisparse-compile", "UNISPARSE_COMPILE")
        if not path:
            return None
        path = os.path.abspath(path)
        try:
            file = os.stat(path)
            return _identify(path, (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns))
        except OSError as error:
            raise Error(f"{path}: expected a program that starts, got {error.strerror}", Status.BAD_FILE) from None


@functools.lru_cache(maxsize=8)
def _identify(path: str, file: Tuple[int, ...]) -> Compiler:
    """`file`: what tells that it is still the one that was read."""
    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as content:
        while piece := content.read(1 << 20):
            digest.update(piece)
    with tempfile.TemporaryDirectory(prefix="unisparse-") as folder:
        version = run([path, "--version"], f"{path} --version", folder=folder)
    digest.update(version.encode())
    return Compiler(path, [line.strip() for line in version.splitlines() if line.strip()], digest.hexdigest())
