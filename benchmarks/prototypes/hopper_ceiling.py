"""Checks and times hopper_ceiling.cu, a hand-written ceiling probe of block-sparse attention on Hopper (not compiler output).

    python3 hopper_ceiling.py --lib ./hopper_ceiling.so [--check] [--configs 8192:0.25,32768:dense] [--variants Base,QuerySmem] [--peers]

Figures are medians of CUDA-event times. Sparse TFLOP/s count 4*128*128*128 per selected block, the diagonal counted whole; dense ones
count the causal half. "cyc/blk" is SM cycles per selected block and SM (2048 is the tensor cores' floor), "GHz" the clock it ran at.
"""
import argparse
import ctypes
import math
import subprocess
import time

import torch

BLOCK, DIM, HEADS, KV_HEADS = 128, 128, 32, 8
REST = 0.7   # seconds of idling before a burst measurement: the card is power-limited, and a warm one clocks lower
EVICT = {"normal": 0x1000000000000000, "first": 0x12F0000000000000, "last": 0x14F0000000000000}


def block_lists(n, rho, heads, seed=0):
    """counts [H, R], ascending indices [H, R, J] int32: blocks 0 and the diagonal, the rest random up to ceil(rho * (i + 1)).

    "0.25g" is 0.25 with one selection per KV group. "dense" selects every causal block, "own" only the diagonal; "mixed" gives rows of
    very different lengths, some of one block and some without their diagonal."""
    rows = n // BLOCK
    g = torch.Generator().manual_seed(seed)
    if str(rho).endswith("g"):   # the heads of a KV group share one selection
        return tuple(x.repeat_interleave(heads // KV_HEADS, 0) for x in block_lists(n, float(rho[:-1]), KV_HEADS, seed))
    counts = torch.zeros(heads, rows, dtype=torch.int32)
    indices = torch.zeros(heads, rows, rows, dtype=torch.int32)
    for h in range(heads):
        for i in range(rows):
            if rho == "dense":
                s = torch.arange(i + 1)
            elif rho == "own":
                s = torch.tensor([i])
            elif rho == "mixed":
                keep = torch.rand(i + 1, generator=g) < torch.rand(1, generator=g)
                if not keep.any() or torch.rand(1, generator=g) < 0.8:   # some rows lack their diagonal
                    keep[i] = True
                s = keep.nonzero().flatten()
            else:
                c = max(min(i + 1, 2), math.ceil(rho * (i + 1)))
                extra = torch.randperm(max(i - 1, 0), generator=g)[:max(c - 2, 0)] + 1
                s = torch.unique(torch.cat([torch.tensor([0, i]), extra]))   # sorted
            counts[h, i] = len(s)
            indices[h, i, :len(s)] = s.int()
    return counts, indices


class Probe:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.hopper_ceiling_name.restype = ctypes.c_char_p
        self.names = [self.lib.hopper_ceiling_name(i).decode() for i in range(self.lib.hopper_ceiling_variants())]
        self.counter = torch.zeros(2, dtype=torch.int32, device="cuda")
        self.sms = torch.cuda.get_device_properties(0).multi_processor_count
        self.clocks = torch.zeros(self.sms, 18, dtype=torch.int64, device="cuda")

    def run(self, name, q, k, v, o, lse, counts, indices, section=1, kv_hint="normal", q_hint="normal", clocks=False):
        p = lambda t: ctypes.c_void_p(t.data_ptr())
        heads, n, _ = q.shape
        rc = self.lib.hopper_ceiling_run(
            self.names.index(name), p(q), p(k), p(v), p(o), p(lse), p(counts), p(indices), p(self.counter),
            p(self.clocks) if clocks else None, heads, k.shape[0], n, indices.shape[2], section, ctypes.c_float(DIM**-0.5),
            ctypes.c_ulonglong(EVICT[kv_hint]), ctypes.c_ulonglong(EVICT[q_hint]), self.sms,
            ctypes.c_void_p(torch.cuda.current_stream().cuda_stream))
        if rc:
            raise RuntimeError(f"{name}: error {rc}")


def inputs(n, seed=0):
    torch.manual_seed(seed)
    q = torch.randn(HEADS, n, DIM, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(KV_HEADS, n, DIM, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return q, k, v


def reference(q, k, v, counts, indices, exact):
    """o, lse in float64, or (exact = False) plainly with bf16 operands and float32 accumulation."""
    heads, n, _ = q.shape
    rows = n // BLOCK
    sel = torch.zeros(heads, rows, rows, dtype=torch.bool)
    for h in range(heads):
        for i in range(rows):
            sel[h, i, indices[h, i, :counts[h, i]].long()] = True
    mask = sel.cuda().repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2) & torch.ones(n, n, dtype=torch.bool, device="cuda").tril()
    t = torch.float64 if exact else torch.float32
    kk, vv = (x.to(t).repeat_interleave(heads // k.shape[0], 0) for x in (k, v))
    s = (q.to(t) @ kk.transpose(1, 2) * DIM**-0.5).masked_fill_(~mask, -math.inf)
    lse = torch.logsumexp(s, -1)
    if exact:
        return torch.exp(s - lse[..., None]) @ vv, lse
    m = s.amax(-1, keepdim=True)
    w = torch.exp(s - m)
    return ((w.bfloat16().float() @ vv) / w.sum(-1, keepdim=True)).bfloat16(), lse


def check(probe, variants):
    torch.backends.cuda.matmul.allow_tf32 = False
    ok = True
    for n, rho, seed, section, gain in ((1024, 0.3, 1, 1, 1.0), (2048, "mixed", 2, 8, 1.0), (1024, "mixed", 3, 2, 8.0), (2048, "dense", 4, 1, 1.0),
                                        (512, "own", 5, 4, 1.0), (128, "dense", 6, 1, 1.0), (2048, "mixed", 7, 1, 100.0),
                                        (2048, "dense", 8, 1, 400.0), (2048, "0.25g", 9, 1, 1.0)):
        q, k, v = inputs(n, seed)
        q = q * gain   # a large gain makes the row maximum move late and often
        counts, indices = block_lists(n, rho, HEADS, seed)
        ref, ref_lse = reference(q, k, v, counts, indices, True)
        plain, _ = reference(q, k, v, counts, indices, False)
        bound = 2 * (plain.double() - ref).abs().max().item() + 2.0**-8 * ref.abs().max().item()
        cd, xd = counts.cuda(), indices.cuda()
        for name in variants:
            if "Multicast" in name and not torch.equal(indices[0::4], indices[3::4]):
                continue
            outs = []
            for _ in range(3):
                o, lse = torch.full_like(q, float("nan")), torch.full(q.shape[:2], float("nan"), device="cuda")
                probe.run(name, q, k, v, o, lse, cd, xd, section)
                torch.cuda.synchronize()
                outs.append((o, lse))
            o, lse = outs[0]
            err = (o.double() - ref).abs().max().item()
            rel = ((o.double() - ref).norm() / ref.norm()).item()
            lse_err = (lse.double() - ref_lse).abs().max().item()
            same = all(torch.equal(o, x) and torch.equal(lse, y) for x, y in outs[1:])
            good = err <= bound and lse_err < 1e-3 and same and rel < 1e-2
            ok &= good
            print(f"check {'ok  ' if good else 'FAIL'} n={n} rho={rho} x{gain:g} {name}: max {err:.2e} (bound {bound:.2e}) rel {rel:.2e} "
                  f"lse {lse_err:.1e} deterministic {same}", flush=True)
    return ok


def median_ms(f, reps, mode="rested", sustain=1.5):
    """Median of reps after three warm-up calls: "rested" starts on an idle card; "queued" too, but holds the GPU until the call is
    enqueued, which leaves the host's launch time out; "loaded" follows `sustain` seconds of the same call."""
    torch.cuda.synchronize()
    if mode != "loaded":
        time.sleep(REST)
    start, calls = time.time(), 0
    while calls < 3 or (mode == "loaded" and time.time() - start < sustain):
        f()
        calls += 1
        if mode == "loaded":
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    ts = []
    for _ in range(reps):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        if mode == "queued":
            torch.cuda._sleep(400_000)
        a.record()
        f()
        b.record()
        torch.cuda.synchronize()
        ts.append(a.elapsed_time(b))
    return sorted(ts)[len(ts) // 2]


def flex_call(q, k, v, counts, indices):
    """FlexAttention on the same selection (diagonal last in every row)."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention
    h, r, _ = indices.shape
    n = q.shape[1]
    pi = torch.zeros(1, h, r, r, dtype=torch.int32, device="cuda")
    pi[..., 0] = torch.arange(r, dtype=torch.int32)
    mask = BlockMask.from_kv_blocks(torch.ones(1, h, r, dtype=torch.int32, device="cuda"), pi, (counts - 1)[None].contiguous(),
                                    indices[None].contiguous(), BLOCK_SIZE=BLOCK, mask_mod=lambda b, hh, i, j: i >= j, seq_lengths=(n, n))
    flex = torch.compile(flex_attention, dynamic=False)
    return lambda: flex(q[None], k[None], v[None], block_mask=mask, enable_gqa=True)[0]


def cudnn_call(q, k, v):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    kk, vv = (x.repeat_interleave(HEADS // KV_HEADS, 0)[None] for x in (k, v))

    def call():
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            return torch.nn.functional.scaled_dot_product_attention(q[None], kk, vv, is_causal=True)[0]
    return call


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--lib", required=True)
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--peers", action="store_true")
    ap.add_argument("--configs", default="8192:0.25,32768:0.1,32768:0.25,131072:0.1,131072:0.25,32768:dense")
    ap.add_argument("--variants", default="all", help="NAME[:section[:kv hint[:q hint]]], comma-separated")
    ap.add_argument("--modes", default="rested", help="rested, queued, loaded: see median_ms")
    ap.add_argument("--gain", type=float, default=1.0, help="factor on q: a large one makes scores outrun their reference")
    ap.add_argument("--reps", type=int, default=12)
    a = ap.parse_args()
    probe = Probe(a.lib)
    names = probe.names if a.variants == "all" else a.variants.split(",")
    if a.check and not check(probe, sorted({x.split(":")[0] for x in names if not x.startswith("No")})):
        raise SystemExit("check failed")
    query = ["nvidia-smi", "--query-gpu=driver_version,power.limit", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    print(torch.cuda.get_device_name(), "driver, power limit:", driver, "torch", torch.__version__, "CUDA", torch.version.cuda, flush=True)
    for config in filter(None, a.configs.split(",")):
        n, rho = config.split(":")
        n, rho = int(n), float(rho) if rho.replace(".", "").isdigit() else rho
        q, k, v = inputs(n)
        q = q * a.gain
        counts, indices = block_lists(n, rho, HEADS)
        blocks = int(counts.sum())
        flop = 2.0 * n * n * DIM * HEADS if rho == "dense" else 4.0 * BLOCK * BLOCK * DIM * blocks
        counts, indices = counts.cuda(), indices.cuda()
        o, lse = torch.empty_like(q), torch.empty(q.shape[:2], device="cuda")
        peer_out = None

        def show(label, call, clocks=False):
            for mode in a.modes.split(","):
                ms = median_ms(call, a.reps, mode)
                line = f"{config:13s} {label:26s} {mode:7s} {ms:8.4f} ms {flop / ms / 1e9:6.1f} TFLOP/s"
                if clocks:
                    call(True)
                    torch.cuda.synchronize()
                    cycles, ns = probe.clocks[:, 0].double(), probe.clocks[:, 1].double()
                    line += (f" {cycles.mean() * probe.sms / blocks:6.0f} cyc/blk {cycles.sum() / ns.sum():5.3f} GHz, "
                             f"longest CTA {cycles.max() / cycles.mean():.3f}")
                print(line, flush=True)

        if a.peers:
            peer = cudnn_call(q, k, v) if rho == "dense" else flex_call(q, k, v, counts, indices)
            peer_out = peer()
            show("cuDNN dense" if rho == "dense" else "FlexAttention", peer)
        for spec in names:
            if "Multicast" in spec and not (rho == "dense" or str(rho).endswith("g")):
                continue
            name, section, kv_hint, q_hint = (spec.split(":") + ["1", "normal", "normal"][len(spec.split(":")) - 1:])[:4]
            show(spec, lambda clocks=False: probe.run(name, q, k, v, o, lse, counts, indices, int(section), kv_hint, q_hint, clocks), True)
            if "Timeline" in name:
                stats = probe.clocks.double().mean(0).tolist()
                for g in range(2):
                    print("   cycles per block:", *(f"{w} {x * probe.sms / blocks:.0f}" for w, x in zip(
                        ("tiles", "turn", "issueS", "issuePV", "waitS", "boundary", "waitPV", "exponentials"), stats[2 + 8 * g:10 + 8 * g])))
            if peer_out is not None and not name.startswith("No"):
                print(f"   largest difference from the peer {(o.float() - peer_out.float()).abs().max().item():.1e}")
        del q, k, v, o, lse, counts, indices


if __name__ == "__main__":
    main()
