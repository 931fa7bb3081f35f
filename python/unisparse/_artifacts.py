# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where artifacts come from: a prepared folder, the cache, or unisparse-compile."""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from ._errors import Error, Status

# PTX of sm_80 runs on every later GPU; sm_90a is Hopper's own.
DEFAULT_CHIPS = "sm_80,sm_90a"


def chips():
    """What artifacts are compiled for unless a caller says it."""
    return (os.environ.get("UNISPARSE_CHIPS") or DEFAULT_CHIPS).split(",")


def cache_folder():
    return pathlib.Path(os.environ.get("UNISPARSE_CACHE") or pathlib.Path.home() / ".cache" / "unisparse")


def prepared_folder():
    """$UNISPARSE_ARTIFACTS, or None."""
    named = os.environ.get("UNISPARSE_ARTIFACTS")
    return pathlib.Path(named) if named else None


def tool(name, variable):
    """A program of UniSparse: the one that the environment names, else PATH's, else None."""
    return os.environ.get(variable) or shutil.which(name)


def compiler():
    return tool("unisparse-compile", "UNISPARSE_COMPILE")


def run(command, failure):
    """Runs a program of UniSparse. Its errors are one line on stderr, which becomes the exception's message."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Error(f"{command[0]}: expected a program that starts, got {error.strerror}", Status.BAD_FILE) from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Error(f"{failure}: {said[-1]}")
    return done


def command(program, config, path, chips):
    """The command line that compiles a configuration."""
    return [program, *config.options(), *(f"--chip={chip}" for chip in chips), "-o", str(path)]


def compile(config, path, chips):
    """Compiles into `path`, which appears whole or not at all: several processes may want it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".usp")
    os.close(handle)
    try:
        run(command(compiler(), config, partial, chips), path.name)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    return path


def find(config):
    """The file of a configuration, compiled now if need be."""
    name, prepared, program, targets = config.file_name(), prepared_folder(), compiler(), chips()
    if prepared and (prepared / name).exists():
        return prepared / name
    cached = cache_folder() / "+".join(targets) / name
    # As make has it: what an older compiler wrote is compiled anew.
    if cached.exists() and not (program and os.path.getmtime(program) > os.path.getmtime(cached)):
        return cached
    if program:
        return compile(config, cached, targets)
    wanted = shlex.join(command("unisparse-compile", config, name, targets))
    places = f"{prepared} or {cached.parent}" if prepared else cached.parent
    raise Error(
        f"artifact: expected {name} in {places}, or unisparse-compile in PATH, got neither; "
        f"where the compiler is, run\n  {wanted}\nand put the file into a folder that UNISPARSE_ARTIFACTS names",
        Status.BAD_FILE,
    )
