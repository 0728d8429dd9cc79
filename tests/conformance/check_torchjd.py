# SPDX-License-Identifier: Apache-2.0
"""Puts the cases of the conformance kit to TorchJD as it is shipped, in float64, and prints how far its directions lie
from the expected ones: the kit serves any implementation.

    pip install "torchjd[full]" && python3 check_torchjd.py [all | CASE]

`all` prints a line for each case, CASE those of which the name begins so. Last run with TorchJD 0.18.0, PyTorch
2.15.0."""
import math
import os
import sys
import warnings

import torch
from torchjd import aggregation, scalarization

import kit

torch.set_default_dtype(torch.float64)
warnings.filterwarnings("ignore")


def tensor_or_none(values):
    return None if values is None else torch.tensor(values)


def aggregator_of(case, tasks):
    """An aggregator and the factor between its answer and the kit's; None for what TorchJD does not have."""
    given = case["set"]
    method, form = case["method"], case["form"]
    preference = tensor_or_none(case["preference"])
    if method == "cagrad":
        c = given.get("c", 0.5)
        return aggregation.CAGrad(c=c), {"rescale-none": 1, "rescale-linear": 1 + c}.get(form, 1 + c * c)
    if method == "aligned":
        scale = {"median": "median", "rmse": "rmse"}.get(form, "min")
        u = torch.ones(tasks) if preference is None else preference
        return aggregation.AlignedMTL(pref_vector=u, scale_mode=scale), 1
    makers = {
        "mgda": lambda: aggregation.MGDA() if form is None else None,
        "dualproj": lambda: aggregation.DualProj(pref_vector=preference),
        "upgrad": lambda: aggregation.UPGrad(pref_vector=preference),
        "fairgrad": lambda: aggregation.FairGrad(alpha=given.get("alpha", 1)),
        "config": lambda: aggregation.ConFIG() if preference is None else None,
        "imtl-g": aggregation.IMTLG,
        "krum": lambda: aggregation.Krum(int(given.get("outliers", 1)), int(given.get("selected", 1))),
        "pcgrad": aggregation.PCGrad,
        "gradvac": lambda: aggregation.GradVac(beta=given.get("beta", 0.5)),
    }
    return (makers[method](), 1) if method in makers else (None, 1)


def scalarizer_of(case, tasks):
    given, form = case["set"], case["form"]
    preference, reference = tensor_or_none(case["preference"]), tensor_or_none(case["reference"])
    makers = {
        "equal": scalarization.Sum,
        "gls": scalarization.GeometricMean,
        "stch": lambda: None if form == "logarithm" else scalarization.STCH(given["mu"], preference, reference),
        "pbi": lambda: scalarization.PBI(given.get("theta", 5.0), preference, reference),
        "cosmos": lambda: scalarization.COSMOS(given.get("lambda", 1.0), preference),
        "uncertainty": lambda: scalarization.UW(tasks) if form == "half" else None,
        "imtl-l": lambda: scalarization.IMTLL(tasks),
        "dwa": lambda: scalarization.DWA(given.get("tau", 2.0)),
    }
    return makers[case["method"]]() if case["method"] in makers else None


def direction(case, rows):
    """TorchJD's, or None."""
    aggregator, factor = aggregator_of(case, len(rows))
    if aggregator is None:
        return None
    torch.manual_seed(0)
    for _ in range(max(1, len(case["steps"]))):
        answer = aggregator(rows)
    return answer / factor


def weights(case):
    """TorchJD's dF/dL in the last step, or None."""
    losses = [values for key, values in case["steps"] if key == "losses"]
    scalarizer = scalarizer_of(case, len(losses[0])) if losses else None
    if scalarizer is None or any(math.isnan(x) for x in losses[0]):
        return None
    trained = list(scalarizer.parameters())
    optimizer = torch.optim.Adam(trained, lr=case["set"].get("rate", 0.001)) if trained else None
    for key, values in case["steps"]:
        if key == "epoch":
            scalarizer.step()
            continue
        leaf = torch.tensor(values, requires_grad=True)
        value = scalarizer(leaf)
        answer = torch.autograd.grad(value, leaf, retain_graph=True)[0]
        if optimizer:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return answer


def direction_deviation(rows, answer, expected):
    norms = rows.norm(dim=1)
    magnitude = (norms * expected.abs()).sum()
    gap = (rows @ (answer - rows.T @ expected)).abs() / (norms * magnitude)
    return gap[norms > 0].max().item()


def conflict(rows, answer):
    """max -<g_i, d> / (n_i ‖d‖)"""
    norms = rows.norm(dim=1)
    products = -(rows @ answer) / (norms * answer.norm())
    return products[norms > 0].max().item() if answer.norm() > 0 else 0.0


class Summary:
    def __init__(self):
        self.put = self.good = self.failed = 0
        self.worst, self.by_scale, self.conflict = 0.0, {}, 0.0

    def add(self, scale, deviation, tolerance):
        self.put += 1
        if not math.isfinite(deviation):
            self.failed += 1
            return
        self.good += deviation <= tolerance
        self.by_scale[scale] = max(self.by_scale.get(scale, 0.0), deviation)


def put_gradients(case, rows, summary, report):
    for scale in case["scales"]:
        scaled = torch.tensor(rows) * scale
        alpha = case["set"].get("alpha", 1)
        degree = -2 * alpha / (1 + alpha) if case["method"] == "fairgrad" else 0
        try:
            answer = direction(case, scaled)
        except Exception as error:  # whatever a solver raises is an answer too
            report(case, scale, math.nan, str(error))
            summary.add(scale, math.nan, 0)
            continue
        if answer is None:
            return
        deviation, tolerance = min((direction_deviation(scaled, answer, torch.tensor(w) * scale ** degree), tolerance)
                                   for _, tolerance, w in case["expect"])
        summary.add("spread" if case["gradients"].startswith("spread") else scale, deviation, tolerance)
        report(case, scale, deviation, "")
        if any(name == "non-conflicting" for name, _ in case["check"]) and math.isfinite(deviation):
            summary.conflict = max(summary.conflict, conflict(scaled, answer))


def put_losses(case, summary, report):
    answer = weights(case)
    if answer is None:
        return
    _, tolerance, expected = case["expect"][0]
    expected = torch.tensor(expected)
    deviation = ((answer - expected).abs().max() / expected.abs().sum()).item()
    summary.add(1.0, deviation, tolerance)
    report(case, 1.0, deviation, "")


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else None

    def report(case, scale, deviation, text):
        if wanted and (wanted == "all" or case["name"].startswith(wanted)):
            print(f"{case['name']} at {scale:g}: {deviation:.2e} {text}")

    matrices, cases = kit.read_kit(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases"))
    methods = {}
    for case in cases:
        if not case["expect"]:
            continue
        summary = methods.setdefault(case["method"], Summary())
        if case["gradients"]:
            put_gradients(case, matrices[case["gradients"]], summary, report)
        else:
            put_losses(case, summary, report)
    scales = [1e-10, 1.0, 1e5, 1e15, "spread"]
    print("Largest deviations: at four scales, and of gradients of very different lengths (at scale 1).")
    heads = " ".join(f"{s if s == 'spread' else format(s, 'g'):>8}" for s in scales)
    print(f"{'method':12} {'put':>5} {'within':>6} {'failed':>6} {heads}  conflict")
    for method, summary in methods.items():
        if summary.put:
            values = " ".join(f"{summary.by_scale[s]:8.1e}" if s in summary.by_scale else "       -" for s in scales)
            print(f"{method:12} {summary.put:5} {summary.good:6} {summary.failed:6} {values}  {summary.conflict:8.1e}")


if __name__ == "__main__":
    main()
