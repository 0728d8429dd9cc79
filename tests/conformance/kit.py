# SPDX-License-Identifier: Apache-2.0
"""Reads the conformance kit: the format of README.md, and the generator of its matrices. No packages are needed."""
import os

MASK = (1 << 64) - 1


def draws(seed):
    """SplitMix64, and the number of bits that are set in each word, less 32: near normal, the same everywhere."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield bin(z ^ (z >> 31)).count("1") - 32


def generate(tasks, size, rank, offset, spread, seed):
    """Rows of numbers that double holds exactly."""
    number = draws(seed)
    if rank == 0:
        rows = [[next(number) + (offset if p == 0 else 0) for p in range(size)] for _ in range(tasks)]
    else:
        a = [[next(number) + (offset if k == 0 else 0) for k in range(rank)] for _ in range(tasks)]
        b = [[next(number) for _ in range(size)] for _ in range(rank)]
        rows = [[sum(a[i][k] * b[k][p] for k in range(rank)) for p in range(size)] for i in range(tasks)]
    if spread > 0:
        rows = [[x * 2.0 ** max(-spread, min(spread, e)) for x in row] for row, e in
                zip(rows, [spread // 8 * next(number) for _ in rows])]
    return [[float(x) for x in row] for row in rows]


def begin_case(name):
    return {"name": name, "set": {}, "scales": [1.0], "steps": [], "expect": [], "check": [], "refused": False,
            "form": None, "method": None, "gradients": None, "preference": None, "reference": None, "status": None}


WORDS = ("case", "method", "form", "gradients", "matrix", "random", "set", "check", "status")


def read_file(path, matrices, cases):
    case = None
    for line in open(path, encoding="ascii"):
        words = line.split("#")[0].split()
        if not words:
            continue
        key, *words = words
        numbers = [] if key in WORDS else [float(word) for word in words]
        if key == "conformance":
            if words != ["1"]:
                raise ValueError(f"{path}: version {words}")
        elif key == "matrix":
            rows = matrices[words[0]] = []
        elif key == "row":
            rows.append(numbers)
        elif key == "random":
            matrices[words[0]] = generate(*map(int, words[1:]))
        elif key == "case":
            case = begin_case(words[0])
            cases.append(case)
        elif key in ("method", "form", "gradients", "status"):
            case[key] = words[0]
        elif key == "set":
            case["set"][words[0]] = float(words[1])
        elif key in ("preference", "reference", "scales"):
            case[key] = numbers
        elif key in ("losses", "measure", "epoch"):
            case["steps"].append((key, numbers))
        elif key in ("weights", "any", "direction"):
            case["expect"].append((key, numbers[0], numbers[1:]))
        elif key == "check":
            case["check"].append((words[0], float(words[1])))
        elif key == "refused":
            case["refused"] = True
        elif key != "end":
            raise ValueError(f"{path}: {key}")


def read_kit(folder):
    matrices, cases = {}, []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".txt"):
            read_file(os.path.join(folder, name), matrices, cases)
    return matrices, cases
