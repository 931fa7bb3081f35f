# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a model finds with each policy, and what that costs."""

import statistics
import time

import torch

LOSS_TOKENS, LOSS_CHUNK = 2048, 512  # At a text's end; logits at a time.
KEEP = 0.99


class Attention:
    """A policy as a model's attention, with what it selects and how long it takes."""

    def __init__(self, policy):
        self.policy, self.selected, self.candidates, self.times = policy, 0, 0, []

    def __call__(self, q, k, v, layer, scale):
        begin = now(q.device)
        o, counts = self.policy.attend(q, k, v, scale)
        self.times.append((begin, now(q.device)))
        if counts is not None:
            rows = counts.shape[-1]
            self.selected = self.selected + counts.sum(dtype=torch.int64)
            self.candidates += counts.shape[0] * counts.shape[1] * rows * (rows + 1) // 2
        return o

    def density(self):
        return float(self.selected) / self.candidates if self.candidates else 1.0

    def milliseconds(self):
        if self.times and isinstance(self.times[0][0], float):
            return sum(end - begin for begin, end in self.times) * 1e3
        torch.cuda.synchronize()
        return sum(begin.elapsed_time(end) for begin, end in self.times)


def now(device):
    if device.type == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def batches(sequences, tokens):
    size = max(1, tokens // len(sequences[0].tokens))
    return [sequences[n : n + size] for n in range(0, len(sequences), size)]


def tensor_of(batch, device):
    return torch.stack([torch.from_numpy(one.tokens) for one in batch]).to(device)


def right(model, batch, attend, device):
    """For each question whether every token of its answer is the likeliest."""
    tokens = tensor_of(batch, device)
    hidden = model.hidden(tokens, attend)
    places = [(n, place) for n, one in enumerate(batch) for answer in one.answers for place in answer]
    row, column = torch.tensor(places, device=device).T
    good = (model.logits(hidden[row, column - 1]).argmax(-1) == tokens[row, column]).tolist()
    result, at = [], 0
    for answer in (answer for one in batch for answer in one.answers):
        result.append(all(good[at : at + len(answer)]))
        at += len(answer)
    return result


def loss(model, batch, attend, device):
    """Negative log-likelihood (nats) of each text's last tokens: sum, number."""
    tokens = tensor_of(batch, device)
    hidden, last = model.hidden(tokens, attend), min(LOSS_TOKENS, tokens.shape[1] // 2)
    total = torch.zeros((), dtype=torch.float64, device=device)
    for one, h in zip(tokens[:, -last:], hidden[:, -last - 1 : -1]):
        for wanted, some in zip(one.split(LOSS_CHUNK), h.split(LOSS_CHUNK)):
            total += torch.nn.functional.cross_entropy(model.logits(some).float(), wanted, reduction="sum")
    return float(total), last * len(batch)


@torch.no_grad()
def at_length(model, asked, policy, length, limits, device):
    """-> what one policy gets right at one length."""
    attend, begin = Attention(policy), time.monotonic()
    cells, prompts = {}, 0
    for cell, sequences in asked.cells(length, limits.questions).items():
        answers = [x for batch in batches(sequences, limits.tokens) for x in right(model, batch, attend, device)]
        cells[cell] = dict(right=sum(answers), questions=len(answers), missed=[n for n, x in enumerate(answers) if not x])
        prompts += len(sequences)
    # Of what is asked, before the plain texts.
    density, milliseconds = attend.density(), attend.milliseconds()
    texts = asked.texts(length, limits.texts)
    parts = [loss(model, batch, Attention(policy), device) for batch in batches(texts, limits.tokens)] if texts else []
    return dict(
        cells=cells, accuracy=sum(c["right"] for c in cells.values()) / sum(c["questions"] for c in cells.values()),
        nll=sum(x for x, _ in parts) / sum(n for _, n in parts) if parts else None, density=density,
        attention_ms_a_prompt=milliseconds / prompts, seconds=round(time.monotonic() - begin, 2),
    )  # fmt: skip


class Capture:
    """Dense attention that keeps every layer's Q, K and V, with their heads repeated to `heads` in all."""

    def __init__(self, dense, heads):
        self.dense, self.heads, self.layers = dense, heads, []

    def __call__(self, q, k, v, layer, scale):
        times = max(1, self.heads // q.shape[1])
        self.layers.append([x.repeat(1, times, 1, 1) for x in (q, k, v)])
        return self.dense.attend(q, k, v, scale)[0]


def queued(call):
    """Milliseconds of a call on the device, the host's share hidden."""
    for _ in range(2):
        call()
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        torch.cuda._sleep(1_000_000)
        begin = now(torch.device("cuda"))
        call()
        end = now(torch.device("cuda"))
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def backend_of(name, scale):
    """torch's dense attention by one backend, (q, k, v) -> o. cuDNN and FlashAttention-2 take a KV head for each query head."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backend = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}[name]

    def attend(q, k, v):
        with sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)

    return attend


@torch.no_grad()
def times(model, policies, text, lengths, heads, say):
    """One prompt's attention in milliseconds: {policy: {length: {"ms" and "density" of all layers, and those of each}}}. A
    rival's is that of our executor on its selection, the estimate in torch not counted. Dense attention also by name of
    torch's backends, K and V repeated before."""
    import unisparse

    result, dense = {}, policies[0]
    scale = model.scale
    for length in lengths:
        capture = Capture(dense, heads)
        model.hidden(tensor_of([text(length)], "cuda"), capture)

        def policy_calls(policy, attend):
            for q, k, v in capture.layers:
                attend(q, k, v, 0, scale)
                if policy.kind in ("dense", "unisparse"):
                    yield lambda: policy.attend(q, k, v, scale)
                else:
                    chosen = policy.select(q, k, scale)
                    yield lambda: unisparse.block_sparse_attention(q, k, v, *chosen, scale=scale)

        def backend_calls(name):
            attend = backend_of(name, scale)
            for q, k, v in capture.layers:
                every = [x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v)]
                yield lambda: attend(q, *every)

        def figures(name, calls, attend=None):
            try:
                layers, densities, before = [], [], (0, 0)
                for call in calls:
                    layers.append(round(queued(call), 4))
                    if attend and attend.candidates:
                        now = float(attend.selected), attend.candidates
                        densities.append(round((now[0] - before[0]) / (now[1] - before[1]), 4))
                        before = now
                figure = dict(ms=round(sum(layers), 4), density=round(attend.density(), 4) if attend else 1.0, layers=layers)
                figure.update(densities=densities) if densities else None
            except Exception as error:  # One line; the other figures are still wanted.
                figure = dict(failed=one_line(error))
            result.setdefault(name, {})[str(length)] = figure
            say(f"time {length:6} {name:32} {figure}")

        for policy in policies:
            attend = Attention(policy)
            figures(policy.name, policy_calls(policy, attend), attend)
        for name in ("cudnn", "flash"):
            figures(f"dense {name}", backend_calls(name))
    return result


def one_line(error):
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def judge(report):
    """Adds what is kept of dense's answers, and which policies of ours keep 99% at every length, the fastest first."""
    policies, names = report["policies"], [str(length) for length in report["lengths"]]
    dense = policies["dense"]["lengths"]
    for name, policy in policies.items():
        both = [n for n in names if n in policy["lengths"] and n in dense]
        for n in both:
            mine, base = policy["lengths"][n], dense[n]
            mine["kept"] = mine["accuracy"] / base["accuracy"] if base["accuracy"] else None
            cells = [(mine["cells"][c]["right"] / b["right"], c) for c, b in base["cells"].items() if b["right"]]
            mine["least_kept"] = min(cells) if cells else None
        kept = [policy["lengths"][n]["kept"] for n in both]
        policy["holds"] = len(both) == len(names) and all(x is not None and x >= KEEP for x in kept)

    def cost(name):
        measured = report.get("times", {}).get(name, {})
        if all("ms" in measured.get(n, {}) for n in names):
            return sum(measured[n]["ms"] for n in names)
        return sum(policies[name]["lengths"][n]["density"] for n in names)

    holding = [name for name, policy in policies.items() if policy["kind"] == "unisparse" and policy["holds"]]
    report["holding"] = sorted(holding, key=cost)
    return report


def table(report):
    """Lines of text."""
    lines = [f"{'policy':32} {'tokens':>7} {'density':>8} {'kept':>7} {'nll':>7} {'ms':>9}  cells"]
    for name, policy in report["policies"].items():
        for length, found in policy["lengths"].items():
            cells = "  ".join(f"{cell} {c['right']}/{c['questions']}" for cell, c in found["cells"].items())
            kept = "-" if found.get("kept") is None else f"{found['kept']:.3f}"
            nll = "-" if found["nll"] is None else f"{found['nll']:.4f}"
            ms = report.get("times", {}).get(name, {}).get(length, {}).get("ms", "-")
            lines.append(f"{name:32} {length:>7} {found['density']:8.4f} {kept:>7} {nll:>7} {ms:>9}  {cells}")
        lines += [f"{name:32} {what}: {policy[what]}" for what in ("failed", "refused") if what in policy]
    holding = report["holding"]
    lines.append(f"at least {KEEP:.0%} of dense's answers at every length, the cheapest first: {'; '.join(holding) or 'none'}")
    return lines


def small_inputs(model, device):
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    return [torch.zeros(1, heads, 256, model.head_dim, device=device, dtype=dtype) for heads in (model.heads, model.kv_heads, model.kv_heads)]


def run(model, asked, policies, limits, facts, write, say=print, refused=()):
    """The whole report; `write` is given it whenever there is more. `limits`: lengths, questions, texts, tokens (of one
    forward pass), deadline, time_lengths, time_heads, device. `refused`: {policy: why} of what was not compiled."""
    report = dict(**facts, lengths=limits.lengths, policies={}, skipped=[])
    for policy in policies:
        if time.monotonic() > limits.deadline:
            report["skipped"].append(policy.name)
            say(f"skipped, out of time: {policy.name}")
            continue
        entry = report["policies"][policy.name] = dict(kind=policy.kind, options=policy.options, lengths={})
        if policy.name in refused:
            entry["refused"] = refused[policy.name]
            say(f"refused by the compiler: {policy.name}: {entry['refused']}")
            continue
        try:
            # Loads the program, so that no figure has that in it.
            policy.attend(*small_inputs(model, limits.device), model.scale)
            for length in limits.lengths:
                found = entry["lengths"][str(length)] = at_length(model, asked, policy, length, limits, limits.device)
                cells = "  ".join(f"{cell} {c['right']}/{c['questions']}" for cell, c in found["cells"].items())
                say(f"{policy.name:32} {length:6}  density {found['density']:.4f}  nll {found['nll']}  {cells}  {found['seconds']} s")
        except Exception as error:
            if policy.kind == "dense":
                raise
            entry["failed"] = one_line(error)
            say(f"FAIL  {policy.name}: {entry['failed']}")
            if limits.device == "cuda":
                torch.cuda.synchronize()  # Raises where the device is lost to this process.
        write(judge(report))
    if limits.device == "cuda" and limits.time_lengths:
        measured = [p for p in policies if report["policies"].get(p.name, {}).get("lengths")]
        asked_first = lambda length: next(iter(asked.cells(length, 1).values()))[0]
        text = lambda length: asked_first(length) if length in asked.lengths else asked.plain(length)
        report["times"] = times(model, measured, text, limits.time_lengths, limits.time_heads, say)
        write(judge(report))
    return report
