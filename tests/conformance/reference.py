# SPDX-License-Identifier: Apache-2.0
"""The methods' definitions, computed without regard to cost: active sets in rational numbers, whose optimality
conditions are verified exactly, and equations and spectra in 50 digits. Nothing here is shared with the library.

Gradients are rows of numbers that a Fraction holds exactly. Answers are weights, as mpmath numbers."""
import itertools
from fractions import Fraction

import mpmath
from mpmath import mp, mpf

mp.dps = 50


def to_mpf(x):
    return mpf(x.numerator) / mpf(x.denominator) if isinstance(x, Fraction) else mpf(x)


def exact(rows):
    return [[Fraction(x) for x in row] for row in rows]


def gram_of(rows):
    return [[sum(x * y for x, y in zip(a, b)) for b in rows] for a in rows]


def product(matrix, x):
    return [sum(a * b for a, b in zip(row, x)) for row in matrix]


def eliminate(a, b):
    """a x = b in rational numbers; None when a is singular."""
    n = len(a)
    rows = [list(row) + [x] for row, x in zip(a, b)]
    for c in range(n):
        pivot = next((r for r in range(c, n) if rows[r][c]), None)
        if pivot is None:
            return None
        rows[c], rows[pivot] = rows[pivot], rows[c]
        for r in range(c + 1, n):
            if rows[r][c]:
                f = rows[r][c] / rows[c][c]
                rows[r] = [x - f * y if k >= c else x for k, (x, y) in enumerate(zip(rows[r], rows[c]))]
    x = [Fraction(0)] * n
    for r in reversed(range(n)):
        x[r] = (rows[r][n] - sum(rows[r][k] * x[k] for k in range(r + 1, n))) / rows[r][r]
    return x


def rank_of(rows):
    rows = [list(row) for row in rows]
    rank = 0
    for c in range(len(rows[0])):
        pivot = next((r for r in range(rank, len(rows)) if rows[r][c]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for r in range(rank + 1, len(rows)):
            if rows[r][c]:
                f = rows[r][c] / rows[rank][c]
                rows[r] = [x - f * y for x, y in zip(rows[r], rows[rank])]
        rank += 1
    return rank


def cone_minimum(m, b):
    """min ½ xᵀ m x - bᵀ x over x >= 0, m positive semidefinite and b in its range: the textbook's active set (Lawson &
    Hanson), which ends in exact arithmetic. Its answer is verified before it is given."""
    n = len(b)
    passive, x = [], [Fraction(0)] * n
    while True:
        slope = [b[j] - s for j, s in enumerate(product(m, x))]
        entering = max((j for j in range(n) if j not in passive), key=lambda j: slope[j], default=None)
        if entering is None or slope[entering] <= 0:
            break
        passive.append(entering)
        while True:
            z = eliminate([[m[i][j] for j in passive] for i in passive], [b[i] for i in passive])
            assert z is not None
            if min(z) > 0:
                break
            step = min(x[i] / (x[i] - zi) for i, zi in zip(passive, z) if zi <= 0)
            for i, zi in zip(passive, z):
                x[i] += step * (zi - x[i])
            passive = [i for i in passive if x[i] > 0]
        x = [Fraction(0)] * n
        for i, zi in zip(passive, z):
            x[i] = zi
    slope = [s - b[j] for j, s in enumerate(product(m, x))]
    assert min(x) >= 0 and min(slope) >= 0 and all(s == 0 or xi == 0 for s, xi in zip(slope, x))
    return x


def dual_projection(rows, u):
    """min vᵀGv over v >= u."""
    g = gram_of(rows)
    x = cone_minimum(g, [-s for s in product(g, u)])
    return [a + b for a, b in zip(u, x)]


def upgrad(rows, u):
    n = len(rows)
    parts = [dual_projection(rows, [u[i] if j == i else Fraction(0) for j in range(n)]) for i in range(n)]
    return [sum(part[j] for part in parts) for j in range(n)]


def mgda(rows):
    """min wᵀGw over the simplex: y of min ½‖Σ y g‖² + ½(Σ y - 1)² over y >= 0 is a multiple of it."""
    g = gram_of(rows)
    y = cone_minimum([[x + 1 for x in row] for row in g], [Fraction(1)] * len(rows))
    w = [x / sum(y) for x in y]
    value = product(g, w)
    least = sum(a * b for a, b in zip(w, value))
    assert min(value) >= least
    return w


def is_stationary(rows):
    """Whether a convex combination is 0."""
    return all(x == 0 for x in product(list(zip(*rows)), mgda(rows)))


def units(rows):
    """Lengths, and the cosine matrix, in 50 digits."""
    g = gram_of(rows)
    n = [mpmath.sqrt(to_mpf(g[i][i])) for i in range(len(rows))]
    return n, mpmath.matrix([[to_mpf(x) / n[i] / n[j] for j, x in enumerate(row)] for i, row in enumerate(g)])


def spectrum(matrix, rank):
    """The `rank` largest eigenvalues, descending, and their vectors."""
    values, vectors = mpmath.eigsy(matrix)
    order = sorted(range(len(values)), key=lambda k: -values[k])[:rank]
    return [values[k] for k in order], [[vectors[i, k] for i in range(len(values))] for k in order]


def spectral(values, vectors, power, u):
    n = len(u)
    shares = [sum(v[i] * u[i] for i in range(n)) * value ** power for value, v in zip(values, vectors)]
    return [sum(s * v[i] for s, v in zip(shares, vectors)) for i in range(n)]


def aligned(rows, u, form="minimum"):
    g = gram_of(rows)
    values, vectors = spectrum(mpmath.matrix([[to_mpf(x) for x in row] for row in g]), rank_of(rows))
    square = {"minimum": values[-1], "median": values[len(values) // 2], "rmse": sum(values) / len(values)}[form]
    return [mpmath.sqrt(square) * x for x in spectral(values, vectors, mpf(-1) / 2, [to_mpf(x) for x in u])]


def is_zero(x):
    return all(abs(v) < mpf(10) ** -30 for v in x)


def unit_combination(rows, u):
    """C⁺ u, lengths, C."""
    n, c = units(rows)
    return spectral(*spectrum(c, rank_of(rows)), -1, [to_mpf(x) for x in u]), n, c


def config(rows, u):
    x, n, c = unit_combination(rows, u)
    reached = c * mpmath.matrix(x)
    if is_zero(reached):
        return [mpf(0)] * len(n)
    length = sum(a * b for a, b in zip(n, reached)) / sum(a * b for a, b in zip(x, reached))
    return [length * a / b for a, b in zip(x, n)]


def imtl_g(rows):
    x, n, _ = unit_combination(rows, [1] * len(rows))
    v = [a / b for a, b in zip(x, n)]
    return [a / sum(v) for a in v]


def fair_gradient(rows, alpha):
    """G w = w^(-1/alpha): the minimum of a strictly convex function of z = N w, by damped Newton steps."""
    n, c = units(rows)
    tasks = len(n)
    a = 1 / mpf(alpha)

    def right(z):
        return [n[i] ** (a - 1) * z[i] ** -a for i in range(tasks)]

    def slope(z, step):
        cz = c * mpmath.matrix(z)
        return sum(s * (p - r) for s, p, r in zip(step, cz, right(z)))

    z = [mpf(1)] * tasks
    for _ in range(400):
        r = right(z)
        gap = [ri - p for ri, p in zip(r, c * mpmath.matrix(z))]
        if max(abs(g) / ri for g, ri in zip(gap, r)) < mpf(10) ** -40:
            return [a / b for a, b in zip(z, n)]
        hessian = c.copy()
        for i in range(tasks):
            hessian[i, i] += a * r[i] / z[i]
        step = list(mpmath.lu_solve(hessian, mpmath.matrix(gap)))
        length = min([mpf(1)] + [-z[i] / s * mpf(0.9) for i, s in enumerate(step) if s < 0])
        while slope([x + length * s for x, s in zip(z, step)], step) > abs(slope(z, step)) / 2:
            length /= 2
        z = [x + length * s for x, s in zip(z, step)]
    raise AssertionError("no convergence")


def nash(rows):
    """G w = ‖G‖_F / w."""
    frobenius = mpmath.sqrt(sum(to_mpf(x) ** 2 for row in gram_of(rows) for x in row))
    return [mpmath.sqrt(frobenius) * w for w in fair_gradient(rows, 1)]


def cagrad_start(rows, c):
    """The v of the simplex that minimizes <g_0, g_v> + c ‖g_0‖ ‖g_v‖, by a conic solver; lengths about 1."""
    import cvxpy
    import numpy

    j = numpy.array([[float(x) for x in row] for row in rows])
    j /= numpy.sqrt((j * j).sum(axis=1)).mean()
    mean = j.mean(axis=0)
    v = cvxpy.Variable(len(rows))
    value = mean @ (j.T @ v) + c * numpy.linalg.norm(mean) * cvxpy.norm(j.T @ v)
    cvxpy.Problem(cvxpy.Minimize(value), [v >= 0, cvxpy.sum(v) == 1]).solve(
        solver="CLARABEL", tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13)
    return v.value


def cagrad_on(g, support, start, radius):
    """The optimality conditions on a support, solved; None when a condition beside it fails. radius = c ‖g_0‖."""
    tasks, k = len(g), len(support)
    gu = [sum(row) / tasks for row in g]

    def conditions(*x):
        v, nu = x[:k], x[k]
        gv = [sum(g[i][j] * y for j, y in zip(support, v)) for i in support]
        length = mpmath.sqrt(sum(a * b for a, b in zip(v, gv)))
        return [gu[i] + radius * p / length - nu for i, p in zip(support, gv)] + [sum(v) - 1]

    total = sum(start[i] for i in support)
    v = [mpf(start[i]) / total for i in support]
    gv = [sum(g[i][j] * y for j, y in zip(support, v)) for i in support]
    nu = gu[support[0]] + radius * gv[0] / mpmath.sqrt(sum(a * b for a, b in zip(v, gv)))
    try:
        answer = mpmath.findroot(conditions, v + [nu], tol=mpf(10) ** -60, maxsteps=60) if k > 1 else v + [nu]
    except (ZeroDivisionError, ValueError, TypeError):  # mpmath raises the last one for a singular matrix
        return None
    full = [mpf(0)] * tasks
    for i, x in zip(support, list(answer)[:k]):
        full[i] = x
    gv = [sum(a * b for a, b in zip(row, full)) for row in g]
    length = mpmath.sqrt(sum(a * b for a, b in zip(full, gv)))
    rates = [a + radius * p / length for a, p in zip(gu, gv)]
    bound = answer[k] if k > 1 else rates[support[0]]
    if min(full) < 0 or min(rates) < bound - abs(bound) * mpf(10) ** -40:
        return None
    return [mpf(1) / tasks + radius / length * x for x in full]


def cagrad(rows, c):
    """Not for gradients of which a convex combination is 0. None when no support was found."""
    scale = max(abs(x) for row in rows for x in row)
    g = [[to_mpf(x) for x in row] for row in gram_of([[x / scale for x in row] for row in rows])]
    tasks = len(g)
    radius = mpf(c) * mpmath.sqrt(sum(sum(row) for row in g)) / tasks
    start = cagrad_start(rows, c)
    for least in (1e-4, 1e-5, 1e-3, 1e-6, 1e-2, 1e-7):
        some = [i for i in range(tasks) if start[i] > least]
        rank = rank_of([rows[i] for i in some])
        supports = itertools.combinations(some, rank) if rank < len(some) <= 6 else [some]  # gradients that repeat
        for support in supports:
            answer = cagrad_on(g, list(support), start, radius)
            if answer is not None:
                return answer
    return None


def pcgrad_all(rows):
    """The weights of every choice of orders, without repetition; the ascending one first."""
    g = gram_of(rows)
    tasks = len(rows)

    def corrected(i, order):
        w = [Fraction(int(k == i)) for k in range(tasks)]
        for j in order:
            inner = sum(w[k] * g[k][j] for k in range(tasks))
            if inner < 0:
                w[j] -= inner / g[j][j]
        return w

    options = []
    for i in range(tasks):
        others = [j for j in range(tasks) if j != i]
        options.append(list(dict.fromkeys(tuple(corrected(i, order)) for order in itertools.permutations(others))))
    sums = [[sum(part[k] for part in parts) for k in range(tasks)] for parts in itertools.product(*options)]
    return [list(w) for w in dict.fromkeys(map(tuple, sums))]


def gradvac_pair(rows, beta, steps):
    """Two tasks, the same gradients in every step."""
    n, c = units(rows)
    rho = {(0, 1): mpf(0), (1, 0): mpf(0)}
    for _ in range(steps):
        w = [mpf(0), mpf(0)]
        for i, j in ((0, 1), (1, 0)):
            cosine, wanted = c[i, j], rho[i, j]
            w[i] += 1
            if cosine < wanted:
                w[j] += n[i] / n[j] * (wanted * mpmath.sqrt(1 - cosine ** 2) - cosine * mpmath.sqrt(1 - wanted ** 2)) \
                    / mpmath.sqrt(1 - wanted ** 2)
            rho[i, j] = (1 - mpf(beta)) * wanted + mpf(beta) * cosine
    return w


def krum(rows, outliers, selected):
    tasks = len(rows)
    distance = [[sum((x - y) ** 2 for x, y in zip(a, b)) for b in rows] for a in rows]
    scores = [sum(sorted(distance[i][j] for j in range(tasks) if j != i)[:tasks - outliers - 2]) for i in range(tasks)]
    best = sorted(range(tasks), key=lambda i: (scores[i], i))[:selected]
    return [Fraction(int(i in best), selected) for i in range(tasks)]


# ---- of losses ----

def slopes(function, losses):
    """dF/dL, by differences in 50 digits."""
    losses = [mpf(x) for x in losses]
    return [mpmath.diff(lambda x, t=t: function(losses[:t] + [x] + losses[t + 1:]), losses[t])
            for t in range(len(losses))]


def length(x):
    return mpmath.sqrt(sum(a * a for a in x))


def geometric(losses):
    return mpmath.exp(sum(mpmath.log(x) for x in losses) / len(losses))


def logarithmic(losses):
    return sum(mpmath.log(x) for x in losses)


def tchebycheff(a, z, mu):
    return lambda losses: mpf(mu) * mpmath.log(
        sum(mpmath.exp(mpf(p) * (x - mpf(r)) / mpf(mu)) for p, x, r in zip(a, losses, z)))


def tchebycheff_log(nadir, mu):
    return lambda losses: len(nadir) * mpf(mu) * mpmath.log(
        sum(mpmath.exp(mpmath.log(x / y) / mpf(mu)) for x, y in zip(losses, nadir)))


def boundary(a, z, theta):
    def value(losses):
        ray = [mpf(p) / length([mpf(q) for q in a]) for p in a]
        shifted = [x - mpf(r) for x, r in zip(losses, z)]
        along = sum(p * q for p, q in zip(shifted, ray))
        return along + mpf(theta) * length([p - along * q for p, q in zip(shifted, ray)])
    return value


def cosmos(a, weight):
    a = [mpf(p) for p in a]
    return lambda losses: sum(p * x for p, x in zip(a, losses)) - mpf(weight) * sum(
        p * x for p, x in zip(a, losses)) / length(a) / length(losses)


def softmax(x):
    top = max(x)
    y = [mpmath.exp(v - top) for v in x]
    return [v / sum(y) for v in y]


class Adam:
    """Without decay: β 0.9 and 0.999, ε 1e-8 beside the root."""

    def __init__(self, count, rate):
        self.x, self.m, self.v, self.k, self.rate = [mpf(0)] * count, [mpf(0)] * count, [mpf(0)] * count, 0, mpf(rate)

    def step(self, gradient):
        one, two = mpf("0.9"), mpf("0.999")
        self.k += 1
        for i, g in enumerate(gradient):
            self.m[i] = one * self.m[i] + (1 - one) * g
            self.v[i] = two * self.v[i] + (1 - two) * g * g
            self.x[i] -= self.rate * (self.m[i] / (1 - one ** self.k)) / (
                mpmath.sqrt(self.v[i] / (1 - two ** self.k)) + mpf("1e-8"))


def trained(weights_of, loss_of, steps, rate):
    """Weights of the last step; before each later one s takes an Adam step on loss_of(L, s)."""
    adam = Adam(len(steps[0]), rate)
    for k, losses in enumerate(steps):
        answer = weights_of(adam.x)
        if k + 1 < len(steps):
            adam.step(slopes(lambda s, values=losses: loss_of([mpf(v) for v in values], s), adam.x))
    return answer


def uncertainty(steps, rate, full):
    half = mpf(1) if full else mpf(1) / 2
    return trained(lambda s: [half * mpmath.exp(-x) for x in s],
                   lambda losses, s: sum(half * mpmath.exp(-x) * v + x / 2 for x, v in zip(s, losses)), steps, rate)


def imtl_l(steps, rate):
    return trained(lambda s: [mpmath.exp(x) for x in s],
                   lambda losses, s: sum(mpmath.exp(x) * v - x for x, v in zip(s, losses)), steps, rate)


def gradnorm(rows, steps, alpha, rate):
    n, _ = units(rows)
    tasks = len(n)
    adam = Adam(tasks, rate)
    for k, losses in enumerate(steps):
        w = [tasks * x for x in softmax(adam.x)]
        rates = [mpf(x) / mpf(y) for x, y in zip(losses, steps[0])]
        mean = sum(a * b for a, b in zip(w, n)) / tasks
        targets = [mean * (r / (sum(rates) / tasks)) ** mpf(alpha) for r in rates]
        if k + 1 < len(steps):
            adam.step(slopes(lambda s: sum(abs(tasks * x * m - t) for x, m, t in zip(softmax(s), n, targets)), adam.x))
    return w


def rate_weights(newer, older, tau):
    return [len(newer) * x for x in softmax([mpf(a) / mpf(b) / mpf(tau) for a, b in zip(newer, older)])]


def prioritization(success, gamma):
    return [-(1 - mpf(x)) ** mpf(gamma) * mpmath.log(mpf(x)) for x in success]
