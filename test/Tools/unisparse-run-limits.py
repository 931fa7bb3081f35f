# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s --run=%unisparse_run --compile=unisparse-compile --tmp=%t
"""What the system gives out: memory, threads, streams and places to write. Each is one line on stderr and status 1,
before any work and with no file changed; never a signal, never a lost report."""

import argparse
import json
import os
import pathlib
import resource
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "Execution", "lib"))

import numpy as np
import safetensors
from safetensors import Tensor

parser = argparse.ArgumentParser()
for name in ("run", "compile"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--tmp", type=pathlib.Path, required=True)
args = parser.parse_args()
tmp = args.tmp
SAMPLE = os.path.join(HERE, "..", "..", "examples", "sample.safetensors")
GIB = 1 << 30


def call(*words, tool=args.run, space=None, environment={}, **more):
    limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (space, space))) if space else None
    more = {"stdout": subprocess.PIPE, **more}
    return subprocess.run([tool, *map(str, words)], stderr=subprocess.PIPE, preexec_fn=limit, timeout=120, cwd=tmp,
                          env={**os.environ, **environment}, **more)


def fails(part, *words, status=1, **more):
    """One line that has `part`, nothing on stdout."""
    done = call(*words, **more)
    text = done.stderr.decode()
    tool = os.path.basename(more.get("tool", args.run))
    assert done.returncode == status, (words, done)
    assert text.startswith(tool + ": ") and text.count("\n") == 1 and text.endswith("\n"), (words, text)
    assert "expected" in text and part in text, (part, text)
    assert not done.stdout, done


def works(*words, **more):
    done = call(*words, **more)
    assert done.returncode == 0 and not done.stderr, (words, done)
    return done


def write(name, **tensors):
    safetensors.write(str(tmp / name), tensors)
    return tmp / name


# Small inputs whose blocks ask for much: 100,000 rows of 100,000 key blocks are 40 GB of indices, and of masses.
L = 100_000
tokens = Tensor("F16", np.ones((1, L, 8)))
long = write("long", q=tokens, k=tokens, v=tokens)
SMALL = ["--block=1x1", "--pool=1x1"]
fails("--block: expected a run that fits the ", long, *SMALL, space=6 * GIB)
fails(" that the limit of address space leaves, got one that takes ", long, *SMALL, space=6 * GIB)
# The tensors themselves: a file of 4 GB that is not there on the disk, mapped, and once more in memory.
shape = {"q": [1, 1, 1, 8], "k": [1, 1, 1 << 27, 8], "v": [1, 1, 1 << 27, 8]}
entries, end = {}, 0
for name, sizes in shape.items():
    entries[name] = {"dtype": "F16", "shape": sizes, "data_offsets": [end, end + 2 * int(np.prod(sizes))]}
    end = entries[name]["data_offsets"][1]
header = safetensors.pack(entries, b"")
with open(tmp / "huge", "wb") as file:
    file.write(header)
    file.truncate(len(header) + end)
fails("huge: expected a run that fits the ", tmp / "huge", "--dense", "--block=4096x4096", space=6 * GIB)
# What a score keeps for each lane and key block: 4096 composite rows of 2 x 4 bytes for each of 100,000 blocks.
one = Tensor("F16", np.ones((1, 1, 8)))
fails("of it tiles of the threads", write("row", q=one, k=tokens, v=tokens), "--block=4096x1", "--pool=1x1", "--last=0", "--threads=1", space=3 * GIB)
# A program's, whose sizes are the inputs'.
ANY = "tensor<?x1x?x8xf16>"
(tmp / "select.mlir").write_text(f"""
func.func @f(%q: {ANY}, %k: {ANY}, %v: {ANY}) -> {ANY} {{
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <1x1> pooling <1x1> rule <top_p = 0.0> causal
    : ({ANY}, {ANY}, {ANY}) -> ({ANY}, tensor<?x1x?xi32>, tensor<?x1x?x?xi32>, tensor<?x1xf32>)
  return %o : {ANY}
}}""")
fails("select.mlir: expected a run that fits", long, f"--program={tmp}/select.mlir", space=6 * GIB)
# What no estimate knows of, compiled code finds out: its own buffer of 40 GB.
(tmp / "buffer.mlir").write_text(f"""
func.func @f(%q: {ANY}, %k: {ANY}, %v: {ANY}) -> tensor<?x1x?xf32> {{
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %one = arith.constant 1.0 : f32
  %b = tensor.dim %q, %c0 : {ANY}
  %n = tensor.dim %q, %c2 : {ANY}
  %e = tensor.empty(%n, %n) : tensor<?x?xf32>
  %f = linalg.fill ins(%one : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %s = tensor.extract_slice %f[0, 0] [1, %n] [1, 1] : tensor<?x?xf32> to tensor<?xf32>
  %l = tensor.empty(%b, %n) : tensor<?x1x?xf32>
  %r = tensor.insert_slice %s into %l[0, 0, 0] [1, 1, %n] [1, 1, 1] : tensor<?xf32> into tensor<?x1x?xf32>
  return %r : tensor<?x1x?xf32>
}}""")
fails("memory: expected 4000000", long, f"--program={tmp}/buffer.mlir", space=6 * GIB)
# A selection of one block a row is not spread over all of them: it runs where those would not fit.
rows = np.arange(L, dtype=np.int32)
compact = write("compact", counts=Tensor("I32", np.ones((1, L))), indices=Tensor("I32", rows[None, :, None]))
works(long, f"--selection={compact}", *SMALL, f"--output={tmp}/out", space=6 * GIB)
assert np.all(safetensors.read(str(tmp / "out"))["o"].data == 1), "every row attends to its own key"
assert safetensors.read(str(tmp / "out"))["indices"].data.shape == (1, L, 1), "a given selection keeps its columns"

# Threads.
def threads(*words, **environment):
    return json.loads(works(SAMPLE, "--json", *words, environment=environment).stdout)["threads"]


assert threads("--threads=3") == 3
assert threads(OMP_NUM_THREADS="3,2") == 3
assert threads("--threads=3", OMP_NUM_THREADS="no number") == 3, "--threads comes first"
assert threads("--threads=4", OMP_THREAD_LIMIT="1") == 1, "what ran is reported"
assert threads(OMP_NUM_THREADS="") >= 1 and threads(OMP_NUM_THREADS=" ") >= 1, "empty is as not there"
for text in ("200000", "99999999999999999999", "0", "-1", "abc", ",", "2,", "2\nx"):
    fails("OMP_NUM_THREADS: expected numbers from 1 to 1024, got '", SAMPLE, environment={"OMP_NUM_THREADS": text})
fails("--threads: expected at most 1024, got 1025", SAMPLE, "--threads=1025")
fails("--threads: expected a number of threads that can be started, at most ", SAMPLE, "--threads=1024", space=3 * GIB)
fails("threads that can be started, at most 1 here", SAMPLE, "--threads=2", environment={"OMP_STACKSIZE": "100000G"})

# Streams: a report that nobody gets is no success.
with open("/dev/full", "wb") as full:
    fails("stdout: expected to take all that is written, got ", SAMPLE, "--json", stdout=full)
    fails("stdout: expected to take all that is written, got ", "--help", stdout=full)
    fails("stdout: expected to take all that is written, got ", "--version", tool=args.compile, stdout=full)
closed = ["-c", '"$0" "$@" >&-', args.run]
done = subprocess.run(["/bin/sh", *closed, SAMPLE, "--json", f"--output={tmp}/closed"], stderr=subprocess.PIPE, timeout=60)
assert done.returncode == 1 and done.stderr == b"unisparse-run: stdout: expected an open file, got a closed one\n", done
assert not (tmp / "closed").exists()

# Outputs that are no place for one.
small = write("small", **{name: Tensor("F32", np.ones((1, 2, 64, 8))) for name in "qkv"})
program = tmp / "00-input.mlir"
program.write_text("""!t = tensor<1x2x64x8xf32>
func.func @f(%q: !t, %k: !t, %v: !t) -> !t {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x64> : (!t, !t, !t) -> !t
  return %o : !t
}
""")
copy = tmp / "unisparse-run"
copy.write_bytes(pathlib.Path(args.run).read_bytes())
copy.chmod(0o755)
before = {path: path.read_bytes() for path in (small, program, copy, compact)}
(tmp / "link").symlink_to(small)
os.mkfifo(tmp / "fifo")
for option in ("--output", "--map"):
    fails(f"{option}: expected another file than the input, got", small, f"{option}={small}")
    fails(f"{option}: expected another file than the input, got", small, f"{option}=link")
    fails(f"{option}: expected another file than --program, got", small, f"--program={program}", f"{option}={program}")
    fails(f"{option}: expected another file than --selection, got", small, f"--selection={compact}", f"{option}={compact}")
    fails(f"{option}: expected another file than the program that runs, got", small, f"{option}={copy}", tool=copy)
    fails(f"{option}: ", small, f"{option}=fifo")
    fails(f"{option}: ", small, f"{option}=/dev/null")
fails("--map: expected another file than --output, got ./new", small, "--output=new", "--map=./new")
fails("--dump-ir: expected another file than --program, got ", small, f"--program={program}", f"--dump-ir={tmp}")
compiling = {"tool": args.compile}
fails("-o: expected another file than PROGRAM.mlir, got ", program, "--chip=sm_80", "-o", program, **compiling)
fails("-o: ", program, "--chip=sm_80", "-o", "fifo", **compiling)
fails("--dump-ir: expected a folder, got the file ", program, "--chip=sm_80", "-o", "x.usp", f"--dump-ir={small}", **compiling)
(tmp / "sm_80").mkdir()
nested = tmp / "sm_80" / "00-input.mlir"
nested.write_text(program.read_text())
fails("--dump-ir: expected another file than PROGRAM.mlir, got ", nested, "--chip=sm_80", "-o", "x.usp", f"--dump-ir={tmp}", **compiling)
assert all(path.read_bytes() == content for path, content in before.items())

# Files without an end, and pipes that nobody writes to, are no programs.
for path in ("/dev/zero", "fifo", "."):
    for words, more in (([small, f"--program={path}"], {}), ([path], {}), ([small, f"--selection={path}"], {}),
                        ([path, "--chip=sm_80", "-o", "x.usp"], compiling), ([f"--show={path}"], compiling),
                        ([small, "--target=cuda", f"--artifact={path}"], {})):
        fails("expected a regular file, got another kind", *words, **more)
fails("@/dev/zero: cannot open, expected a readable file", "@/dev/zero")

# IR that does not fit the place.
FULL = "/dev/full"
(tmp / "ir").mkdir()
(tmp / "ir" / "01-unisparse-decompose-attention.mlir").mkdir()
fails("01-unisparse-decompose-attention.mlir: cannot write, expected ", small, "--last=0", f"--dump-ir={tmp}/ir", f"--output={tmp}/ir.out")
assert not (tmp / "ir.out").exists()

# What limits a map is said before anything is compiled.
many = write("many", **{name: Tensor("F16", np.zeros((1100, 1, 64, 8))) for name in "qkv"})
fails("--map: expected at most 1024 heads of all batches, got 1100 times 1", many, "--map=m.png", f"--dump-ir={tmp}/none")
assert not (tmp / "none").exists()

# Links are written through, and files stay private.
(tmp / "dangling").symlink_to("there")
works(small, "--output=dangling")
assert (tmp / "dangling").is_symlink() and (tmp / "there").is_file()
(tmp / "loop").symlink_to("loop")
fails("--output: ", small, "--output=loop")
assert (tmp / "loop").is_symlink()
(tmp / "private").touch(0o600)
works(small, "--output=private")
assert stat.S_IMODE((tmp / "private").stat().st_mode) == 0o600 and (tmp / "private").stat().st_size

# Errors stay one line whatever they quote.
for words, tool in (([small, "--packed"], args.run), ([small, "--sink=1\n2"], args.run), ([small, "--json=\n"], args.run),
                    (["--heads=4", "--poison"], args.compile)):
    fails("", *words, status=2, tool=tool)
fails("no?file", "no\nfile")
fails("no?file", "--show=no\nfile", tool=args.compile)
