# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""lit's configuration of the UniSparse tests (`make check`, or `ninja check-unisparse`).

Test files are .mlir, .py and .test files with RUN lines. In these, besides
lit's own (%s, %t, ...):

  %unisparse_opt, unisparse-opt      the built tools, by absolute path
  %unisparse_run, unisparse-run
  unisparse-compile
  %host_programs                     the Python package's environment: compiler, runtime, a cache for programs
  unisparse-lsp-server
  mlir-opt-22, %plugin               the installed mlir-opt and the plugin it loads
  %native                            the package's part in C, for UNISPARSE_NATIVE
  %fake_driver                       a libcuda of host memory, for UNISPARSE_LIBCUDA
  %python                            Debian's Python, with NumPy
  %src_root, %obj_root               the roots of the checkout and of the build
  %capi_test                         the built CAPI/capi.c
  %mlir_runner, %libomp              the installed mlir-runner, LLVM's OpenMP runtime
  %cmake, %cmake_compilers           CMake, and options for it: this build's compilers
  %mlir_dir, %libdir, %cc            MLIR's package, where libraries go, the C compiler
  %assemble_options                  --all with lit's `--param assemble=all`
  unisparse-opt                      another one with `--param unisparse_opt=PATH`
  FileCheck, not, split-file, count  LLVM's

Features: native (the Python package's part in C, where Python's headers are), torch, transformers, diffusers, mypy, wheels (what builds them: pip, wheel 0.40 and scikit-build-core, readelf, LLVM's
static libraries), ptxas, and ptxas-sm_90a and so on for what it assembles for, long (with lit's `--param long=1`: make
check-long) and assemble-all.

`UNISPARSE_TEST_FILTER=REGEX make check` runs only the tests whose name matches;
with ninja or lit itself the variable is lit's own, LIT_FILTER.
"""
import os
import re
import shlex
import shutil
import subprocess

import lit.formats
from lit.llvm import llvm_config
from lit.llvm.subst import ToolSubst

config.name = "UniSparse"
config.test_format = lit.formats.ShTest(execute_external=False)
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.unisparse_obj_root, "test")
config.suffixes = [".mlir", ".py", ".test"]
# Configuration, and Python modules that tests import (Oracle/oracle.py and
# everything in Execution/lib).
config.excludes = ["lit.cfg.py", "lit.site.cfg.py", "Inputs", "oracle.py", "lib", "__pycache__"]

# `--param assemble=all` (make check-assemble): every kernel, not one of each form.
assemble_all = lit_config.params.get("assemble") == "all"
# A test takes seconds: one that takes ten minutes hangs, on a slow and busy machine too. Without psutil lit cannot stop
# one. Assembling everything takes as long as it takes.
if lit_config.params.get("long"):
    config.available_features.add("long")
    config.limit_to_features = {"long"}  # And no other tests.
if assemble_all:
    config.available_features.add("assemble-all")
    lit_config.maxIndividualTestTime = 0
elif lit_config.maxIndividualTestTimeIsSupported[0]:
    lit_config.maxIndividualTestTime = 600
else:
    lit_config.warning("tests run without a time limit: install python3-psutil")

# `--param opt_level=3` (make check-optimized): Execution/ on code that LLVM has optimized.
config.environment["UNISPARSE_TEST_OPT_LEVEL"] = lit_config.params.get("opt_level", "")

# `--param unisparse_opt=` (make check-assert): the programs of these tests on a build with assertions.
unisparse_opt = lit_config.params.get("unisparse_opt", os.path.join(config.unisparse_tools_dir, "unisparse-opt"))

llvm_config.with_environment("PATH", config.llvm_tools_dir, append_path=True)
# OpenBLAS's are for NumPy: some processors need them for correct results.
llvm_config.with_system_environment(["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "CUDA_VISIBLE_DEVICES"])
# Where the compilers of Install/ find their cache.
llvm_config.with_system_environment(["HOME", "CCACHE_DIR", "CCACHE_BASEDIR", "CCACHE_NOHASHDIR"])
# What tests of the Python package may use and do not need.
for module in ("diffusers", "mypy", "torch", "transformers"):
    if not subprocess.run([config.python, "-c", f"import importlib.util as u, sys; sys.exit(not u.find_spec('{module}'))"]).returncode:
        config.available_features.add(module)
native = os.path.join(config.unisparse_obj_root, "lib", "_native.abi3.so")
if os.path.exists(native):
    config.available_features.add("native")
found = (
    "import importlib.metadata as m, importlib.util as u, sys; "
    "there = all(map(u.find_spec, ('pip', 'wheel', 'scikit_build_core', 'numpy'))); "
    "sys.exit(not (there and [*map(int, m.version('wheel').split('.')[:2])] >= [0, 40]))"
)
if (
    not subprocess.run([config.python, "-c", found]).returncode
    and shutil.which("readelf")
    and os.path.exists(os.path.join(config.llvm_tools_dir, "..", "lib", "libMLIRIR.a"))
):
    config.available_features.add("wheels")
# gpu-module-to-binary looks for ptxas in PATH; the toolkit's installer leaves it out of that.
if not shutil.which("ptxas"):
    llvm_config.with_environment("PATH", "/usr/local/cuda/bin", append_path=True)
ptxas = shutil.which("ptxas", path=config.environment["PATH"])
if ptxas:
    usage = subprocess.run([ptxas, "--help"], capture_output=True, text=True).stdout
    config.available_features.update(["ptxas", *(f"ptxas-{chip}" for chip in re.findall(r"\bsm_\d+[a-z]?\b", usage))])
config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --allow-unused-prefixes=false"
# lit runs one test per core already; two threads each still exercise OpenMP.
config.environment["OMP_NUM_THREADS"] = "2"
# With more threads than cores, one that waits awake keeps another from working.
config.environment["OMP_WAIT_POLICY"] = "passive"
config.environment["OPENBLAS_NUM_THREADS"] = "1"



def quick_compiler():
    """A compiler whose libraries for CPUs are not optimized: most of a test's time would be LLVM's for code that runs once."""
    compiler = os.path.join(config.unisparse_tools_dir, "unisparse-compile")
    level = lit_config.params.get("opt_level") or "0"
    path = os.path.join(config.test_exec_root, f"unisparse-compile-O{level}")
    file = os.stat(compiler)
    os.makedirs(config.test_exec_root, exist_ok=True)
    # Programs are cached by what the compiler's file holds.
    with open(f"{path}.{os.getpid()}", "w") as script:
        script.write(f"""#!/bin/sh
# {file.st_ino} {file.st_size} {file.st_mtime_ns}
case " $* " in
*" --target=cpu "*) exec {shlex.quote(compiler)} "$@" --opt-level={level} ;;
*) exec {shlex.quote(compiler)} "$@" ;;
esac
""")
    os.chmod(script.name, 0o755)
    os.replace(script.name, path)
    return path


config.substitutions += [
    ("%unisparse_opt", unisparse_opt),
    ("%unisparse_run", os.path.join(config.unisparse_tools_dir, "unisparse-run")),
    (
        "%host_programs",
        f"UNISPARSE_COMPILE={quick_compiler()} "
        f"UNISPARSE_RT={os.path.join(config.unisparse_obj_root, 'lib', 'libunisparse-rt.so')} "
        f"UNISPARSE_CACHE={os.path.join(config.test_exec_root, 'programs')}",
    ),
    ("%plugin", config.unisparse_plugin),
    ("%native", native),
    ("%fake_driver", config.fake_driver),
    ("%python", config.python),
    ("%src_root", config.unisparse_src_root),
    ("%capi_test", config.capi_test),
    ("%mlir_runner", config.mlir_runner),
    ("%libomp", config.libomp),
    ("%obj_root", config.unisparse_obj_root),
    ("%cmake_compilers", config.cmake_compilers),
    ("%cmake", config.cmake),
    ("%mlir_dir", config.mlir_dir),
    ("%libdir", config.libdir),
    ("%cc", config.c_compiler),
    ("%assemble_options", "--all" if assemble_all else ""),
]
llvm_config.add_tool_substitutions(
    [
        ToolSubst("unisparse-opt", command=unisparse_opt, unresolved="fatal"),
        ToolSubst("unisparse-run", unresolved="fatal"),
        ToolSubst("unisparse-compile", unresolved="fatal"),
        ToolSubst("unisparse-lsp-server", unresolved="fatal"),
        ToolSubst("mlir-opt-22", command=config.mlir_opt),
    ],
    [config.unisparse_tools_dir],
)
