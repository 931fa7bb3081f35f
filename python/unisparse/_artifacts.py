# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where artifacts come from: a prepared folder, the cache, or unisparse-compile."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import threading
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from . import _cache, _library, _runtime
from ._compiler import Compiler, run, tool
from ._config import Config
from ._errors import Error, Status

Program = TypeVar("Program")

# PTX of sm_80 runs on every later GPU; sm_90a is Hopper's own.
DEFAULT_CHIPS = "sm_80,sm_90a"


class Target(NamedTuple):
    """What programs are compiled for."""

    folder: str  # Of the cache, by which people know it.
    options: Tuple[str, ...]  # unisparse-compile's.
    suffix: str
    validate: Callable[[pathlib.Path], None]


def gpus(chips: Sequence[str]) -> Target:
    """GPUs of these kinds."""
    return Target("+".join(chips), tuple(f"--chip={chip}" for chip in chips), ".usp", _runtime.validate)


def cpu(level: Optional[str] = None) -> Target:
    """CPUs of this level; this machine's unless it is said."""
    level = level or _library.level()
    return Target(level, ("--target=cpu", f"--cpu={level}"), ".so", _library.validate)


def once(programs: Dict[Config, Program], lock: threading.Lock, config: Config, load: Callable[[], Program]) -> Program:
    """The program of a configuration among `programs`. The first call with one loads it; others wait for that."""
    program = programs.get(config)
    if program is None:
        with lock:
            program = programs.get(config)
            if program is None:
                program = programs[config] = load()
    return program


def chips() -> List[str]:
    """What artifacts are compiled for unless a caller says it."""
    return split(os.environ.get("UNISPARSE_CHIPS") or DEFAULT_CHIPS)


def split(names: str) -> List[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def prepared_folder() -> Optional[pathlib.Path]:
    """$UNISPARSE_ARTIFACTS, or None."""
    named = os.environ.get("UNISPARSE_ARTIFACTS")
    return pathlib.Path(named) if named else None


def compiler() -> Optional[str]:
    return tool("unisparse-compile", "UNISPARSE_COMPILE")


def command(program: str, config: Config, path: str, target: Target) -> List[str]:
    """The command line that compiles a configuration."""
    return [program, *config.options(), *target.options, "-o", path]


def _of_argument(error: Error, config: Config, name: str) -> Error:
    """The compiler's error about an option as one about the argument of a call that became it."""
    subject, colon, what = str(error).removeprefix(f"{name}: unisparse-compile: ").partition(":")
    options = {option.partition("=")[0] for option in config.options()}
    if subject.partition(" ")[0] not in options:
        return error
    argument = "pooling" if subject in ("--pool", "--head-pool") else subject.replace("--", "").replace("-", "_")
    return Error(argument + colon + what, error.status)


def compile(config: Config, path: pathlib.Path, target: Target) -> pathlib.Path:
    """Compiles into `path`, whose folder is there."""
    with _cache.replacing(path) as (written, held):
        try:
            run(command(compiler() or "unisparse-compile", config, written, target), path.name, keep=(held,))
        except Error as error:
            raise _of_argument(error, config, path.name) from None
    return path


def _expect_sound(path: pathlib.Path, target: Target) -> None:
    """The whole file is read as loading reads it, and whoever may write beside it is known."""
    _cache.expect_trusted(path.parent)
    try:
        target.validate(path)
    except Error as error:
        said = str(error)
        raise Error(said if str(path) in said else f"{path}: {said}", Status(error.status)) from None


def _is_sound(path: pathlib.Path, target: Target) -> bool:
    """Whether a cached file is there and whole; one that is not is compiled anew."""
    if not os.path.exists(path):
        return False
    _runtime.library()  # Without it nothing can be said, nor run.
    with contextlib.suppress(Error):
        _expect_sound(path, target)
        return True
    return False


def _time(path: pathlib.Path) -> float:
    try:
        return os.path.getmtime(path)
    except OSError:
        return 0


def find(config: Config, target: Optional[Target] = None) -> pathlib.Path:
    """The file of a configuration, compiled now if need be; for GPUs unless it is said."""
    target = target or gpus(chips())
    name, prepared = config.file_name(target.suffix), prepared_folder()
    if prepared and os.path.exists(prepared / name):
        _expect_sound(prepared / name, target)
        return prepared / name
    root = _cache.folder()
    cached = root / target.folder
    if found := Compiler.found():
        place = cached / found.digest / name
        if os.path.exists(place.parent):
            _cache.expect_trusted(root)
            _cache.expect_trusted(place.parent)
        if _is_sound(place, target):
            return place
        _cache.make(place.parent, root)
        return compile(config, place, target)
    # Without a compiler there is nothing newer than what any compiler left.
    for place in sorted(cached.glob(f"*/{name}"), key=_time, reverse=True):
        _cache.expect_trusted(root)
        if _is_sound(place, target):
            return place
    wanted = shlex.join(command("unisparse-compile", config, name, target))
    places = f"{prepared} or {cached}" if prepared else cached
    raise Error(
        f"artifact: expected {name} in {places}, or unisparse-compile in PATH, got neither; "
        f"where the compiler is, `{wanted}` makes it, for a folder that UNISPARSE_ARTIFACTS names",
        Status.BAD_FILE,
    )
