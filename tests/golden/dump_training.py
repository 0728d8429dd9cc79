#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes training_golden.h: ten steps of two-task training in PyTorch, in double, for test_golden_training.c.

    python3 dump_training.py > training_golden.h

First weights come from a formula that the test repeats, so that only curves and last weights are stored. The lazy run uses
SparseAdam for the table; its epsilon is scaled by sqrt(1 - beta2^t) in each step, because it divides by sqrt(v) + epsilon
where Adam divides by sqrt(v) / sqrt(1 - beta2^t) + epsilon.
"""
import math

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

VOCABULARY, EMBEDDING, HIDDEN, STEPS = 12, 5, 6, 10
CLASSES = [2, 3]
WEIGHTS = [1.0, 0.5]
BATCHES = [
    {
        "rows": [[1, 4, 4, 7], [2], [9, 4, 3], [11, 1, 2, 0, 6, 7]],
        "labels": [[0, 1, -1, 1], [2, -1, 0, 1]],
    },
    {
        "rows": [[8, 8], [5, 1, 4, 2, 2], [3]],
        "labels": [[1, -1, -1], [-1, 0, 2]],
    },
]
RUNS = [
    {"name": "momentum", "kind": "sgd", "rate": 0.1, "momentum": 0.9, "decay": 0.01, "clip": 0.0},
    {"name": "nesterov", "kind": "sgd", "rate": 0.1, "momentum": 0.8, "decay": 0.01, "clip": 0.5, "nesterov": True},
    {"name": "adam", "kind": "adam", "rate": 0.01, "decay": 0.05, "clip": 0.0},
    {"name": "adamw", "kind": "adamw", "rate": 0.01, "decay": 0.1, "clip": 0.5},
    {"name": "lazy", "kind": "adam", "rate": 0.01, "decay": 0.0, "clip": 0.0, "lazy": True},
]
BETAS, EPSILON = (0.9, 0.999), 1e-3


class Model(torch.nn.Module):
    def __init__(self, sparse):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING, sparse=sparse)
        self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN)
        self.heads = torch.nn.ModuleList(torch.nn.Linear(HIDDEN, c) for c in CLASSES)
        index = 0
        for parameter in self.ordered():
            for i in range(parameter.numel()):
                parameter.data.view(-1)[i] = 0.4 * math.sin(1.0 + 0.7 * index)
                index += 1

    def ordered(self):
        lstm = self.lstm
        yield self.embedding.weight
        yield from (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0)
        for head in self.heads:
            yield head.weight
            yield head.bias

    def losses(self, batch):
        last = []
        for row in batch["rows"]:
            _, (h, _) = self.lstm(self.embedding(torch.tensor(row)).unsqueeze(1))
            last.append(h[0, 0])
        features = torch.stack(last)
        return [
            torch.nn.functional.cross_entropy(head(features), torch.tensor(labels), ignore_index=-1)
            for head, labels in zip(self.heads, batch["labels"])
        ]


def optimizers(run, model):
    parameters = list(model.ordered())
    if run["kind"] == "sgd":
        return [torch.optim.SGD(parameters, run["rate"], run["momentum"], weight_decay=run["decay"],
                                nesterov=run.get("nesterov", False))]
    kind = torch.optim.Adam if run["kind"] == "adam" else torch.optim.AdamW
    options = {"lr": run["rate"], "betas": BETAS, "eps": EPSILON}
    if run.get("lazy"):
        return [torch.optim.SparseAdam(parameters[:1], **options), kind(parameters[1:], **options)]
    return [kind(parameters, weight_decay=run["decay"], **options)]


def train(run):
    model = Model(run.get("lazy", False))
    rules = optimizers(run, model)
    curve = []
    for step in range(STEPS):
        losses = model.losses(BATCHES[step % len(BATCHES)])
        model.zero_grad(set_to_none=True)
        sum(w * l for w, l in zip(WEIGHTS, losses)).backward()
        if run["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), run["clip"])
        for rule in rules:
            if isinstance(rule, torch.optim.SparseAdam):
                rule.param_groups[0]["eps"] = EPSILON * math.sqrt(1 - BETAS[1] ** (step + 1))
            rule.step()
        curve += [loss.item() for loss in losses]
    return curve, torch.cat([p.detach().reshape(-1) for p in model.ordered()]).tolist()


def numbers(values, form):
    lines, line = [], "   "
    for value in values:
        text = " " + (form % value) + ","
        if len(line) + len(text) > 118:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join(lines + [line])


def array(kind, name, values, form):
    return f"static const {kind} {name}[] = {{\n{numbers(values, form)}\n}};\n"


def main():
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(f" * Written by dump_training.py with PyTorch {torch.__version__}: curves and last weights of two-task training,")
    print(" * computed in double. Do not edit. */")
    print("#ifndef TESTS_TRAINING_GOLDEN_H\n#define TESTS_TRAINING_GOLDEN_H\n")
    print("#include <stdint.h>\n\n/* clang-format off */")
    print("enum {")
    for name, value in [("VOCABULARY", VOCABULARY), ("EMBEDDING", EMBEDDING), ("HIDDEN", HIDDEN), ("STEPS", STEPS),
                        ("BATCHES", len(BATCHES)), ("RUNS", len(RUNS)),
                        ("VALUES", sum(p.numel() for p in Model(False).ordered()))]:
        print(f"    GOLDEN_{name} = {value},")
    print("};\n")
    for b, batch in enumerate(BATCHES):
        ends = [0]
        for row in batch["rows"]:
            ends.append(ends[-1] + len(row))
        print(array("int64_t", f"golden_offsets_{b}", ends, "%d"), end="")
        print(array("int32_t", f"golden_tokens_{b}", sum(batch["rows"], []), "%d"), end="")
        for t, labels in enumerate(batch["labels"]):
            print(array("int32_t", f"golden_labels_{b}_{t}", labels, "%d"), end="")
        print()
    for run in RUNS:
        curve, weights = train(run)
        print(array("double", f"golden_{run['name']}_losses", curve, "%.9g"), end="")
        print(array("double", f"golden_{run['name']}_weights", weights, "%.8g"))
    print("/* clang-format on */\n\n#endif")


main()
