# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Bad input: one line on stderr that names the argument, what was expected and what was given; exit status 1, or 2 for
usage; nothing on stdout; no file made, changed or left behind; never a crash."""

import argparse
import os
import re
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Execution", "lib"))

import numpy as np
import safetensors
from safetensors import Tensor

TIMEOUT_SECONDS = 60
INPUT, USAGE, EITHER = (1,), (2,), (1, 2)

# Good input, which each case breaks in one place: 4:2 heads, 100 queries of 150 keys, blocks of 32 by 32.
B, HQ, HKV, LQ, LK, D, DV = 1, 4, 2, 100, 150, 16, 8
BLOCK = 32
R, J = 4, 5


def good(**changes):
    """The tensors of the good input, with some replaced, or left out where None."""
    rng = np.random.default_rng(0)
    tensors = {
        "q": Tensor("F32", rng.normal(size=(B, HQ, LQ, D))),
        "k": Tensor("F32", rng.normal(size=(B, HKV, LK, D))),
        "v": Tensor("F32", rng.normal(size=(B, HKV, LK, DV))),
    }
    tensors.update(changes)
    return {name: t for name, t in tensors.items() if t is not None}


def of(dtype, *shape):
    return Tensor(dtype, np.ones(shape))


def ints(*values, dtype="I32"):
    return Tensor(dtype, np.array(values))


def packed(q, k, **changes):
    """The good input with ends of sequences."""
    return good(cu_seqlens_q=q, cu_seqlens_k=k, **changes)


def selection(change=None, **changes):
    """A good selection (every row has blocks 0 and 1), after change(counts, indices)."""
    counts, indices = np.full((B, HQ, R), 2), np.zeros((B, HQ, R, J), int)
    indices[..., 1] = 1
    if change:
        change(counts, indices)
    tensors = {"counts": Tensor("I32", counts), "indices": Tensor("I32", indices), **changes}
    return {name: t for name, t in tensors.items() if t is not None}


def put(array, at, value):
    array[at] = value


class Tester:
    def __init__(self, tool, tmp):
        self.tool, self.tmp, self.tried, self.failed = tool, tmp, 0, []
        shutil.rmtree(tmp, ignore_errors=True)
        os.makedirs(tmp)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def call(self, args):
        try:
            return subprocess.run([self.tool, *args], capture_output=True, timeout=TIMEOUT_SECONDS, cwd=self.tmp)
        except subprocess.TimeoutExpired as late:
            return subprocess.CompletedProcess(late.cmd, None, late.stdout or b"", late.stderr or b"")

    def file(self, name, content):
        """Writes a file of bytes, or of tensors."""
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else safetensors.serialize(content))
        return self.path(name)

    def works(self, name, tensors, args=(), sel=None):
        """The base of the bad cases is good: otherwise what they show is nothing."""
        command = [self.file("in.safetensors", tensors), f"--block={BLOCK}x{BLOCK}", *args, f"--output={self.path('good')}"]
        if sel is not None:
            command.append(f"--selection={self.file('sel.safetensors', sel)}")
        done = self.call(command)
        wrong = []
        if done.returncode != 0 or not os.path.exists(self.path("good")):
            wrong.append(f"expected success, got exit status {done.returncode}: {done.stderr.decode(errors='replace')[:500]}")
        else:
            os.remove(self.path("good"))
        self.note(f"good input: {name}", wrong, command)

    def fails(self, name, status, named, args=(), tensors=None, sel=None, raw=False):
        """One bad call. `named`: what the message must have in it. `raw`: `args` is the whole command line."""
        outputs = [self.path("out.safetensors"), self.path("map.png")]
        with open(outputs[0], "wb") as file:
            file.write(b"what was there before")
        if os.path.exists(outputs[1]):
            os.remove(outputs[1])
        command = list(args)
        if not raw:
            path = self.file("in.safetensors", good() if tensors is None else tensors)
            command = [path, f"--block={BLOCK}x{BLOCK}", *args, f"--output={outputs[0]}", f"--map={outputs[1]}", "--json"]
        if sel is not None:
            command.append(f"--selection={self.file('sel.safetensors', sel)}")
        before = self.listing()
        done = self.call(command)
        wrong = self.judge(done, status, named)
        if self.listing() != before:
            wrong.append(f"files: expected {before}, got {self.listing()}")
        with open(outputs[0], "rb") as file:
            if file.read() != b"what was there before":
                wrong.append("the output file of before has been changed")
        self.note(name, wrong, command)

    def listing(self):
        return sorted(os.path.join(folder, name) for folder, folders, files in os.walk(self.tmp) for name in folders + files)

    def judge(self, done, status, named):
        if done.returncode is None:
            return [f"no end in {TIMEOUT_SECONDS} seconds"]
        text = done.stderr.decode(errors="replace")
        wrong = []
        if done.returncode < 0 or done.returncode >= 128:
            wrong.append(f"ended by a signal (exit status {done.returncode})")
        elif done.returncode not in status:
            wrong.append(f"exit status: expected {' or '.join(map(str, status))}, got {done.returncode}")
        if done.stdout:
            wrong.append(f"stdout: expected nothing, got {done.stdout[:200]!r}")
        if not text.endswith("\n") or len(text.splitlines()) != 1 or not text.strip():
            wrong.append(f"stderr: expected one line, got {text[:600]!r}")
        for pattern in named:
            if not re.search(pattern, text):
                wrong.append(f"stderr: expected /{pattern}/ in {text[:600]!r}")
        if re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text):
            wrong.append(f"stderr: control characters in {text[:200]!r}")
        return wrong

    def note(self, name, wrong, command):
        self.tried += 1
        if not wrong:
            return
        self.failed.append(name)
        print(f"FAIL  {name}")
        for line in wrong:
            print(f"      {line}")
        print(f"      command: {self.tool} {' '.join(command)}", flush=True)


SAYS = ["expected", r"\bgot\b"]


def shapes_and_types(t):
    """Tensors that do not go together."""
    for name in "qkv":
        t.fails(f"no {name}", INPUT, [rf"\b{name}\b", *SAYS], tensors=good(**{name: None}))
    t.fails("no tensors", INPUT, [r"\bq\b", *SAYS], tensors={})
    for name, heads, length, dim in (("q", HQ, LQ, D), ("k", HKV, LK, D), ("v", HKV, LK, DV)):
        says = [rf"\b{name}\b", *SAYS]
        t.fails(f"{name} of rank 2", INPUT, says, tensors=good(**{name: of("F32", length, dim)}))
        t.fails(f"{name} of rank 5", INPUT, says, tensors=good(**{name: of("F32", 1, 1, heads, length, dim)}))
        t.fails(f"{name} of rank 0", INPUT, says, tensors=good(**{name: of("F32")}))
        t.fails(f"{name} without the batch of the others", INPUT, SAYS, tensors=good(**{name: of("F32", heads, length, dim)}))
        t.fails(f"{name} of another batch", INPUT, SAYS, tensors=good(**{name: of("F32", 3, heads, length, dim)}))
        for dtype in ("I32", "F64", "U8"):
            t.fails(f"{name} of {dtype}", INPUT, [*says, dtype], tensors=good(**{name: of(dtype, B, heads, length, dim)}))
        t.fails(f"{name} of F16 among F32", INPUT, [*SAYS, "(?i)f16"], tensors=good(**{name: of("F16", B, heads, length, dim)}))
        t.fails(f"{name} of BF16 among F32", INPUT, [*SAYS, "(?i)bf16"], tensors=good(**{name: of("BF16", B, heads, length, dim)}))
    t.fails("heads that do not divide", INPUT, [*SAYS, "head", r"\b4\b", r"\b3\b"], tensors=good(k=of("F32", B, 3, LK, D), v=of("F32", B, 3, LK, DV)))
    t.fails("more KV heads than query heads", INPUT, [*SAYS, "head", r"\b8\b"], tensors=good(k=of("F32", B, 8, LK, D), v=of("F32", B, 8, LK, DV)))
    t.fails("v of other heads than k", INPUT, [*SAYS, r"\bv\b"], tensors=good(v=of("F32", B, 4, LK, DV)))
    t.fails("v of another length than k", INPUT, [*SAYS, r"\bv\b"], tensors=good(v=of("F32", B, HKV, LK - 1, DV)))
    t.fails("k of another head size than q", INPUT, SAYS, tensors=good(k=of("F32", B, HKV, LK, D + 1)))
    t.fails("Lq > Lk when causal", INPUT, [*SAYS, "causal", r"\b100\b", r"\b99\b"], tensors=good(k=of("F32", B, HKV, 99, D), v=of("F32", B, HKV, 99, DV)))


def damaged_files(t):
    """Files that are not what they say."""
    whole = safetensors.serialize(good())
    (header,) = struct.unpack("<Q", whole[:8])
    for size in (0, 1, 7, 8, 9, 8 + header // 2, 8 + header - 1, 8 + header, 8 + header + 100, len(whole) - 1):
        t.fails(f"file cut to {size} of {len(whole)} bytes", INPUT, [r"in\.safetensors", *SAYS], tensors=whole[:size])
    t.fails("a byte too many", INPUT, [r"in\.safetensors", *SAYS], tensors=whole + b"x")
    t.fails("a header of 2^63 bytes", INPUT, SAYS, tensors=struct.pack("<Q", 1 << 63) + whole[8:])
    for what, text in {
        "no JSON": b"hello, this is text",
        "an array": b"[1, 2, 3]",
        "cut JSON": b'{"q": {"dtype": "F32", "sha',
        "bytes that are no UTF-8": b'{"\xff\xfe": 1}',
        "deep nesting": b'{"q": ' + b"[" * 100000,
        "a name twice": b'{"q": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "q": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    }.items():
        t.fails(f"header: {what}", INPUT, [r"in\.safetensors", *SAYS], tensors=safetensors.pack(text, b""))
    entry = {"dtype": "F32", "shape": [2, 2, 2, 2], "data_offsets": [0, 64]}
    for what, change in {
        "a shape of 2^80 elements": dict(shape=[1 << 20] * 4),
        "a shape of 2^40 elements": dict(shape=[1 << 10] * 4),
        "a negative dimension": dict(shape=[-2, 2, 2, -2]),
        "a fractional dimension": dict(shape=[2.5, 2, 2, 2]),
        "offsets past the end": dict(data_offsets=[0, 1 << 40]),
        "offsets that run backwards": dict(data_offsets=[64, 0]),
        "a hole": dict(data_offsets=[64, 128]),
        "an unknown dtype": dict(dtype="F7_E3M3"),
        "no shape": dict(shape=None),
    }.items():
        changed = {key: value for key, value in {**entry, **change}.items() if value is not None}
        t.fails(f"header: {what}", INPUT, SAYS, tensors=safetensors.pack({"q": changed}, bytes(128 if "hole" in what else 64)))
    overlap = {"q": entry, "k": {**entry, "data_offsets": [32, 96]}, "v": {**entry, "data_offsets": [96, 160]}}
    t.fails("header: overlapping tensors", INPUT, SAYS, tensors=safetensors.pack(overlap, bytes(160)))
    t.fails("a name with a newline and an escape", INPUT, SAYS, tensors=safetensors.pack({"q\n\x1b[31m": {**entry, "data_offsets": [0, 1 << 40]}}, bytes(64)))
    out = [f"--output={t.path('new')}"]
    t.fails("missing file", INPUT, ["absent", "expected"], [t.path("absent"), *out], raw=True)
    t.fails("a folder as the file", INPUT, SAYS, [t.tmp, *out], raw=True)
    t.fails("/dev/zero as the file", INPUT, SAYS, ["/dev/zero", *out], raw=True)


def options(t):
    """Options that cannot be: malformed ones are usage; a value out of its range may be either."""
    out = [f"--output={t.path('new')}"]
    source = t.file("in.safetensors", good())
    for name in ("--p", "--repeat", "--block", "--output"):  # The last word, so that nothing serves as its value.
        t.fails(f"{name} without a value", USAGE, ["requires a value"], [source, name], raw=True)
    t.fails("--opt-level of a word", USAGE, SAYS, [source, "--opt-level=fast"], raw=True)
    t.fails("--opt-level of a GPU's code", USAGE, SAYS, [source, "--opt-level=1", "--target=cuda"], raw=True)
    for name in ("--selection=", "--program=", "--output=", "--map=", "--dump-ir="):
        t.fails(f"{name} of nothing", USAGE, SAYS, [source, name], raw=True)
    for words in (["--scale=1e39"], ["--alpha=1e39"], ["--alpha=1e30", "--scale=1e30"], ["--threads=100000"],
                  ["--opt-level=4"], ["--opt-level=-1"]):
        t.fails(" ".join(words), INPUT, SAYS, [source, *words], raw=True)
    same = t.path("same")
    t.fails("--map and --output in one file", INPUT, SAYS, [source, f"--output={same}", f"--map={same}"], raw=True)
    t.fails("no arguments", USAGE, ["expected|[Uu]sage"], [], raw=True)
    t.fails("no input file", USAGE, ["expected|[Uu]sage"], out, raw=True)
    t.fails("two input files", USAGE, ["other"], [t.path("in.safetensors"), t.path("other"), *out], raw=True)
    for option in ("--no-such-option", "--blok=64x64", "-z", "--p"):
        t.fails(f"option {option}", USAGE, [re.escape(option.split("=")[0])], [option])
    malformed = {
        "block": ("64", "64x", "x64", "64x64x64", "axb", "64,64", "", "6.5x64", "99999999999999999999x64"),
        "pool": ("8", "8x", "axb", ""),
        "head-pool": ("two", ""),
        "agg": ("median", ""),
        "share": ("everything", ""),
        "p": ("lots", "0.5,,0.5", "0.5x", ""),
        "top-k": ("few", "1.5"),
        "threshold": ("x", ""),
        "random": ("x", ""),
        "seed": ("x", "1.5"),
        "representatives": ("x",),
        "spread": ("x",),
        "last": ("x",),
        "sink": ("x",),
        "local": ("x",),
        "min-blocks": ("x",),
        "max-blocks": ("x",),
        "dense-below": ("x",),
        "scale": ("x",),
        "alpha": ("x",),
        "threads": ("x",),
        "repeat": ("x",),
        "compare": ("sparse",),
    }
    for name, values in malformed.items():
        for value in values:
            t.fails(f"--{name}={value}", USAGE, [rf"\b{name}\b", "expected"], [f"--{name}={value}"])
    for name, values in {
        "block": ("0x32", "32x0", "-32x32"),
        "pool": ("0x8", "8x0"),
        "head-pool": ("0", "-1"),
        "p": ("-0.1", "1.1", "nan", "-nan", "inf", "0.5,0.5,0.5,1.5", "0.5,nan,0.5,0.5", "0.5,0.5,0.5", "0.5,0.5,0.5,0.5,0.5"),
        "top-k": ("0", "-1"),
        "threshold": ("-0.1", "1.1", "nan", "inf"),
        "random": ("-0.1", "1.1", "nan"),
        "seed": ("-1", "4294967296"),
        "representatives": ("-1",),
        "spread": ("-1", "5"),
        "last": ("-1",),
        "sink": ("-1",),
        "local": ("-1",),
        "min-blocks": ("-1",),
        "max-blocks": ("-1",),
        "dense-below": ("-1",),
        "scale": ("nan", "inf"),
        "alpha": ("nan", "-inf"),
        "threads": ("-1",),
        "repeat": ("0", "-1"),
        "target": ("no-such-target", "toaster"),
    }.items():
        for value in values:
            t.fails(f"--{name}={value}", EITHER, [rf"\b{name}\b", *SAYS], [f"--{name}={value}"])
    # I5 and I6 are about what is pooled: nothing is with a given selection, or where every block is taken.
    t.works("factors that divide nothing, of a given selection", good(), ["--pool=5x7", "--head-pool=3"], sel=selection())
    t.works("factors that divide nothing, of dense attention", good(), ["--dense", "--block=50x100"])
    t.fails("cq does not divide Bq", EITHER, [*SAYS, "pool", "5x8|\\b5\\b", "32"], ["--pool=5x8"])
    t.fails("ck does not divide Bk", EITHER, [*SAYS, "pool", "8x5|\\b5\\b", "32"], ["--pool=8x5"])
    t.fails("ch does not divide Hq", EITHER, [*SAYS, r"\b3\b", r"\b4\b"], ["--head-pool=3"])
    for words in (["--threshold=.5", "--min-blocks=2"], ["--threshold=.5", "--max-blocks=2"], ["--random=.5", "--min-blocks=2"],
                  ["--representatives=4", "--agg=sum"]):
        t.fails(" ".join(words), INPUT, [rf"{words[1].split('=')[0]}: \[", *SAYS], words)
    t.works("options of an estimate that is not made", good(), ["--spread=5", "--representatives=4", "--agg=sum"], sel=selection())
    for name, bad in (("q", np.nan), ("k", np.inf), ("v", -np.inf)):
        tensors = good()
        tensors[name].data[0, 1, 2, 3] = bad
        t.fails(f"--check-finite: {bad} in {name}", INPUT, [f"tensor '{name}': expected finite numbers beside --check-finite, got {bad} at ", re.escape("[0, 1, 2, 3]")], ["--check-finite"], tensors=tensors)
        t.works(f"{bad} in {name} unasked", tensors)
    t.works("--check-finite", good(), ["--check-finite"])
    six = good(q=of("F32", B, 12, LQ, D), k=of("F32", B, 3, LK, D), v=of("F32", B, 3, LK, DV))
    t.fails("neither of ch and g divides the other", EITHER, [*SAYS, r"\b6\b", r"\b4\b"], ["--head-pool=6"], tensors=six)
    program = [t.file("in.safetensors", good()), f"--program={t.path('absent.mlir')}", *out]
    t.fails("--program of a missing file", INPUT, ["absent"], program, raw=True)
    broken = t.file("broken.mlir", b"func.func @main() { this is no program }")
    t.fails("--program that is none", INPUT, ["broken"], [program[0], f"--program={broken}", *out], raw=True)


def sinks(t):
    words = ["--sink-logits"]
    t.works("sinks", good(sink_logits=of("F32", HQ)), words)
    t.fails("no sinks", INPUT, [r"\bsink_logits\b", *SAYS], words)
    for name, sinks, says in (
        ("sinks of F16", of("F16", HQ), r"tensor 'sink_logits': \[M3\] expected F32, got F16"),
        ("a sink too few", of("F32", HQ - 1), rf"\[M3\] expected one number for each of q's {HQ} heads, got \[{HQ - 1}\]"),
        ("sinks of two dims", of("F32", 1, HQ), rf"\[M3\] expected one number for each of q's {HQ} heads, got \[1, {HQ}\]"),
        ("a sink that is infinite", Tensor("F32", np.full(HQ, np.inf)), r"\[M3\] expected finite numbers or -inf, got inf$"),
        ("a sink that is no number", Tensor("F32", np.full(HQ, np.nan)), r"\[M3\] expected finite numbers or -inf, got nan$"),
    ):
        t.fails(name, INPUT, [says], words, tensors=good(sink_logits=sinks))


def score_tables(t):
    text = "%h = arith.index_cast %head : i32 to index\n%b = tensor.extract %bias[%h, %h] : tensor<4x?xf32>\nunisparse.yield %b : f32"
    words = [f"--score-mod={text}", "--score-tables=bias:4x?xf32"]
    t.works("a table", good(bias=of("F32", 4, 7)), words)
    t.fails("no table", INPUT, [r"\bbias\b", *SAYS], words)
    for name, table, says in (
        ("a table of I32", of("I32", 4, 7), r"tensor 'bias': \[M5\] expected F32, got I32"),
        ("a table of other sizes", of("F32", 5, 7), r"tensor 'bias': \[M5\] expected \[4, \?\] with entries, got \[5, 7\]"),
        ("a table of fewer dims", of("F32", 4), r"tensor 'bias': \[M5\] expected \[4, \?\] with entries, got \[4\]"),
        ("an empty table", of("F32", 4, 0), r"tensor 'bias': \[M5\] expected \[4, \?\] with entries, got \[4, 0\]"),
    ):
        t.fails(name, INPUT, [says], words, tensors=good(bias=table))
    t.fails("a table of another type in the text", INPUT, [r"--score-mod:2:21: \[M5\] expected a value of type tensor<4x\?xf32>, got %bias of type tensor<\?x\?xf32>"], [words[0], "--score-tables=bias:?x?xf32"], tensors=good(bias=of("F32", 4, 7)))
    t.fails("a table that the text does not read", INPUT, [r"--score-tables: \[M5\] expected tables that the text reads, got 'bias'"], ["--score-mod=unisparse.yield %logit : f32", words[1]], tensors=good(bias=of("F32", 4, 7)))


def packed_batches(t):
    """Ends of sequences that cannot be."""
    q, k = ints(0, 40, LQ), ints(0, 60, LK)
    t.works("a packed batch", packed(q, k))
    for name, tensors in (("q", (q, None)), ("k", (None, k))):
        t.fails(f"cu_seqlens_{name} alone", INPUT, ["cu_seqlens", *SAYS], tensors=packed(*tensors))
    for what, bad in {
        "does not start at 0": lambda n: ints(1, 40, n),
        "starts below 0": lambda n: ints(-1, 40, n),
        "decreases": lambda n: ints(0, 40, 30, n),
        "ends before the length": lambda n: ints(0, 40, n - 1),
        "ends behind the length": lambda n: ints(0, 40, n + 1),
        "of I64": lambda n: ints(0, 40, n, dtype="I64"),
        "of F32": lambda n: ints(0, 40, n, dtype="F32"),
        "of rank 2": lambda n: Tensor("I32", np.array([[0, 40, n]])),
        "of rank 0": lambda n: Tensor("I32", np.array(n)),
        "without entries": lambda n: Tensor("I32", np.zeros(0)),
        "with one entry": lambda n: ints(0),
    }.items():
        longer = 3 if what == "decreases" else 2
        others = {2: (q, k), 3: (ints(0, 10, 40, LQ), ints(0, 10, 60, LK))}[longer]
        t.fails(f"cu_seqlens_q {what}", INPUT, ["cu_seqlens_q", *SAYS], tensors=packed(bad(LQ), others[1]))
        t.fails(f"cu_seqlens_k {what}", INPUT, ["cu_seqlens_k", *SAYS], tensors=packed(others[0], bad(LK)))
    t.fails("numbers of sequences that differ", INPUT, ["cu_seqlens", *SAYS], tensors=packed(ints(0, 40, LQ), ints(0, 50, 60, LK)))
    t.fails("a sequence with Lq > Lk when causal", INPUT, [*SAYS, "causal"], tensors=packed(ints(0, 61, LQ), k))
    two = good(q=of("F32", 2, HQ, LQ, D), k=of("F32", 2, HKV, LK, D), v=of("F32", 2, HKV, LK, DV))
    t.fails("a packed batch with B = 2", INPUT, SAYS, tensors={**two, "cu_seqlens_q": q, "cu_seqlens_k": k})


def selections(t):
    """Selections that do not satisfy L6."""
    t.works("a selection", good(), sel=selection())
    last = (0, HQ - 1, R - 1)
    for what, named, sel in (
        ("without counts", "counts", selection(counts=None)),
        ("without indices", "indices", selection(indices=None)),
        ("counts of I64", "counts", selection(counts=Tensor("I64", np.full((B, HQ, R), 2)))),
        ("indices of F32", "indices", selection(indices=of("F32", B, HQ, R, J))),
        ("counts of rank 2", "counts", selection(counts=of("I32", HQ, R))),
        ("counts of other heads", "counts", selection(counts=of("I32", B, 3, R))),
        ("counts of other rows", "counts", selection(counts=of("I32", B, HQ, R + 1))),
        ("counts of another batch", "counts", selection(counts=of("I32", 2, HQ, R))),
        ("indices of rank 3", "indices", selection(indices=of("I32", B, HQ, R))),
        ("indices of other rows", "indices", selection(indices=of("I32", B, HQ, R - 1, J))),
        ("indices of other columns", "indices", selection(indices=of("I32", B, HQ, R, J + 1))),
        ("a negative count", "counts", selection(lambda c, i: put(c, last, -1))),
        ("a count above J", "counts", selection(lambda c, i: put(c, last, J + 1))),
        ("a huge count", "counts", selection(lambda c, i: put(c, last, 2**31 - 1))),
        ("a negative index", "indices", selection(lambda c, i: put(i, (*last, 0), -1))),
        ("an index of J", "indices", selection(lambda c, i: put(i, (*last, 1), J))),
        ("a huge index", "indices", selection(lambda c, i: put(i, (*last, 1), 2**31 - 1))),
        ("indices that descend", "indices", selection(lambda c, i: put(i, (*last, slice(0, 2)), [3, 2]))),
        ("an index twice", "indices", selection(lambda c, i: put(i, (*last, slice(0, 2)), [2, 2]))),
    ):
        t.fails(f"selection: {what}", INPUT, [named, *SAYS], sel=sel)
    rows, columns = 2 + 2, 3
    q, k = ints(0, 40, LQ), ints(0, 60, LK)
    counts, indices = np.ones((B, HQ, rows)), np.zeros((B, HQ, rows, columns))
    t.works("a selection of a packed batch", packed(q, k), sel=selection(counts=Tensor("I32", counts), indices=Tensor("I32", indices)))
    past = indices.copy()
    past[0, 0, 0, 0] = 2  # The first sequence has 60 keys: blocks 0 and 1.
    sel = selection(counts=Tensor("I32", counts), indices=Tensor("I32", past))
    words = [t.file("in.safetensors", packed(q, k)), f"--block={BLOCK}x{BLOCK}"]  # Without --map, which is of one sequence.
    t.fails("selection: an index behind its own sequence", INPUT, ["indices", *SAYS], words, sel=sel, raw=True)
    t.fails("selection: a missing file", INPUT, ["absent"], [f"--selection={t.path('absent')}"])
    cut = t.file("cut", safetensors.serialize(selection())[:-4])
    t.fails("selection: a truncated file", INPUT, ["cut", *SAYS], [f"--selection={cut}"])


def outputs_and_edges(t):
    """Places that cannot be written, and shapes at the edge: an error or a result, never a crash."""
    path = t.file("ok.safetensors", good())
    base = [path, f"--block={BLOCK}x{BLOCK}"]
    os.makedirs(t.path("folder"))
    t.fails("output into a missing folder", INPUT, ["nowhere"], [*base, f"--output={t.path('nowhere/out')}"], raw=True)
    t.fails("output onto a folder", INPUT, ["folder"], [*base, f"--output={t.path('folder')}"], raw=True)
    t.fails("output onto a device", INPUT, ["/dev/full"], [*base, "--output=/dev/full"], raw=True)
    t.fails("map into a missing folder", INPUT, ["nowhere"], [*base, f"--map={t.path('nowhere/map.png')}"], raw=True)
    t.fails("IR into a file", INPUT, [r"ok\.safetensors"], [*base, f"--dump-ir={path}"], raw=True)
    for axis, name in ((1, "heads"), (3, "head size")):  # No batch and no token are no error: test/Execution/empty.py.
        shapes = [[B, HQ, LQ, D], [B, HKV, LK, D], [B, HKV, LK, DV]]
        for shape in shapes:
            shape[axis] = 0
        t.fails(f"{name} of 0", INPUT, SAYS, tensors={x: of("F32", *shape) for x, shape in zip("qkv", shapes)})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="unisparse-run")
    parser.add_argument("--tmp", required=True, help="a folder of the script's own, for files")
    args = parser.parse_args()
    if not os.access(args.tool, os.X_OK):
        sys.exit(f"--tool: expected a program, got '{args.tool}'")
    t = Tester(os.path.abspath(args.tool), os.path.abspath(args.tmp))
    t.works("four dimensions", good())
    t.works("three dimensions", {name: Tensor(x.dtype, x.data[0]) for name, x in good().items()})
    for part in (shapes_and_types, damaged_files, options, sinks, score_tables, packed_batches, selections, outputs_and_edges):
        part(t)
    print(f"{t.tried} cases, {len(t.failed)} failed")
    if not t.failed:
        shutil.rmtree(args.tmp, ignore_errors=True)
    return 1 if t.failed or not t.tried else 0


sys.exit(main())
