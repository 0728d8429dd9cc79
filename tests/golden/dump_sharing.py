#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes sharing_golden.h: penalties of soft sharing in PyTorch, in double, for test_golden_sharing.c.

    python3 dump_sharing.py > sharing_golden.h

Values and gradients come from the formulas as they are written, with torch.linalg.matrix_norm, svdvals and autograd. The
clustered penalty is a function of the singular values; its inner minimum is found by bisection, and has no part in the
gradient (envelope theorem). Weights come from a formula that the test repeats, rounded to float as the library's are.
"""
import itertools
import math

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

TASKS = 3
MATRIX, CUBE, VECTOR = (4, 5), (3, 2, 4), (7,)
GRAPH = [[0.0, 0.5, 2.0], [1.0, 0.0, 0.0], [0.25, 3.0, 0.0]]
COEFFICIENT = 0.75


def weights(shape, task):
    n = math.prod(shape)
    values = [0.6 * math.sin(1.0 + 0.9 * k + 2.3 * task + 0.31 * k * k + 0.17 * task * k) for k in range(n)]
    return torch.tensor(values).float().double().reshape(shape).requires_grad_()


def matrix(w):
    return w.reshape(-1, 1) if w.dim() == 1 else w.reshape(w.shape[0], -1)


def pairs(graph):
    return [(i, j, graph[i][j] if graph else 1.0) for i in range(TASKS) for j in range(TASKS) if i != j]


def pairwise(ws, case):
    return sum(a * (ws[i] - ws[j]).square().sum() for i, j, a in pairs(case.get("graph")))


def to_mean(ws, _):
    return sum((w - sum(ws) / TASKS).square().sum() for w in ws)


def ridge(ws, _):
    return sum(w.square().sum() for w in ws)


def nuclear(m):
    return torch.linalg.matrix_norm(m, "nuc")


def differences(ws, case):
    return sum(a * nuclear(matrix(ws[i] - ws[j])) for i, j, a in pairs(case.get("graph")))


def tasks_matrix(ws):
    return torch.stack([w.reshape(-1) for w in ws], 1)


def unfoldings(ws, case):
    tensor = torch.stack(ws, -1)
    if case["unfolding"] == "TASKS":
        return [tasks_matrix(ws)]
    if case["unfolding"] == "TUCKER":
        return [tensor.movedim(k, 0).reshape(tensor.shape[k], -1) for k in range(tensor.dim())]
    return [tensor.reshape(math.prod(tensor.shape[:k]), -1) for k in range(1, tensor.dim())]


def trace_norm(ws, case):
    return sum(nuclear(m) for m in unfoldings(ws, case))


def absolute(ws, _):
    return sum(w.abs().sum() for w in ws)


def groups(ws, case):
    stack = torch.stack([matrix(w) for w in ws])
    if case["group"] == "COORDINATE":
        return stack.reshape(TASKS, -1).T
    if case["group"] == "ROW":
        return stack.transpose(0, 1).reshape(stack.shape[1], -1)
    if case["group"] == "COLUMN":
        return stack.permute(2, 0, 1).reshape(stack.shape[2], -1)
    return stack.reshape(TASKS, -1)


def euclidean(ws, case):
    return groups(ws, case).norm(dim=1).sum()


def largest(ws, case):
    return groups(ws, case).abs().amax(1).sum()


def clustered(ws, case):
    eta, k = case["clustering"], case["clusters"]
    sigma = torch.linalg.svdvals(tasks_matrix(ws))
    s = sigma.detach()
    low, high = 1e-12, 1e12
    for _ in range(300):
        nu = math.sqrt(low * high)
        low, high = (nu, high) if (s / nu - eta).clamp(0, 1).sum() > k else (low, nu)
    m = (s / nu - eta).clamp(0, 1)
    return eta * (1 + eta) * (sigma.square() / (eta + m)).sum()


CASES = [
    {"name": "pairwise", "kind": "L2", "omega": pairwise},
    {"name": "pairwise_graph", "kind": "L2", "omega": pairwise, "graph": GRAPH},
    {"name": "mean", "kind": "L2", "form": "MEAN", "omega": to_mean},
    {"name": "ridge", "kind": "L2", "form": "RIDGE", "omega": ridge},
    {"name": "differences", "kind": "TRACE_NORM_DIFFERENCES", "omega": differences},
    {"name": "differences_graph", "kind": "TRACE_NORM_DIFFERENCES", "omega": differences, "graph": GRAPH},
    {"name": "differences_cube", "kind": "TRACE_NORM_DIFFERENCES", "omega": differences, "shape": CUBE},
    {"name": "differences_vector", "kind": "TRACE_NORM_DIFFERENCES", "omega": differences, "shape": VECTOR},
    {"name": "l1", "kind": "L1", "omega": absolute},
]
for unfolding, shape in itertools.product(["TASKS", "TUCKER", "TENSOR_TRAIN"], [MATRIX, CUBE, VECTOR]):
    CASES.append({"name": f"{unfolding.lower()}_{len(shape)}", "kind": "TRACE_NORM", "unfolding": unfolding,
                  "omega": trace_norm, "shape": shape})
for kind, omega in [("L21", euclidean), ("LINF1", largest)]:
    for group in ["COORDINATE", "ROW", "COLUMN", "TASK"]:
        CASES.append({"name": f"{kind.lower()}_{group.lower()}", "kind": kind, "group": group, "omega": omega})
for clusters, clustering in [(1, 0.7), (2, 0.3)]:
    CASES.append({"name": f"clustered_{clusters}", "kind": "CLUSTERED", "clusters": clusters,
                  "clustering": clustering, "omega": clustered})


def largest_inverse(ws, case):
    """How much of a relative error of the weights can reach the gradient: the largest value over the smallest of what
    the kind divides by."""
    if case["omega"] is trace_norm:
        sigmas = [torch.linalg.svdvals(m) for m in unfoldings(ws, case)]
    elif case["omega"] is differences:
        sigmas = [torch.linalg.svdvals(matrix(ws[i] - ws[j])) for i, j, _ in pairs(None)]
    elif case["omega"] is clustered:
        sigmas = [torch.linalg.svdvals(tasks_matrix(ws))]
    elif case["omega"] is euclidean:
        return (max(w.abs().max() for w in ws) / groups(ws, case).norm(dim=1).min()).item()
    else:
        return 1.0
    return max((s[0] / s[-1]).item() for s in sigmas)


def evaluate(case):
    ws = [weights(case.get("shape", MATRIX), t) for t in range(TASKS)]
    value = COEFFICIENT * case["omega"](ws, case)
    value.backward()
    return value.item(), torch.cat([w.grad.reshape(-1) for w in ws]).tolist(), largest_inverse(ws, case)


# ---- two linear networks ----

FEATURES, OUTPUTS, ROWS, STEPS, RATE = 4, 3, 9, 10, 0.1
RUNS = [
    {"name": "l2", "term": lambda ws: 0.05 * pairwise2(ws)},
    {"name": "nuclear", "term": lambda ws: 0.1 * nuclear(tasks_matrix(ws))},
    {"name": "threshold", "proximal": 0.4},
]


def pairwise2(ws):
    return 2 * (ws[0] - ws[1]).square().sum()


def threshold(ws, tau):
    u, s, v = torch.linalg.svd(tasks_matrix([w.data for w in ws]), full_matrices=False)
    for w, column in zip(ws, (u @ torch.diag((s - tau).clamp(min=0)) @ v).T):
        w.data.copy_(column.reshape(w.shape))


def data():
    x = torch.tensor([[math.sin(1.0 + 1.7 * i + 2.9 * j) for j in range(FEATURES)] for i in range(ROWS)])
    ys = [torch.tensor([[math.cos(0.3 + 0.8 * i + 1.9 * c + t) for c in range(OUTPUTS)] for i in range(ROWS)])
          for t in range(2)]
    return x.float().double(), [y.float().double() for y in ys]


def train(run):
    x, ys = data()
    ws = [weights((OUTPUTS, FEATURES), t) for t in range(2)]
    bs = [torch.zeros(OUTPUTS, requires_grad=True) for _ in range(2)]
    curve = []
    for _ in range(STEPS):
        losses = [torch.nn.functional.mse_loss(x @ w.T + b, y) for w, b, y in zip(ws, bs, ys)]
        penalty = run["term"](ws) if "term" in run else torch.zeros(())
        gradients = torch.autograd.grad(sum(losses) + penalty, ws + bs)
        for parameter, gradient in zip(ws + bs, gradients):
            parameter.data -= RATE * gradient
        if "proximal" in run:
            threshold(ws, RATE * run["proximal"])
        curve += [loss.item() for loss in losses] + [(sum(losses) + penalty).item()]
    return curve, torch.cat([p.detach().reshape(-1) for p in ws + bs]).tolist()


def numbers(values, form):
    lines, line = [], "   "
    for value in values:
        text = " " + (form % value) + ","
        if len(line) + len(text) > 118:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join(lines + [line])


def array(name, values):
    return f"static const double {name}[] = {{\n{numbers(values, '%.9g')}\n}};\n"


def row(case, value, amplification):
    shape = case.get("shape", MATRIX)
    dims = ", ".join(str(d) for d in shape)
    return (f"    {{\"{case['name']}\", MTL_PENALTY_{case['kind']}, MTL_L2_{case.get('form', 'PAIRWISE')}, "
            f"MTL_UNFOLDING_{case.get('unfolding', 'TASKS')},\n"
            f"     MTL_GROUP_{case.get('group', 'COORDINATE')}, {case.get('clusters', 1)}, "
            f"{case.get('clustering', 1.0)}, {'golden_graph' if 'graph' in case else 'NULL'}, "
            f"{len(shape)}, {{{dims}}}, {value:.9g}, {amplification:.3g}, golden_{case['name']}}},")


def main():
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(f" * Written by dump_sharing.py with PyTorch {torch.__version__}: values and gradients of penalties, and training")
    print(" * with them, computed in double. Do not edit. */")
    print("#ifndef TESTS_SHARING_GOLDEN_H\n#define TESTS_SHARING_GOLDEN_H\n")
    print("#include <mtl/mtl.h>\n\n/* clang-format off */")
    print("enum {")
    for name, value in [("TASKS", TASKS), ("FEATURES", FEATURES), ("OUTPUTS", OUTPUTS), ("ROWS", ROWS),
                        ("STEPS", STEPS)]:
        print(f"    GOLDEN_{name} = {value},")
    print("};\n")
    print(f"static const double golden_coefficient = {COEFFICIENT};")
    print(array("golden_graph", sum(GRAPH, [])))
    rows = []
    for case in CASES:
        value, gradient, amplification = evaluate(case)
        rows.append(row(case, value, amplification))
        print(array(f"golden_{case['name']}", gradient))
    print("typedef struct golden_penalty {")
    print("    const char *name;\n    int32_t kind, form, unfolding, group, clusters;\n    double clustering;")
    print("    const double *graph;\n    int32_t ndim;\n    int64_t shape[MTL_MAX_DIMS];")
    print("    double value, amplification;\n    const double *gradient;\n} golden_penalty;\n")
    print("static const golden_penalty golden_penalties[] = {")
    print("\n".join(rows) + "\n};\n")
    for run in RUNS:
        curve, last = train(run)
        print(array(f"golden_{run['name']}_curve", curve), end="")
        print(array(f"golden_{run['name']}_weights", last))
    print("/* clang-format on */\n\n#endif")


main()
