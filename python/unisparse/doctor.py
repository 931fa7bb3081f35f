# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Says what of UniSparse this machine has, what is missing and how to get it.

    python -m unisparse doctor

Exit status 0 where calls would work: on CUDA, on the CPU, or both.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import re
import sys
from typing import Any, Callable, Dict, List, Tuple

from . import __version__, _again, _artifacts, _cache, _compiler, _library, _runtime
from ._errors import Error

# The driver's numbers of what is asked for.
_CAPABILITY = 75, 76


class Missing(Exception):
    """What is not there, and how to get it."""


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # Whatever a broken installation raises.
        raise Missing(f"not usable: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}; pip install {name}") from None


def numpy() -> str:
    return str(_module("numpy").__version__)


def ml_dtypes() -> str:
    try:
        return str(_module("ml_dtypes").__version__)
    except Missing as missing:
        raise Missing(f"{missing} (for bfloat16 in NumPy alone)") from None


def torch() -> str:
    found = _module("torch")
    if not found.cuda.is_available():
        raise Missing(f"{found.__version__}, which sees no CUDA device: install torch for CUDA, and see driver and GPU")
    return f"{found.__version__}, for CUDA {found.version.cuda}"


def runtime() -> str:
    try:
        return str(_runtime.library()._name)
    except Error as error:
        raise Missing(f"{error}; pip install . in the checkout builds it beside the package, or UNISPARSE_RT names the file") from None


def calls() -> str:
    if _again.native is None:
        raise Missing(f"{_again.FILE} is not there: calls take Python's path, about ten microseconds; pip install . builds it where Python's headers are")
    try:
        found = _module("torch")
    except Missing:
        return f"in C by {_again.native.__spec__.origin}, with torch 2.10 or newer"
    if not _again.connected(found):
        raise Missing(f"torch {found.__version__} has no DLPack exchange API in C: calls take Python's path, about ten microseconds; pip install torch>=2.10")
    return f"in C by {_again.native.__spec__.origin}"


def _driver() -> Any:
    name = os.environ.get("UNISPARSE_LIBCUDA") or "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise Missing(f"{error}; install NVIDIA's driver (in a container: start it with its GPUs)") from None


def _asked(library: Any, function: str, *arguments: Any) -> None:
    code = getattr(library, function)(*arguments)
    if code:
        raise Missing(f"{function} fails with {code}; see nvidia-smi")


def driver() -> str:
    library, version = _driver(), ctypes.c_int()
    _asked(library, "cuInit", 0)
    _asked(library, "cuDriverGetVersion", ctypes.byref(version))
    text = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    if version.value < 12000:
        raise Missing(f"{text}; Hopper's kernels need a driver of CUDA 12.0 or newer")
    return text


def _runs(chip: str, capability: int) -> bool:
    """As the runtime chooses: "sm_90a" is for 9.0 alone, "sm_80" for 8.0 and newer."""
    found = re.fullmatch(r"sm_(\d+)(a?)", chip)
    return found is not None and (capability == int(found[1]) if found[2] else capability >= int(found[1]))


def gpus() -> str:
    library, count = _driver(), ctypes.c_int()
    _asked(library, "cuInit", 0)
    _asked(library, "cuDeviceGetCount", ctypes.byref(count))
    lines = []
    for number in range(count.value):
        device, name, parts = ctypes.c_int(), ctypes.create_string_buffer(128), []
        _asked(library, "cuDeviceGet", ctypes.byref(device), number)
        _asked(library, "cuDeviceGetName", name, 127, device)
        for attribute in _CAPABILITY:
            value = ctypes.c_int()
            _asked(library, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
            parts.append(value.value)
        chips = [chip for chip in _artifacts.chips() if _runs(chip, 10 * parts[0] + parts[1])]
        runs = f"runs what is compiled for {' or '.join(chips)}" if chips else "nothing of UNISPARSE_CHIPS runs on it"
        lines.append(f"{number}: {name.value.decode(errors='replace')}, sm_{parts[0]}{parts[1]}, {runs}")
    if not any("runs what" in line for line in lines):
        raise Missing("; ".join(lines) or "no GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES")
    return "; ".join(lines)


def compiler() -> str:
    try:
        found = _compiler.Compiler.found()
    except Error as error:
        raise Missing(f"{error}; UNISPARSE_COMPILE is to name unisparse-compile") from None
    if not found:
        raise Missing("no unisparse-compile in PATH or UNISPARSE_COMPILE; build it as README.md says, or prepare artifacts elsewhere")
    version = next((line for line in found.version if "version" in line.lower()), "of unknown version")
    return f"{found.path}, {version}, id {found.digest}"


def _count(folder: Any) -> Tuple[int, int]:
    files = [path for path in folder.rglob("*") if path.suffix in (".usp", ".so")]
    return len(files), sum(path.stat().st_size for path in files)


def artifacts() -> str:
    folder = _artifacts.prepared_folder()
    if folder is None:
        raise Missing("UNISPARSE_ARTIFACTS names no folder; python -m unisparse prepare makes one, for machines without the compiler")
    return _folder("UNISPARSE_ARTIFACTS", folder)


def cache() -> str:
    folder = _cache.folder()
    if not folder.exists():
        return f"{folder}, made when first needed; for {', '.join(_artifacts.chips())}"
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Missing(f"{folder} cannot be written; UNISPARSE_CACHE is to name a folder that can")
    return f"{_folder('UNISPARSE_CACHE', folder)}, for {', '.join(_artifacts.chips())}"


def _folder(variable: str, folder: Any) -> str:
    try:
        _cache.expect_trusted(folder)
    except Error as error:
        raise Missing(f"{error}; {variable} is to name another one") from None
    files, size = _count(folder)
    return f"{folder}, {files} programs, {size / 2**20:.1f} MiB"


def openmp() -> str:
    try:
        _library.expect_threads()
    except Error as error:
        raise Missing(f"{error}; install LLVM's libomp (Debian: libomp5)") from None
    return f"found; programs are compiled for {_library.level()}"


CHECKS: Dict[str, Callable[[], str]] = {
    "NumPy": numpy,
    "ml_dtypes": ml_dtypes,
    "torch": torch,
    "runtime": runtime,
    "calls": calls,
    "driver": driver,
    "GPU": gpus,
    "compiler": compiler,
    "artifacts": artifacts,
    "cache": cache,
    "OpenMP": openmp,
}

# What calls need: all of a row, any of a cell.
NEEDS: Dict[str, List[List[str]]] = {
    "CUDA": [["torch"], ["runtime"], ["driver"], ["GPU"], ["compiler", "artifacts"]],
    "CPU": [["NumPy"], ["runtime"], ["OpenMP"], ["compiler", "artifacts"]],
}


def main() -> None:
    print(f"unisparse {__version__} in {os.path.dirname(os.path.abspath(__file__))}, Python {platform.python_version()}, {platform.machine()}")
    missing = set()
    for name, check in CHECKS.items():
        try:
            print(f"  ok       {name}: {check()}")
        except (Missing, Error) as problem:
            missing.add(name)
            print(f"  missing  {name}: {problem}")
    ready = []
    for what, needs in NEEDS.items():
        lacks = [" or ".join(cell) for cell in needs if missing.issuperset(cell)]
        print(f"{what}: {'not ready, lacks ' + ', '.join(lacks) if lacks else 'ready'}")
        ready.append(not lacks)
    sys.exit(0 if any(ready) else 1)
