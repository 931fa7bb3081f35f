# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an execution test runs: options, inputs, and the sequences that they hold."""

import dataclasses
from typing import Callable, Optional, Tuple, Union

import numpy as np
from safetensors import Tensor, round_to


# Whose defaults are not those of the plain form, and not the same for all tensors: they are always said.
MEASURED = ("p", "representatives", "spread", "last")


@dataclasses.dataclass(frozen=True)
class Options:
    """The policy of a run, in the paper's plain form unless said otherwise; `args` says it on unisparse-run's command line."""

    block: Tuple[int, int] = (128, 128)
    pool: Tuple[int, int] = (8, 8)
    head_pool: int = 1
    representatives: int = 0
    spread: int = 0
    agg: str = "max"
    share: str = "none"
    p: Union[float, Tuple[float, ...]] = 0.9
    relax: float = 0.0
    top_k: Optional[int] = None
    threshold: Optional[float] = None
    random: Optional[float] = None
    seed: int = 0
    sink: int = 1
    local: int = 1
    last: int = 0
    min_blocks: int = 0
    max_blocks: Optional[int] = None
    dense_below: int = 0
    causal: bool = True
    scale: Optional[float] = None
    alpha: float = 1.0
    softcap: Optional[float] = None
    window: Tuple[int, int] = (-1, -1)
    dense: bool = False

    def args(self):
        """Only what differs from the tool's defaults, so that these are under test too."""
        result = []
        ruled = self.dense or any(x is not None for x in (self.top_k, self.threshold, self.random))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in MEASURED:
                if field.name != "p" or not ruled:
                    value = ",".join(map(str, value)) if isinstance(value, tuple) else value
                    result.append(f"--{field.name}={value}")
                continue
            if value == field.default:
                continue
            if field.name == "causal":
                result.append("--no-causal")
                continue
            if field.name == "dense":
                result.append("--dense")
                continue
            if isinstance(value, tuple):
                value = ("," if field.name == "window" else "x").join(map(str, value))
            result.append(f"--{field.name.replace('_', '-')}={value}")
        return result

    def rule(self):
        """The options of the oracle's select and selection_valid, without p."""
        return dict(
            n_sink=self.sink,
            n_local=self.local,
            min_blocks=self.min_blocks,
            max_blocks=self.max_blocks,
            top_k=self.top_k,
            dense_below=self.dense_below,
            n_last=self.last,
            threshold=self.threshold,
            share_of=self.random,
            window=self.window,
            relax=self.relax,
        )


@dataclasses.dataclass
class Sequence:
    """One sequence of a case: its tokens in float64, and where its results lie."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    batch: int
    tokens: slice
    rows: slice
    columns: int

    @property
    def lq(self):
        return self.q.shape[1]

    @property
    def lk(self):
        return self.k.shape[1]


@dataclasses.dataclass
class Case:
    """q, k, v: [B, H, L, D] or [H, L, D], values of `dtype`. cu: the ends of packed sequences, of q and of k.

    selection: counts and indices to execute as given, laid out as in the output. sinks: [Hq], logits (M3). modify: what a
    program makes of logits, given the batch, the head, the logits and the positions of queries and of keys (M5). tables: what
    it reads, element types and values by name. opt_level: how much LLVM optimizes.
    """

    name: str
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    options: Options = Options()
    dtype: str = "F32"
    cu: Optional[Tuple[np.ndarray, np.ndarray]] = None
    selection: Optional[Tuple[np.ndarray, np.ndarray]] = None
    sinks: Optional[np.ndarray] = None
    modify: Optional[Callable] = None
    tables: dict = dataclasses.field(default_factory=dict)
    extra: Tuple[str, ...] = ()
    opt_level: int = 0
    file: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.q, self.k, self.v = (round_to(x, self.dtype) for x in (self.q, self.k, self.v))

    @property
    def heads(self):
        return self.q.shape[-3], self.k.shape[-3]

    @property
    def scale(self):
        return self.q.shape[-1] ** -0.5 if self.options.scale is None else self.options.scale

    def lead(self):
        """The leading dimensions of a result: [B] or none."""
        return self.q.shape[:-3]

    @property
    def batches(self):
        return int(np.prod(self.lead(), dtype=int))

    def tensors(self):
        """What the input file holds."""
        result = {name: Tensor(self.dtype, getattr(self, name)) for name in "qkv"}
        if self.cu is not None:
            for name, ends in zip("qk", self.cu):
                result[f"cu_seqlens_{name}"] = Tensor("I32", np.asarray(ends, np.int32))
        if self.sinks is not None:
            result["sink_logits"] = Tensor("F32", np.asarray(self.sinks, np.float32))
        return {**result, **{name: Tensor(*table) for name, table in self.tables.items()}}

    def args(self):
        """The command line of the options, and of what the file holds besides q, k and v."""
        said = not any(word.startswith("--program=") for word in self.extra)  # A program says it all.
        return self.options.args() * said + ["--sink-logits"] * (self.sinks is not None)

    def modification(self, batch, head):
        """What the oracle's attend takes of a query head (M1 to M3, M5)."""
        sink = -np.inf if self.sinks is None else float(np.float32(self.sinks[head]))
        modify = None if self.modify is None else lambda s, i, t: self.modify(batch, head, s, i, t)
        return dict(softcap=self.options.softcap, window=self.options.window, sink=sink, modify=modify)

    def sequences(self):
        """Every sequence of every batch, in the order of the results."""
        q, k, v = (x.reshape(self.batches, *x.shape[-3:]).astype(np.float64) for x in (self.q, self.k, self.v))
        cuq, cuk = self.cu if self.cu is not None else ([0, q.shape[2]], [0, k.shape[2]])
        bq, bk = self.options.block
        result = []
        for b in range(len(q)):
            row = 0
            for q0, q1, k0, k1 in zip(cuq[:-1], cuq[1:], cuk[:-1], cuk[1:]):
                rows = slice(row, row + -(-(q1 - q0) // bq))
                row = rows.stop
                tokens = slice(q0, q1)
                result.append(Sequence(q[b, :, tokens], k[b, :, k0:k1], v[b, :, k0:k1], b, tokens, rows, -(-(k1 - k0) // bk)))
        return result

    def selection_shape(self):
        """R and J of the results."""
        cuq, cuk = self.cu if self.cu is not None else ([0, self.q.shape[-2]], [0, self.k.shape[-2]])
        blocks = lambda ends, size: [-(-(y - x) // size) for x, y in zip(ends[:-1], ends[1:])]
        return sum(blocks(cuq, self.options.block[0])), max(blocks(cuk, self.options.block[1]), default=0)


def tokens(rng, heads, length, dim, topics, segment=48):
    """[heads, length, dim]: noise around topics that change every `segment` tokens or so.

    Attention then falls on some blocks much more than on others, and pooling keeps what matters, as in real models.
    """
    # Two tokens of one topic have a logit of about 4 at the default scale, noise adds about 1.
    strength = 2 * dim**0.25
    changes = rng.random((heads, length)) < 1 / segment
    kind = rng.integers(len(topics), size=(heads, length))
    last = np.maximum.accumulate(np.where(changes, np.arange(length), 0), 1)
    kind = np.take_along_axis(kind, last, 1)
    return strength * topics[kind] + rng.normal(size=(heads, length, dim))


def qkv(seed, hq, hkv, lq, lk, d, dv=None, batch=None):
    """Seeded q, k, v; without a batch dimension where batch is None."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(6, d))
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    made = [
        (tokens(rng, hq, lq, d, topics), tokens(rng, hkv, lk, d, topics), rng.normal(size=(hkv, lk, dv or d)))
        for _ in range(batch or 1)
    ]
    q, k, v = (np.stack(x).astype(np.float32) for x in zip(*made))
    return (q, k, v) if batch else (q[0], k[0], v[0])


def ends(lengths):
    """Lengths of packed sequences -> cu_seqlens."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def random_selection(rng, case, density=0.5, empty_rows=0.2, candidates_only=False):
    """counts and indices that satisfy L6 and no rule: any blocks of a sequence, some rows none at all."""
    hq, _ = case.heads
    rows, columns = case.selection_shape()
    batch = int(np.prod(case.lead(), dtype=int))
    counts = np.zeros((batch, hq, rows), np.int32)
    indices = np.zeros((batch, hq, rows, columns), np.int32)
    bq, bk = case.options.block
    for s in case.sequences():
        for h in range(hq):
            for r in range(s.rows.start, s.rows.stop):
                visible = s.columns
                if candidates_only and case.options.causal:
                    last = s.lk - s.lq + min((r - s.rows.start + 1) * bq, s.lq) - 1
                    visible = min(visible, last // bk + 1)
                chosen = np.flatnonzero(rng.random(visible) < density)
                if rng.random() < empty_rows:
                    chosen = chosen[:0]
                counts[s.batch, h, r] = len(chosen)
                indices[s.batch, h, r, : len(chosen)] = chosen
    return counts.reshape(*case.lead(), hq, rows), indices.reshape(*case.lead(), hq, rows, columns)
