#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a causal language model finds in long texts, with the attention of Transformers and with ours: numbers are hidden in
a text and asked for at its end. Needs torch, Transformers and tokenizers.

    benchmarks/retrieval.py MODEL [--text FILE] [--lengths 2048,4096] [--samples 4] [--p 0.9] [--json FILE]

MODEL is a folder as save_pretrained writes it; or one with lm-*.npz, a model like Llama with QK-norm whose weights have the
names and the int8 rows that `from_arrays` reads, and tokenizer.json. FILE is the text, or its tokens in .npy (else
MODEL/heldout.npy). On CUDA the model runs in bfloat16, on the CPU in float32.
"""

import argparse
import json
import pathlib
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
for place in ("benchmarks/language", "python"):
    sys.path.insert(0, str(ROOT / place))

import numpy as np
import torch
import transformers
from questions import CODE, WORDS
from tokenizers import Tokenizer

def from_arrays(folder):
    """Weights by name as `blocks.N.wq.weight`, rows of int8 with their factors beside as `NAME|s`."""
    weights = {}
    for path in sorted(folder.glob("lm-*.npz")):
        arrays = np.load(path)
        for name in arrays.files:
            if not name.endswith("|s"):
                x = torch.from_numpy(arrays[name]).float()
                weights[name] = x * torch.from_numpy(arrays[name + "|s"]).float()[:, None] if name + "|s" in arrays.files else x
    vocabulary, width = weights["emb.weight"].shape
    head_dim, layers = weights["blocks.0.qg"].shape[0], 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks"))
    config = transformers.Qwen3Config(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=weights["blocks.0.w1.weight"].shape[0], num_hidden_layers=layers,
        num_attention_heads=weights["blocks.0.wq.weight"].shape[0] // head_dim, head_dim=head_dim,
        num_key_value_heads=weights["blocks.0.wk.weight"].shape[0] // head_dim, max_position_embeddings=1 << 17, tie_word_embeddings=True,
        rms_norm_eps=torch.finfo(torch.float32).eps, rope_parameters=dict(rope_type="default", rope_theta=500000.0),
    )  # fmt: skip
    named = {"model.embed_tokens.weight": weights["emb.weight"], "lm_head.weight": weights["emb.weight"], "model.norm.weight": weights["og"]}
    parts = dict(wq="q_proj", wk="k_proj", wv="v_proj", wo="o_proj")
    for n in range(layers):
        ours, theirs = f"blocks.{n}.", f"model.layers.{n}."
        named.update({f"{theirs}self_attn.{new}.weight": weights[f"{ours}{old}.weight"] for old, new in parts.items()})
        named.update({f"{theirs}mlp.{new}.weight": weights[f"{ours}{old}.weight"] for old, new in dict(w1="gate_proj", w3="up_proj", w2="down_proj").items()})
        named.update({f"{theirs}self_attn.q_norm.weight": weights[ours + "qg"], f"{theirs}self_attn.k_norm.weight": weights[ours + "kg"]})
        named.update({f"{theirs}{norm}.weight": torch.ones(width) for norm in ("input_layernorm", "post_attention_layernorm")})
    model = transformers.Qwen3ForCausalLM(config)
    model.load_state_dict(named)
    return model


def load(folder, device, dtype):
    made = from_arrays(folder) if not (folder / "config.json").exists() else transformers.AutoModelForCausalLM.from_pretrained(folder)
    return made.to(device, dtype).eval()


def sample(rng, encode, text, length, task, hidden=12, asked=4):
    """-> tokens, and the places of the answers [asked, tokens of one]."""
    keys = {}  # In the order they are drawn.
    while len(keys) < hidden:
        keys[tuple(rng.choice(WORDS, 2))] = "".join(map(str, rng.integers(0, 10, 6)))
    say, ask, answer = CODE[task]
    words = [dict(a=a, b=b, number=number) for (a, b), number in keys.items()]
    needles = [encode(say.format(**some)) for some in words]
    chosen = [words[n] for n in rng.permutation(hidden)[:asked]]
    questions = [(encode(ask.format(**some)), encode(answer.format(**some))) for some in chosen]
    room = length - sum(map(len, needles)) - sum(len(q) + len(a) for q, a in questions)
    if room < hidden:
        raise SystemExit(f"lengths: expected room for {hidden} needles and {asked} questions, got {length} tokens")
    begin = int(rng.integers(0, max(len(text) - room, 1)))
    places = np.sort(rng.integers(0, room, hidden))
    pieces = np.split(text[begin : begin + room], places)
    tokens = [x for piece, needle in zip(pieces, [*needles, []]) for x in (*piece, *needle)]
    answers = []
    for question, reply in questions:
        tokens += [*question, *reply]
        answers.append(range(len(tokens) - len(reply), len(tokens)))
    return torch.tensor(np.array(tokens, np.int64)), answers


@torch.no_grad()
def found(model, tokens, answers, device):
    """How many answers every token of which is the likeliest."""
    hidden = model.model(input_ids=tokens[None].to(device), use_cache=False).last_hidden_state[0]
    good = 0
    for places in answers:
        at = torch.tensor(places, device=device)
        good += int((model.lm_head(hidden[at - 1]).argmax(-1).cpu() == tokens[at.cpu()]).all())
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--lengths", default="2048,4096")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--p", type=float, default=0.9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    from unisparse.integrations.transformers import register, report

    register(p=arguments.p, min_length=0)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    path = arguments.text or arguments.model / "heldout.npy"
    text = np.load(path) if path.suffix == ".npy" else np.array(encode(path.read_text(errors="replace")))
    model = load(arguments.model, arguments.device, torch.float32 if arguments.device == "cpu" else torch.bfloat16)
    results = []
    for length in map(int, arguments.lengths.split(",")):
        for task in CODE:
            rng = np.random.default_rng(length)
            cases = [sample(rng, encode, text, length, task) for _ in range(arguments.samples)]
            row = dict(tokens=length, task=task, questions=sum(len(answers) for _, answers in cases))
            for attention in ("sdpa", "unisparse"):
                model.set_attn_implementation(attention)
                start = time.monotonic()
                row[attention] = sum(found(model, *case, arguments.device) for case in cases) / row["questions"]
                row[attention + " s"] = round(time.monotonic() - start, 1)
            results.append(row)
            print(row, flush=True)
    print(report())
    if arguments.json:
        report_of = dict(model=str(arguments.model), device=arguments.device, p=arguments.p, results=results, calls=str(report()))
        arguments.json.write_text(json.dumps(report_of, indent=1) + "\n")


if __name__ == "__main__":
    main()
