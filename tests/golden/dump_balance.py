# SPDX-License-Identifier: Apache-2.0
"""Writes balance_golden.h: what TorchJD's aggregators and scalarizers answer in float64, for the rules that it computes
exactly or nearly so.

    python3 dump_balance.py > balance_golden.h

The matrices of task gradients are not stored: they are products of small integers over 64, which the test makes by the
same formula and which double holds exactly. Stored is G w, which is the same for all weights w of one direction.

Left out, because TorchJD iterates to a tolerance or solves something else there: MGDA (Frank-Wolfe), FairGrad (least
squares to 1e-8), Nash-MTL, Krum (it adds distances, the paper squared distances), ExcessMTL. UPGrad and DualProj are
taken without its thresholds: norm_eps = 0, and reg_eps = 0 where G is positive definite, else 1e-10. CAGrad is as good
as its conic solver. Orders of PCGrad and GradVac are ascending. GradDrop draws the numbers that are given here.

FORUM is in no library in the form of its dual: here its active sets are enumerated in rational numbers.

Last written with TorchJD 0.18.0, PyTorch 2.15.0, quadprog 0.1.14, cvxpy 1.9.3, Clarabel 0.11.1."""
import importlib.metadata
import itertools
from fractions import Fraction

import numpy as np
import torch
from torchjd import aggregation, linalg, scalarization

torch.set_default_dtype(torch.float64)

# tasks, parameters, rank
CASES = [(1, 1, 1), (2, 3, 2), (3, 4, 2), (4, 3, 3), (4, 3, 1), (9, 11, 9), (9, 11, 4), (20, 10, 10), (20, 10, 5),
         (20, 100, 20), (20, 100, 7)]


def pattern(rows, columns, seed):
    i = np.arange(rows)[:, None]
    j = np.arange(columns)[None, :]
    return ((i * 37 + j * 101 + i * i * j * 13 + i * j * j * 7 + seed * 59 + seed * i * 31) % 257 - 128) / 64.0


def matrix(tasks, size, rank, seed=0):
    return torch.tensor(pattern(tasks, rank, seed) @ pattern(rank, size, seed + 3))


def ascending(n, **_):
    return torch.arange(n)


def gradvac(j):
    """Two steps: the second has averages of cosines to reach."""
    aggregator = aggregation.GradVac(beta=0.5, eps=0.0)
    aggregator(j)
    return aggregator(j)


def rules(tasks, rank):
    full = rank == tasks
    projector = linalg.QuadprogProjector(norm_eps=0.0, reg_eps=0.0 if full else 1e-10)
    exact = 1e-9 if full else 1e-6
    yield "DUAL", aggregation.DualProj(projector=projector), exact
    yield "UPGRAD", aggregation.UPGrad(projector=projector), exact
    yield "ALIGNED_MIN", aggregation.AlignedMTL(scale_mode="min"), 1e-9
    yield "ALIGNED_MEDIAN", aggregation.AlignedMTL(scale_mode="median"), 1e-9
    yield "ALIGNED_RMSE", aggregation.AlignedMTL(scale_mode="rmse"), 1e-9
    yield "CONFIG", aggregation.ConFIG(), 1e-9
    yield "PCGRAD", aggregation.PCGrad(), 1e-11
    yield "GRADVAC", gradvac, 1e-9
    yield "CAGRAD", aggregation.CAGrad(c=0.4, norm_eps=0.0), 2e-5
    if full:  # else TorchJD's pseudo-inverse of G and ours of the cosines are two choices among many
        yield "IMTL_G", aggregation.IMTLG(), 1e-9


def numbers(values):
    """A list in braces, four to a line."""
    values = [f"{float(x)!r}" for x in values]
    lines = [", ".join(values[at:at + 4]) for at in range(0, len(values), 4)]
    return "{" + ",\n        ".join(lines) + "}"


def dump_directions():
    print("/* G w for each case and rule; the tolerance is relative to the largest |G|. */")
    print("static const struct golden_direction {")
    print("    int tasks, size, rank;\n    enum golden_rule rule;\n    double tolerance;\n    double products[20];")
    print("} golden_directions[] = {")
    for tasks, size, rank in CASES:
        j = matrix(tasks, size, rank)
        assert np.linalg.matrix_rank(j.numpy()) == rank
        for name, aggregator, tolerance in rules(tasks, rank):
            products = j @ aggregator(j)
            print(f"    {{{tasks}, {size}, {rank}, GOLDEN_{name}, {tolerance:g},\n        {numbers(products)}}},")
    print("};\n")


def dump_followed():
    """Weights of two steps; the matrix is J1 J2^T of two batches."""
    print("static const struct golden_followed {")
    print("    int tasks;\n    double sdmgrad[2][6];\n    double modo[2][6];\n} golden_followed[] = {")
    for tasks in (1, 2, 4, 6):
        cross = matrix(tasks, 12, tasks, 0) @ matrix(tasks, 12, tasks, 1).T
        sdmgrad = aggregation.SDMGradWeighting(lr=0.002, momentum=0.5, n_iter=5, lambda_=0.3)
        modo = aggregation.MoDoWeighting(gamma=0.001, rho=0.1)
        rows = [",\n        ".join(numbers(weighting(cross)) for _ in range(2)) for weighting in (sdmgrad, modo)]
        print(f"    {{{tasks},\n       {{{rows[0]}}},\n       {{{rows[1]}}}}},")
    print("};\n")


# tasks, coordinates, trimmed at each end
RUNS = [(1, 5, 0), (2, 7, 0), (3, 9, 1), (5, 12, 2), (8, 12, 3), (20, 12, 4)]
LEAK = 0.25


def uniform(n):
    return (torch.arange(n) * 37 % 101 + 0.5) / 101


def dump_coordinates():
    print("/* Of pattern(task, coordinate, 2) and u = ((37 coordinate mod 101) + 1/2) / 101, leak 1/4. */")
    print("static const struct golden_run {")
    print("    int tasks, size, trim;\n    double trimmed[12];\n    double dropped[12];\n} golden_runs[] = {")
    original = torch.rand
    for tasks, size, trim in RUNS:
        j = torch.tensor(pattern(tasks, size, 2))
        u = uniform(size)
        purity = 0.5 * (1 + j.sum(dim=0) / j.abs().sum(dim=0))
        assert torch.all((purity - u).abs() > 1e-4)  # float decides as double
        torch.rand = lambda *_, u=u, **__: u
        dropped = aggregation.GradDrop(leak=torch.full((tasks,), LEAK))(j)
        torch.rand = original
        trimmed = aggregation.TrimmedMean(trim)(j)
        print(f"    {{{tasks}, {size}, {trim},\n        {numbers(trimmed)},\n        {numbers(dropped)}}},")
    print("};\n")


# tasks, size, rank
FORUM_CASES = [(1, 3, 1), (2, 3, 2), (3, 4, 2), (4, 3, 3), (4, 3, 1), (5, 8, 5), (6, 6, 6)]


def solve(a, b):
    """a x = b in rational numbers; None when a is singular."""
    n = len(a)
    rows = [list(row) + [x] for row, x in zip(a, b)]
    for c in range(n):
        pivot = next((r for r in range(c, n) if rows[r][c]), None)
        if pivot is None:
            return None
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [x / rows[c][c] for x in rows[c]]
        for r in range(n):
            if r != c and rows[r][c]:
                rows[r] = [x - rows[r][c] * y for x, y in zip(rows[r], rows[c])]
    return [row[n] for row in rows]


def forum_products(g, phi):
    """<F_i, r> and <q, r> of r = sum gamma_i F_i + nu q, q the last row: the active set whose conditions hold."""
    tasks = len(g) - 1
    gram = [[sum(x * y for x, y in zip(a, b)) for b in g] for a in g]
    pull = phi * gram[tasks][tasks]
    supports = itertools.chain.from_iterable(itertools.combinations(range(tasks), k) for k in range(1, tasks + 1))
    for support, last in itertools.product(supports, ([], [tasks])):
        some = list(support) + last
        a = [[gram[i][j] for j in some] + [Fraction(-1 if i < tasks else 0)] for i in some]
        a += [[Fraction(1 if j < tasks else 0) for j in some] + [Fraction(0)]]
        answer = solve(a, [Fraction(0) if i < tasks else pull for i in some] + [Fraction(1)])
        if answer is None or min(answer[:-1]) < 0:
            continue
        products = [sum(gram[i][j] * w for j, w in zip(some, answer)) for i in range(tasks + 1)]
        if min(products[:tasks]) >= answer[-1] and products[tasks] >= pull:
            return products
    raise AssertionError("no active set is optimal")


def dump_forum():
    print("/* FORUM: products of matrix(tasks, size, rank) and of q = pattern(0, coordinate, 5) with the direction. */")
    print("static const struct golden_forum {")
    print("    int tasks, size, rank;\n    double phi;\n    double products[7];\n} golden_forums[] = {")
    for tasks, size, rank in FORUM_CASES:
        g = [[Fraction(float(x)) for x in row] for row in matrix(tasks, size, rank)]
        q = [Fraction(float(x)) for x in pattern(1, size, 5)[0]]
        for phi in (0, 0.125, 2, 64):
            products = forum_products(g + [q], Fraction(phi))
            print(f"    {{{tasks}, {size}, {rank}, {phi},\n        {numbers(products)}}},")
    print("};\n")


LOSSES = [[0.75], [0.5, 2.0], [0.125, 3.0, 1.5, 0.0625]]
PREFERENCE = [1.0, 0.5, 2.0, 0.25]
REFERENCE = [0.0625, -0.5, 0.25, 0.03125]
SCALES = [-0.5, 0.25, 1.0, -1.5]


def scalarizers(n):
    preference = torch.tensor(PREFERENCE[:n])
    reference = torch.tensor(REFERENCE[:n])
    uncertainty = scalarization.UW(n)
    imtl_l = scalarization.IMTLL(n)
    with torch.no_grad():
        uncertainty.log_var.copy_(torch.tensor(SCALES[:n]))
        imtl_l.log_scale.copy_(torch.tensor(SCALES[:n]))
    yield "GEOMETRIC", scalarization.GeometricMean(), None
    yield "TCHEBYCHEFF", scalarization.STCH(0.5, preference, reference), None
    yield "TCHEBYCHEFF_PLAIN", scalarization.STCH(0.125), None
    yield "BOUNDARY", scalarization.PBI(5.0, preference, reference), None
    yield "COSMOS", scalarization.COSMOS(2.0, preference), None
    yield "UNCERTAINTY", uncertainty, uncertainty.log_var
    yield "IMTL_L", imtl_l, imtl_l.log_scale


def dump_losses():
    print("/* value, dF/dL and, where scales are trained, dF/ds. */")
    print("static const struct golden_loss {")
    print("    int tasks;\n    enum golden_loss_rule rule;\n    double value;\n    double weights[4];")
    print("    double gradient[4];")
    print("} golden_losses[] = {")
    for values in LOSSES:
        for name, scalarizer, scales in scalarizers(len(values)):
            if name == "BOUNDARY" and len(values) == 1:
                continue  # on the ray: TorchJD's constant under the root decides
            losses = torch.tensor(values, requires_grad=True)
            value = scalarizer(losses)
            wanted = [losses] + ([scales] if scales is not None else [])
            gradients = torch.autograd.grad(value, wanted)
            trained = numbers(gradients[1]) if scales is not None else "{0}"
            print(f"    {{{len(values)}, GOLDEN_{name}, {value.item()!r},")
            print(f"        {numbers(gradients[0])},\n        {trained}}},")
    print("};\n")


def dump_famo():
    """Five steps: the losses of a step after it are those of the next one before it."""
    print("/* FAMO: the weights of step k for losses that fall by the factors below, and its logits at the end. */")
    famo = scalarization.FAMO(3, torch.tensor([0.0, 0.1, 0.2]))
    rows = []
    losses = torch.tensor([1.0, 2.0, 0.5])
    factor = torch.tensor([0.9, 0.8, 0.97])
    for _ in range(5):
        leaf = losses.clone().requires_grad_()
        rows.append(numbers(torch.autograd.grad(famo(leaf), leaf)[0]))
        losses = losses * factor
        famo.update(losses)
    print("static const double golden_famo_weights[5][3] = {")
    for row in rows:
        print(f"    {row},")
    print(f"}};\n\nstatic const double golden_famo_logits[3] = {numbers(famo._w.detach())};")


def main():
    torch.randperm = ascending
    names = ["TorchJD", "torch"]
    versions = ", ".join(f"{name} {importlib.metadata.version(name.lower())}" for name in names)
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(f" * Written by dump_balance.py with {versions}; do not edit. */")
    print("#ifndef TESTS_BALANCE_GOLDEN_H\n#define TESTS_BALANCE_GOLDEN_H\n")
    print("enum golden_rule {")
    for name in ("DUAL", "UPGRAD", "ALIGNED_MIN", "ALIGNED_MEDIAN", "ALIGNED_RMSE", "CONFIG", "PCGRAD", "GRADVAC",
                 "CAGRAD", "IMTL_G"):
        print(f"    GOLDEN_{name},")
    print("};\n\nenum golden_loss_rule {")
    for name in ("GEOMETRIC", "TCHEBYCHEFF", "TCHEBYCHEFF_PLAIN", "BOUNDARY", "COSMOS", "UNCERTAINTY", "IMTL_L"):
        print(f"    GOLDEN_{name},")
    print("};\n\n/* clang-format off */")
    dump_directions()
    dump_followed()
    dump_coordinates()
    dump_forum()
    dump_losses()
    dump_famo()
    print("/* clang-format on */\n\n#endif")


main()
