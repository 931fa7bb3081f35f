# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Spells dense attention in linalg, one op a step, in the ways that front ends differ in."""
import dataclasses
import re

# Loops by letter: batch, KV head, group, query, key, head_dim, value dim.
LETTERS = "bhgijde"


@dataclasses.dataclass
class Spelling:
    name: str
    b: int = 1
    hkv: int = 2
    g: int = 2
    lq: int = 24
    lk: int = 24
    d: int = 64
    dv: int = 64
    q: str = "bhgid"  # The order of q's dimensions, and so on.
    k: str = "bhjd"
    v: str = "bhje"
    o: str = "bhgie"
    element: str = "f32"
    swap: bool = False  # k before q, v before the probabilities
    scale: str = "logits"  # logits, divide, q, both, none
    mask: str = "none"  # none, add, select, offset, low, hide-first, data, weak
    between: str = ""  # an op between softmax and the last product
    leak: bool = False  # probabilities are returned too
    prepare: str = ""  # an op before the first product that is no copy
    around: str = ""  # for: twice, on its own output; if: under a branch; again: two layers, one after the other

    def size(self, letter):
        return dict(zip(LETTERS, (self.b, self.hkv, self.g, self.lq, self.lk, self.d, self.dv)))[letter]

    def type(self, letters, element=None):
        return "tensor<" + "".join(f"{self.size(c)}x" for c in letters) + (element or self.element) + ">"


def affine(loops, letters):
    return f"affine_map<({', '.join(loops)}) -> ({', '.join(letters)})>"


def generic(s, result, loops, ins, out, body, reduced=""):
    """One linalg.generic; `ins` are (value, letters, element), `out` is (letters, element, start)."""
    letters, element, start = out
    kinds = ", ".join('"reduction"' if c in reduced else '"parallel"' for c in loops)
    maps = ", ".join(affine(loops, l) for _, l, _ in ins) + (", " if ins else "") + affine(loops, letters)
    args = ", ".join([f"%x{n}: {e}" for n, (_, _, e) in enumerate(ins)] + [f"%acc: {element}"])
    operands = f"ins({', '.join(v for v, _, _ in ins)} : {', '.join(s.type(l, e) for _, l, e in ins)}) " if ins else ""
    t = s.type(letters, element)
    init = f"{result}_init = tensor.empty() : {t}\n"
    if start is not None:
        init += (f"    {result}_start = arith.constant {start} : {element}\n"
                 f"    {result}_out = linalg.fill ins({result}_start : {element}) outs({result}_init : {t}) -> {t}\n")
    else:
        init += f"    {result}_out = tensor.cast {result}_init : {t} to {t}\n"
    return (f"    {init}    {result} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}}\n"
            f"      {operands}outs({result}_out : {t}) {{\n    ^bb0({args}):\n      {body}\n    }} -> {t}\n")


def contract(s, result, loops, a, b, out, reduced):
    e = out[1]
    body = []
    names = []
    for n, (_, _, given) in enumerate((a, b)):
        if given != e:
            body.append(f"%c{n} = arith.extf %x{n} : {given} to {e}")
        names.append(f"%c{n}" if given != e else f"%x{n}")
    body += [f"%m = arith.mulf {names[0]}, {names[1]} : {e}", f"%s = arith.addf %acc, %m : {e}", f"linalg.yield %s : {e}"]
    return generic(s, result, loops, [a, b], (out[0], e, "0.0"), "\n      ".join(body), reduced)


# How the key's position compares with the query's.
MASKS = {"add": "sle", "select": "sle", "low": "sle", "weak": "sle", "offset": "sle", "hide-first": "sgt", "strict": "slt"}


def function(s):
    """The function as text; arguments are q, k, v (and a mask of data)."""
    c = s.d ** -0.5
    lines, e = [], s.element
    x = "bhgij"
    q, k = ("%q", s.q, e), ("%k", s.k, e)
    if s.scale in ("q", "both"):
        f = c if s.scale == "q" else c ** 0.5
        for name in ("q",) if s.scale == "q" else ("q", "k"):
            letters = s.q if name == "q" else s.k
            lines.append(generic(s, f"%{name}s", letters, [(f"%{name}", letters, e)], (letters, e, None),
                                 f"%f = arith.constant {f:.9f} : {e}\n      %y = arith.mulf %x0, %f : {e}\n      linalg.yield %y : {e}"))
        q = ("%qs", s.q, e)
        k = ("%ks", s.k, e) if s.scale == "both" else k
    if s.prepare:
        lines.append(generic(s, "%qp", s.q, [("%q", s.q, e)], (s.q, e, None), f"%y = {s.prepare} %x0 : {e}\n      linalg.yield %y : {e}"))
        q = ("%qp", s.q, e)
    lines.append(contract(s, "%P", "bhgijd", *((k, q) if s.swap else (q, k)), (x, "f32"), "d"))
    body, value = [], "%x0"
    ins = [("%P", x, "f32")]
    if s.scale in ("logits", "divide"):
        number, op = (c, "mulf") if s.scale == "logits" else (1 / c, "divf")
        body += [f"%f = arith.constant {number:.9f} : f32", f"%sc = arith.{op} {value}, %f : f32"]
        value = "%sc"
    if s.mask == "shared":
        # A tensor of its own, the same for every layer.
        lines.insert(0, generic(s, "%mask", "ij", [], ("ij", "f32", None),
                                "%i = linalg.index 0 : index\n      %j = linalg.index 1 : index\n      %se = arith.cmpi sle, %j, %i : index\n"
                                "      %ze = arith.constant 0.0 : f32\n      %hi = arith.constant 0xFF800000 : f32\n"
                                "      %w = arith.select %se, %ze, %hi : f32\n      linalg.yield %w : f32"))
    if s.mask in ("data", "shared"):
        ins.append(("%mask", "ij", "f32"))
        body.append(f"%ma = arith.addf {value}, %x1 : f32")
        value = "%ma"
    elif s.mask != "none":
        hidden = {"low": "-3.0e38", "weak": "-100.0"}.get(s.mask, "0xFF800000")
        offset = s.lk - s.lq if s.mask == "offset" else 0
        body += ["%i = linalg.index 3 : index", "%j = linalg.index 4 : index", f"%of = arith.constant {offset} : index",
                 "%io = arith.addi %i, %of : index", f"%se = arith.cmpi {MASKS[s.mask]}, %j, %io : index",
                 f"%hi = arith.constant {hidden} : f32", "%ze = arith.constant 0.0 : f32"]
        if s.mask == "add":
            body += ["%w = arith.select %se, %ze, %hi : f32", f"%ma = arith.addf {value}, %w : f32"]
        elif s.mask == "hide-first":
            body += [f"%ma = arith.select %se, %hi, {value} : f32"]
        else:
            body += [f"%ma = arith.select %se, {value}, %hi : f32"]
        value = "%ma"
    body.append(f"linalg.yield {value} : f32")
    lines.append(generic(s, "%L", x, ins, (x, "f32", None), "\n      ".join(body)))
    row = "bhgi"
    lines.append(generic(s, "%M", x, [("%L", x, "f32")], (row, "f32", "0xFF800000"),
                         "%y = arith.maximumf %x0, %acc : f32\n      linalg.yield %y : f32", "j"))
    lines.append(generic(s, "%E", x, [("%L", x, "f32"), ("%M", row, "f32")], (x, "f32", None),
                         "%y = arith.subf %x0, %x1 : f32\n      %z = math.exp %y : f32\n      linalg.yield %z : f32"))
    lines.append(generic(s, "%S", x, [("%E", x, "f32")], (row, "f32", "0.0"),
                         "%y = arith.addf %x0, %acc : f32\n      linalg.yield %y : f32", "j"))
    div = "%y = arith.divf %x0, %x1 : f32\n      "
    last = "%y"
    if s.between:
        div += f"%z = {s.between} : f32\n      "
        last = "%z"
    if e != "f32":
        div += f"%t = arith.truncf {last} : f32 to {e}\n      "
        last = "%t"
    lines.append(generic(s, "%W", x, [("%E", x, "f32"), ("%S", row, "f32")], (x, e, None), div + f"linalg.yield {last} : {e}"))
    w, v = ("%W", x, e), ("%v", s.v, e)
    lines.append(contract(s, "%O", "bhgiej", *((v, w) if s.swap else (w, v)), (s.o, "f32"), "j"))
    result = "%O"
    if e != "f32":
        lines.append(generic(s, "%N", s.o, [("%O", s.o, "f32")], (s.o, e, None), f"%y = arith.truncf %x0 : f32 to {e}\n      linalg.yield %y : {e}"))
        result = "%N"
    body, t = "".join(lines), s.type(s.o)
    if s.around == "for":
        body = ("    %c0 = arith.constant 0 : index\n    %c1 = arith.constant 1 : index\n    %c2 = arith.constant 2 : index\n"
                f"    %R = scf.for %n = %c0 to %c2 step %c1 iter_args(%again = %q) -> {t} {{\n"
                + body.replace("%q :", "%again :").replace("%q,", "%again,") + f"    scf.yield {result} : {t}\n    }}\n")
        result = "%R"
    elif s.around == "again":
        shared = lines[0] if s.mask == "shared" else ""
        second = re.sub(r"%([A-Z])", r"%\1second", body[len(shared):]).replace("%q :", f"{result} :").replace("%q,", f"{result},")
        body += second
        result += "second"
    elif s.around == "if":
        zeros = ", ".join(["%c0"] * len(s.q))
        body = (f"    %c0 = arith.constant 0 : index\n    %first = tensor.extract %q[{zeros}] : {s.type(s.q)}\n    %ten = arith.constant 10.0 : {e}\n"
                f"    %small = arith.cmpf olt, %first, %ten : {e}\n    %R = scf.if %small -> {t} {{\n{body}    scf.yield {result} : {t}\n    }} else {{\n"
                f"    scf.yield %q : {t}\n    }}\n")
        result = "%R"
    args = [f"%q: {s.type(s.q)}", f"%k: {s.type(s.k)}", f"%v: {s.type(s.v)}"]
    if s.mask == "data":
        args.append(f"%mask: {s.type('ij', 'f32')}")
    results, types = [result], [s.type(s.o)]
    if s.leak:
        results.append("%W")
        types.append(s.type(x))
    return (f"  func.func @{s.name}({', '.join(args)}) -> ({', '.join(types)}) {{\n{body}"
            f"    return {', '.join(results)} : {', '.join(types)}\n  }}\n")
