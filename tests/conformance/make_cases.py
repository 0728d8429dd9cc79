# SPDX-License-Identifier: Apache-2.0
"""Writes cases/*.txt: the conformance kit's data, by the definitions in reference.py.

    python3 make_cases.py

Takes a minute. Needs numpy, mpmath, cvxpy with Clarabel (a start for CAGrad, whose answer is refined to 40 digits and
verified). Last written with Python 3.11, numpy 2.4.6, mpmath 1.3.0, cvxpy 1.9.3, Clarabel 0.11.1."""
import math
import os
from fractions import Fraction

import numpy
from mpmath import mpf

import kit
import reference as ref

EPSILON = 2.0 ** -52
RESIDUAL = 1e-10  # of optimality conditions
SCALES = [1e-10, 1, 1e5, 1e15]
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases")


def number(x):
    x = float(x)
    return f"{x:.17g}"


def round_up(x):
    """To one digit."""
    exponent = math.floor(math.log10(x))
    return f"{math.ceil(x / 10 ** exponent * (1 - 1e-9))}e{exponent}"


class File:
    def __init__(self, name, title):
        self.name, self.lines, self.matrices, self.count = name, ["conformance 1", f"# {title}"], {}, 0

    def matrix(self, name, rows):
        self.matrices[name] = ref.exact(rows)
        self.lines += ["", f"matrix {name} {len(rows)} {len(rows[0])}"]
        self.lines += ["row " + " ".join(number(x) for x in row) for row in rows]

    def random(self, name, tasks, size, rank, offset, spread, seed):
        self.matrices[name] = ref.exact(kit.generate(tasks, size, rank, offset, spread, seed))
        self.lines += ["", f"random {name} {tasks} {size} {rank} {offset} {spread} {seed}"]

    def case(self, name, method, *lines):
        self.count += 1
        self.lines += ["", f"case {name}/{method}", f"method {method}", *lines, "end"]

    def write(self):
        path = os.path.join(FOLDER, self.name)
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(self.lines) + "\n")
        print(self.name, self.count, "cases", os.path.getsize(path), "bytes", flush=True)


# ---- what an answer is known to ----

def condition(rows):
    """κ of the cosine matrix: its largest eigenvalue over its least that is not 0; zero gradients left out."""
    rows = [row for row in rows if any(row)]
    j = numpy.array([[float(x / max(map(abs, row))) for x in row] for row in rows])
    j /= numpy.linalg.norm(j, axis=1)[:, None]
    values = numpy.sort(numpy.linalg.svd(j, compute_uv=False)[:ref.rank_of(rows)]) ** 2
    return values[-1] / values[0]


def tolerance(rows):
    """C is known to T ε, and weights are C⁻¹ of something: 16 T ε κ(C), and no less than 1e-12."""
    return round_up(max(1e-12, 16 * len(rows) * EPSILON * condition(rows)))


def loose(rows):
    """A direction that is 0 has a square that is known to T ε."""
    return round_up(max(1e-8, math.sqrt(16 * len(rows) * EPSILON)))


def answer(rows, weights, unique=None):
    """Where gradients depend on each other, the direction counts."""
    if unique is None:
        unique = ref.rank_of(rows) == len(rows)
    values = " ".join(number(ref.to_mpf(w)) for w in weights)
    return f"{'weights' if unique else 'direction'} {tolerance(rows)} {values}"


def shares(rows):
    return [Fraction(1, len(rows))] * len(rows)


def ones(rows):
    return [Fraction(1)] * len(rows)


def without_zeros(rows, rule):
    """The rule on the gradients that are not 0; zero gradients get weight 0."""
    some = [i for i, row in enumerate(rows) if any(row)]
    weights = [mpf(0)] * len(rows)
    for i, w in zip(some, rule([rows[i] for i in some])):
        weights[i] = ref.to_mpf(w)
    return weights


def checks(*names, at=RESIDUAL):
    return [f"check {name} {at:g}" for name in names]


# ---- every method of the Gram matrix on one matrix ----

def of_cones(file, name, rows, scales, metamorphic, stationary):
    zero = [f"check stationary-zero {loose(rows)}"] if stationary else []
    w = ref.mgda(rows)
    expected = zero if stationary else [answer(rows, w)]
    file.case(name, "mgda", f"gradients {name}", scales, *expected,
              *checks("kkt-simplex", "non-conflicting", *metamorphic))
    for u, label in ((None, ""), ([Fraction(2 * i % 5 + 1, 4) for i in range(len(rows))], "-preference")):
        given = [] if u is None else ["preference " + " ".join(number(x) for x in u)]
        u = u or shares(rows)
        file.case(name + label, "dualproj", f"gradients {name}", scales, *given,
                  answer(rows, ref.dual_projection(rows, u)),
                  *checks("kkt-dual-cone", "non-conflicting", *metamorphic))
        file.case(name + label, "upgrad", f"gradients {name}", scales, *given, answer(rows, ref.upgrad(rows, u)),
                  *checks("dual-sum", "non-conflicting", "scale-linear", *metamorphic))


def of_cagrad(file, name, rows, scales, metamorphic, stationary):
    forms = (("rescale-none", lambda c: 1), ("rescale-square", lambda c: 1 + c * c),
             ("rescale-linear", lambda c: 1 + c))
    for k, c in enumerate((0.5, 0.25, 1.5)):
        form, divisor = forms[k]
        if not any(sum(column) for column in zip(*rows)):
            continue
        weights, status = None, "ok"
        if stationary:  # is the nearest direction without conflict inside of the ball?
            w = ref.dual_projection(rows, shares(rows))
            away = ref.product(list(zip(*rows)), [x - y for x, y in zip(w, shares(rows))])
            mean = ref.product(list(zip(*rows)), shares(rows))
            if sum(x * x for x in away) <= Fraction(c) ** 2 * sum(x * x for x in mean):
                weights, status = w, "stationary"
        weights = weights or ref.cagrad(rows, c)
        if weights is None:
            print("no answer, the condition only:", name, "cagrad", c)
        expected = [] if weights is None else [answer(rows, [ref.to_mpf(w) / divisor(mpf(c)) for w in weights])]
        file.case(f"{name}-c{c:g}", "cagrad", f"form {form}", f"set c {c:g}", f"gradients {name}", scales, *expected,
                  f"status {status}", *checks("cagrad-gap", *metamorphic))


def of_shares(file, name, rows, scales, metamorphic, stationary, alphas):
    zero = [f"check stationary-zero {loose(rows)}", "status stationary"]
    for alpha in alphas:
        expected = zero if stationary else [answer(rows, ref.fair_gradient(rows, alpha), True)]
        file.case(f"{name}-a{alpha:g}", "fairgrad", f"set alpha {alpha:g}", f"gradients {name}", scales, *expected,
                  *([] if stationary else checks("fair", "non-conflicting", *metamorphic)))
    expected = zero if stationary else [answer(rows, ref.nash(rows), True)]
    file.case(name, "nash", f"gradients {name}", scales, *expected,
              *([] if stationary else checks("fair", "non-conflicting", *metamorphic)))


def of_spectra(file, name, rows, scales, metamorphic):
    full = ref.rank_of(rows) == len(rows)
    system = checks("aligned-system") if full and condition(rows) < 1e4 else []
    if ref.is_zero(ref.aligned(rows, ones(rows))):  # u is orthogonal to what the gradients span
        file.case(name, "aligned", f"gradients {name}", scales, *checks("vanishing"))
    else:
        for form in ("minimum", "median", "rmse"):
            file.case(f"{name}-{form}", "aligned", f"form {form}", f"gradients {name}", scales,
                      answer(rows, ref.aligned(rows, ones(rows), form), True), *system, *checks(*metamorphic))
    equal = ["equal-projections"] if full and condition(rows) < 1e4 else []
    weights = ref.config(rows, ones(rows))
    if ref.is_zero(weights):
        file.case(name, "config", f"gradients {name}", scales, *checks("vanishing"))
    else:
        file.case(name, "config", f"gradients {name}", scales, answer(rows, weights),
                  *checks(*equal, "scale-linear", *metamorphic))
    if full:
        file.case(name, "imtl-g", f"gradients {name}", scales, answer(rows, ref.imtl_g(rows)),
                  *checks(*equal, *metamorphic))


def of_krum(file, name, rows, scales):
    for outliers, selected in ((0, 1), (1, 1), (2, 3)):
        if len(rows) >= outliers + 3:
            file.case(f"{name}-f{outliers}s{selected}", "krum", f"set outliers {outliers}", f"set selected {selected}",
                      f"gradients {name}", scales, answer(rows, ref.krum(rows, outliers, selected), True))


def of_surgery(file, name, rows, scales):
    if len(rows) <= 3:
        answers = ref.pcgrad_all(rows)
        values = [" ".join(number(ref.to_mpf(x)) for x in w) for w in answers]
        key = "any" if len(values) > 1 else "weights"
        file.case(name, "pcgrad", f"gradients {name}", scales, *(f"{key} {tolerance(rows)} {v}" for v in values))
        file.case(name, "gradvac", f"gradients {name}", scales, *(f"{key} {tolerance(rows)} {v}" for v in values))
    else:
        for method in ("pcgrad", "gradvac"):
            file.case(name, method, f"gradients {name}", scales, *checks("surgery", "reset"))


def every_method(file, name, scales=(1,), alphas=(1, 0.5, 2), spectra=True, surgery=True):
    rows = file.matrices[name]
    stationary = ref.is_stationary(rows)
    scales = "scales " + " ".join(f"{s:g}" for s in scales)
    metamorphic = ["permutation", "scale-free", "absent"] if len(rows) > 1 else ["scale-free", "absent"]
    of_cones(file, name, rows, scales, metamorphic, stationary)
    of_cagrad(file, name, rows, scales, metamorphic, stationary)
    of_shares(file, name, rows, scales, metamorphic, stationary, alphas)
    if spectra:
        of_spectra(file, name, rows, scales, metamorphic)
    of_krum(file, name, rows, scales)
    if surgery:
        of_surgery(file, name, rows, scales)


# ---- the files ----

FIRST = [[-4, 1, 1], [6, 1, 1]]  # the example of TorchJD's documentation
SECOND = [[1, 2, 0, -1], [-2, 1, 1, 0], [0, -3, 2, 1]]
THIRD = [[2, -1, 0], [-1, 2, -1], [0, -1, 2]]


def golden():
    file = File("golden.txt", "Three small matrices; the first one is the example of TorchJD's documentation.")
    for name, rows in (("first", FIRST), ("second", SECOND), ("third", THIRD)):
        file.matrix(name, rows)
        every_method(file, name, SCALES)
        rows = file.matrices[name]
        u = shares(rows)
        file.case(name + "-mean", "aligned", "preference " + " ".join(number(x) for x in u), f"gradients {name}",
                  answer(rows, ref.aligned(rows, u)))
        for form, factor in (("unit", lambda i, n: 1 / n[i]), ("loss", lambda i, n: 1 / mpf(i + 2)),
                             ("loss-unit", lambda i, n: 1 / n[i] / (i + 2))):
            n, _ = ref.units(rows)  # 17 digits of the factors: the answer is known to their rounding times κ
            scaled = [[x * Fraction(number(factor(i, n))) for x in row] for i, row in enumerate(rows)]
            file.case(f"{name}-{form}", "mgda", f"form {form}", f"gradients {name}",
                      "losses " + " ".join(str(i + 2) for i in range(len(rows))), answer(rows, ref.mgda(scaled)))
        losses = [" ".join(str(x / 4) for x in range(k + 2, k + 2 + len(rows))) for k in range(3)]
        steps = [[float(x) for x in line.split()] for line in losses]
        file.case(name, "gradnorm", f"gradients {name}", *("losses " + line for line in losses), "set rate 0.125",
                  "set alpha 1.5", answer(rows, ref.gradnorm(rows, steps, 1.5, 0.125), True))
        file.case(name, "imtl", f"gradients {name}", answer(rows, ref.imtl_g(rows)))
    rows = file.matrices["first"]
    for steps in (2, 3):
        file.case(f"first-{steps}-steps", "gradvac", "gradients first", "set beta 0.5", *["losses 1 1"] * steps,
                  answer(rows, ref.gradvac_pair(rows, 0.5, steps)))
    file.write()


def random():
    file = File("random.txt", "Matrices of every shape and several ranks, at scales from 1e-10 to 1e15.")
    shapes = [(1, 1, 0, 0), (4, 3, 0, 0), (4, 3, 0, 12), (4, 3, 2, 12), (4, 3, 1, 0), (9, 11, 0, 0), (9, 11, 0, 12),
              (9, 11, 4, 12), (20, 10, 0, 0), (20, 10, 0, 16), (20, 10, 5, 12), (20, 100, 0, 0), (20, 100, 0, 12),
              (20, 100, 7, 12)]
    for seed, (tasks, size, rank, offset) in enumerate(shapes, 31):
        name = f"random-{tasks}x{size}" + (f"-rank{rank}" if rank else "") + (f"-offset{offset}" if offset else "")
        file.random(name, tasks, size, rank, offset, 0, seed)
        print(name, "stationary" if ref.is_stationary(file.matrices[name]) else "", flush=True)
        every_method(file, name, SCALES, alphas=(1, 0.5) if tasks < 20 else (2,))
    file.write()


DEGENERATE = {
    "one": [[3, -4]],
    "zero-of-three": [[1, 2, 0], [0, 0, 0], [-2, 1, 1]],
    "duplicate": [[1, 2], [1, 2], [-3, 1]],
    "parallel": [[1, 2, -1], [4, 8, -4], [-1, 1, 1]],
    "weakly-stationary": [[1, 0], [-1, 0], [0, 1]],
    "strongly-stationary": [[3, 1, 0], [-1, 2, 1], [1, -4, 2], [-3, 1, -3]],
    "opposite": [[2, 1], [-2, -1]],
    "opposite-of-other-length": [[2, 1], [-6, -3]],
    "orthogonal": [[2, 0, 0], [0, 3, 0], [0, 0, 5]],
    "identical": [[1, -2, 2]] * 4,
}


def degenerate():
    file = File("degenerate.txt", "Zero, duplicate, parallel and opposite gradients; lengths 15 decades apart.")
    for name, rows in DEGENERATE.items():
        file.matrix(name, rows)
        scales = "scales " + " ".join(f"{s:g}" for s in SCALES)
        if not all(any(row) for row in rows):
            continue
        rows = file.matrices[name]
        every_method(file, name, SCALES, surgery=len(rows) <= 3)
        if ref.rank_of(rows) < len(rows):
            file.case(name, "imtl-g", f"gradients {name}", scales, *checks("finite"))
    name = "zero-of-three"
    rows = file.matrices[name]
    u = shares(rows)
    file.case(name, "mgda", f"gradients {name}", *checks("stationary-zero", "kkt-simplex"))
    for method, rule in (("dualproj", ref.dual_projection), ("upgrad", ref.upgrad)):
        file.case(name, method, f"gradients {name}", answer(rows, rule(rows, u), False), *checks("non-conflicting"))
    for method, rule in (("nash", ref.nash), ("fairgrad", lambda r: ref.fair_gradient(r, 1)), ("imtl-g", ref.imtl_g),
                         ("config", lambda r: ref.config(r, ones(r))), ("aligned", lambda r: ref.aligned(r, ones(r))),
                         ("pcgrad", lambda r: ref.pcgrad_all(r)[0]), ("gradvac", lambda r: ref.pcgrad_all(r)[0])):
        file.case(name, method, f"gradients {name}", answer(rows, without_zeros(rows, rule), False))
    file.matrix("zero", [[0, 0], [0, 0], [0, 0]])
    for method in ("mgda", "dualproj", "upgrad", "cagrad", "nash", "fairgrad", "aligned", "config", "imtl-g", "pcgrad",
                   "gradvac", "krum", "imtl", "gradnorm"):
        file.case("zero", method, "gradients zero", *checks("finite"))
    file.matrix("tiny", [[1e-160, 2e-160], [-3e-160, 1e-160]])
    for method in ("mgda", "dualproj", "upgrad", "cagrad", "nash", "fairgrad", "aligned", "config", "imtl-g", "pcgrad"):
        file.case("tiny", method, "gradients tiny", *checks("finite"))
    for seed, tasks, size in ((329, 2, 3), (104, 5, 8), (116, 9, 11)):  # lengths 15 decades apart
        name = f"spread-{tasks}x{size}"
        file.random(name, tasks, size, 0, 12, 32, seed)
        print(name, "stationary" if ref.is_stationary(file.matrices[name]) else "", flush=True)
        every_method(file, name, alphas=(1,), spectra=False, surgery=tasks <= 3)
        rows = file.matrices[name]
        file.case(name, "config", f"gradients {name}", answer(rows, ref.config(rows, ones(rows))))
        file.case(name, "imtl-g", f"gradients {name}", answer(rows, ref.imtl_g(rows)))
    refused(file)
    file.write()


def refused(file):
    file.matrix("not-finite", [[1, 2], [3, 4]])
    file.lines[-1] = "row inf 4"
    for method in ("mgda", "dualproj", "upgrad", "cagrad", "nash", "fairgrad", "aligned", "config", "imtl-g", "pcgrad",
                   "gradvac", "krum", "gradnorm"):
        file.case("not-finite", method, "gradients not-finite", "refused")
    for method in ("equal", "gls", "si", "stch", "uncertainty", "imtl-l", "pbi", "cosmos", "dwa"):
        file.case("infinite-loss", method, "losses 1 inf", "refused")
    for method in ("gls", "si"):
        file.case("negative-loss", method, "losses 1 -2", "refused")


LOSSES = [[0.75], [0.5, 2], [0.125, 3, 1.5, 0.0625], [1e-6, 1, 1e6]]
PREFERENCE = [1, 0.5, 2, 0.25]
REFERENCE = [0.0625, -0.5, 0.25, 0.03125]


def row_of(values):
    return " ".join(number(x) for x in values)


def known(values, at=1e-12):
    return f"weights {at:g} {row_of(values)}"


def of_losses(file, k, losses):
    n = len(losses)
    name, line = f"losses-{k}", "losses " + row_of(losses)
    a, z = PREFERENCE[:n], REFERENCE[:n]
    given, lower = "preference " + row_of(a), "reference " + row_of(z)
    file.case(name, "equal", line, known([1] * n))
    file.case(name, "fixed", line, given, known(a))
    file.case(name, "random", line, *checks("simplex"))
    file.case(name, "gls", line, known(ref.slopes(ref.geometric, losses)))
    file.case(name, "si", line, known(ref.slopes(ref.logarithmic, losses)))
    for mu in (0.25, 1, 8):
        file.case(f"{name}-mu{mu:g}", "stch", "form linear", f"set mu {mu:g}", line, given, lower,
                  known(ref.slopes(ref.tchebycheff(a, z, mu), losses)))
        nadir = [2 * x + 1 for x in losses]
        file.case(f"{name}-mu{mu:g}-logarithm", "stch", "form logarithm", f"set mu {mu:g}", "set warmup_steps 2",
                  "losses " + row_of([2 * x for x in nadir]), "losses " + row_of([0 * x for x in nadir]), line,
                  known(ref.slopes(ref.tchebycheff_log(nadir, mu), losses)))
    for theta in (0, 5):
        if n > 1:
            file.case(f"{name}-theta{theta}", "pbi", f"set theta {theta}", line, given, lower,
                      known(ref.slopes(ref.boundary(a, z, theta), losses)))
    for weight in (0, 2):
        file.case(f"{name}-lambda{weight}", "cosmos", f"set lambda {weight}", line, given,
                  known(ref.slopes(ref.cosmos(a, weight), losses), 1e-11))
    steps = [losses, [x / 2 for x in losses], [x / 3 for x in losses]]
    lines = ["losses " + row_of(x) for x in steps]
    for form, full in (("half", False), ("full", True)):
        file.case(f"{name}-{form}", "uncertainty", f"form {form}", "set rate 0.125", *lines,
                  known(ref.uncertainty(steps, 0.125, full)))
    file.case(name, "imtl-l", "set rate 0.125", *lines, known(ref.imtl_l(steps, 0.125)))
    file.case(name, "dwa", "set tau 2", lines[0], known([1] * n))
    newer = [x * (t + 1) / 4 for t, x in enumerate(losses)]
    file.case(f"{name}-epochs", "dwa", "set tau 0.5", "losses " + row_of(losses), "epoch", "losses " + row_of(newer),
              "losses " + row_of([3 * x for x in newer]), "epoch", line,
              known(ref.rate_weights([2 * x for x in newer], losses, 0.5)))
    success = [0.5, 0.25, 0.875, 0.125][:n]
    file.case(name, "dtp", "set gamma 2", line, *(f"measure {t} {x}" for t, x in enumerate(success)), line,
              known(ref.prioritization(success, 2)))


def losses():
    file = File("losses.txt", "Methods of losses: slopes of what they minimize.")
    for k, values in enumerate(LOSSES, 1):
        of_losses(file, k, values)
    file.case("first-measure-and-next", "dtp", "set gamma 1", "set rate 0.25", "losses 1 1", "measure 0 0.5",
              "measure 1 1", "measure 0 0.75", "losses 1 1", known(ref.prioritization([0.5625, 1], 1)))
    file.case("zero-loss", "gls", "losses 0 2 8", known([0, 1, 0.25]))
    file.case("zero-loss", "si", "losses 0 2 8", known([0, 0.5, 0.125]))
    file.case("on-the-ray", "pbi", "losses 1 2", "preference 1 2", known([1 / math.sqrt(5), 2 / math.sqrt(5)]))
    file.case("absent", "gls", "losses 2 nan 8", known([1, 0, 0.25]))
    file.case("absent", "equal", "losses 2 nan 8", known([1, 0, 1]))
    file.case("absent", "dwa", "losses 2 nan 8", known([1, 0, 1]))
    file.case("none-present", "equal", "losses nan nan", known([0, 0]))
    file.write()


def residuals():
    file = File("residuals.txt", "Up to 128 tasks: conditions that an answer fulfils, without the answer.")
    shapes = [(16, 40, 0, 12, 0), (32, 114, 0, 0, 0), (32, 114, 0, 12, 16), (50, 100, 0, 12, 0), (64, 40, 0, 16, 0),
              (64, 40, 10, 12, 0), (128, 40, 0, 0, 0), (128, 40, 0, 16, 32), (128, 300, 0, 0, 0), (128, 300, 0, 12, 0),
              (128, 300, 60, 12, 0)]
    for seed, (tasks, size, rank, offset, spread) in enumerate(shapes, 200):
        name = f"large-{tasks}x{size}" + (f"-rank{rank}" if rank else "") + (f"-offset{offset}" if offset else "") + (
            f"-spread{spread}" if spread else "")
        file.random(name, tasks, size, rank, offset, spread, seed)
        full = tasks < size and rank == 0
        of = f"gradients {name}"
        file.case(name, "mgda", of, *checks("kkt-simplex", "non-conflicting", "scale-free"))
        file.case(name, "dualproj", of, *checks("kkt-dual-cone", "non-conflicting", "scale-free"))
        file.case(name, "upgrad", of, *checks("dual-sum", "non-conflicting", "scale-free"))
        file.case(name, "cagrad", of, "form rescale-none", "set c 0.5",
                  *checks(*["cagrad-gap"] * (spread == 0), "scale-free"))
        if offset:  # a convex combination of the others may be 0
            file.case(name, "nash", of, *checks("fair", "non-conflicting", "scale-free"))
            file.case(name, "fairgrad", of, "set alpha 2", *checks("fair", "non-conflicting", "scale-free"))
        if full:
            file.case(name, "config", of, *checks("equal-projections", "scale-free"))
            file.case(name, "imtl-g", of, *checks("equal-projections", "scale-free"))
        if full and tasks <= 64 and spread == 0:
            file.case(name, "aligned", of, *checks("aligned-system", "scale-free"))
        for method in ("pcgrad", "gradvac"):
            file.case(name, method, of, *checks("surgery", "reset"))
        for method in ("krum", "aligned"):
            file.case(f"{name}-answers", method, of, *checks("finite"))
    file.write()


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    for write in (golden, losses, degenerate, residuals, random):
        write()
