# SPDX-License-Identifier: Apache-2.0
"""Solves the objectives of examples/schools.c again, with other formulations and solvers, and compares the minima.

    schools --data school.csv --splits 1 --tolerance 1e-7 --dump schools.tsv
    python3 check_schools.py school.csv schools.tsv

For each last fit in the dump it prints both objective values and their relative difference, and ends with status 1 when
one differs by more than 1e-5. How each minimum is found here:

- ridge, mean: the linear equations of the stationary point;
- l21, dirty: as a cone program, by cvxpy with Clarabel;
- trace: with W = U V and (|U|^2 + |V|^2) / 2 for the trace norm (Srebro, Rennie & Jaakkola 2005), by scipy's L-BFGS;
- robust: the same, and s = a v with (a^2 + |v|^2) / 2 for the norm of an outlier task;
- clustered: the penalty's value and gradient from numpy's SVD and a root search for the matrix M, by L-BFGS.

Each feature is divided by its largest magnitude in the table, as there; the bias of a school is eliminated by taking
the means off. Every value here is of a point, and so an upper bound on the minimum. Last run with
Python 3.11, numpy 2.4.6, scipy 1.17.1, cvxpy 1.9.3 (Clarabel)."""
import csv
import math
import sys

import numpy as np
from scipy.optimize import brentq, minimize

TOLERANCE = 1e-5


class Problem:
    """sum_t 1/2 |X_t w_t - y_t|^2, by triangular factors; W is [features, tasks]."""

    def __init__(self, rows, lines):
        tasks = sorted({int(row[0]) for row in rows})
        by_task = {task: [] for task in tasks}
        most = np.abs(rows).max(axis=0)
        for line in lines:
            by_task[int(rows[line][0])].append(np.concatenate([rows[line][1:2], rows[line][2:] / most[2:]]))
        self.factors, self.targets, self.rest = [], [], 0.0
        for task in tasks:
            data = np.array(by_task[task], dtype=np.float64)
            data -= data.mean(axis=0)
            y, x = data[:, 0], data[:, 1:]
            q, r = np.linalg.qr(x)
            self.factors.append(r)
            self.targets.append(q.T @ y)
            self.rest += 0.5 * (y @ y - (q.T @ y) @ (q.T @ y))
        self.tasks, self.features = len(tasks), x.shape[1]
        self.grams = [r.T @ r for r in self.factors]
        self.moments = [r.T @ q for r, q in zip(self.factors, self.targets)]

    def loss(self, w):
        """Value and gradient."""
        value, gradient = self.rest, np.empty_like(w)
        for t in range(self.tasks):
            residual = self.factors[t] @ w[:, t] - self.targets[t]
            value += 0.5 * residual @ residual
            gradient[:, t] = self.factors[t].T @ residual
        return value, gradient


def lbfgs(function, start):
    result = minimize(function, start, jac=True, method="L-BFGS-B",
                      options={"maxiter": 20000, "maxfun": 40000, "maxcor": 50, "ftol": 1e-15, "gtol": 1e-7})
    return result.fun


def solve_ridge(problem, c, _, __):
    w = np.stack([np.linalg.solve(g + 2 * c * np.eye(problem.features), m)
                  for g, m in zip(problem.grams, problem.moments)], axis=1)
    return problem.loss(w)[0] + c * np.sum(w * w)


def solve_mean(problem, c, ridge, _):
    d, tasks = problem.features, problem.tasks
    matrix = np.zeros((d * tasks, d * tasks))
    for t in range(tasks):
        here = slice(t * d, (t + 1) * d)
        matrix[here, here] += problem.grams[t]
    coupling = 2 * c * (np.eye(tasks) - np.full((tasks, tasks), 1 / tasks)) + 2 * ridge * np.eye(tasks)
    matrix += np.kron(coupling, np.eye(d))
    w = np.linalg.solve(matrix, np.concatenate(problem.moments)).reshape(tasks, d).T
    away = w - w.mean(axis=1, keepdims=True)
    return problem.loss(w)[0] + c * np.sum(away * away) + ridge * np.sum(w * w)


def cone_program(problem, penalty):
    """penalty: from a function that makes variables to (W, its value)."""
    import cvxpy as cp
    shape = (problem.features, problem.tasks)
    w, value = penalty(cp, lambda: cp.Variable(shape))
    residuals = cp.hstack([r @ w[:, t] - q for t, (r, q) in enumerate(zip(problem.factors, problem.targets))])
    program = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(residuals) + value))
    program.solve(solver=cp.CLARABEL, tol_gap_rel=1e-9, tol_gap_abs=1e-6, tol_feas=1e-9)
    return program.value + problem.rest


def solve_l21(problem, c, _, __):
    def penalty(cp, make):
        w = make()
        return w, c * cp.sum(cp.norm(w, 2, axis=1))
    return cone_program(problem, penalty)


def solve_dirty(problem, first, second, _):
    def penalty(cp, make):
        p, q = make(), make()
        return p + q, first * cp.sum(cp.norm(p, "inf", axis=1)) + second * cp.sum(cp.abs(q))
    return cone_program(problem, penalty)


def solve_factored(problem, c, outliers):
    d, tasks = problem.features, problem.tasks
    rank = min(d, tasks)
    cut = [d * rank, d * rank + rank * tasks, d * rank + rank * tasks + tasks]

    def parts(x):
        u, v = x[:cut[0]].reshape(d, rank), x[cut[0]:cut[1]].reshape(rank, tasks)
        a, s = (x[cut[1]:cut[2]], x[cut[2]:].reshape(d, tasks)) if outliers else (np.zeros(0), np.zeros((d, 0)))
        return u, v, a, s

    def function(x):
        u, v, a, s = parts(x)
        value, g = problem.loss(u @ v + (s * a if outliers else 0))
        value += c / 2 * (np.sum(u * u) + np.sum(v * v)) + (outliers or 0) / 2 * (np.sum(a * a) + np.sum(s * s))
        gradient = [(g @ v.T + c * u).ravel(), (u.T @ g + c * v).ravel()]
        if outliers:
            gradient += [np.sum(g * s, axis=0) + outliers * a, (g * a + outliers * s).ravel()]
        return value, np.concatenate(gradient)

    size = cut[2] + d * tasks if outliers else cut[1]
    return lbfgs(function, np.random.default_rng(7).normal(size=size) * 0.5)


def solve_trace(problem, c, _, __):
    return solve_factored(problem, c, None)


def solve_robust(problem, first, second, _):
    return solve_factored(problem, first, second)


def solve_clustered(problem, c, eta, clusters):
    shape = (problem.features, problem.tasks)

    def spectrum(sigma):
        """The eigenvalues of M on the singular vectors: clip(sigma / nu - eta, 0, 1) with the sum `clusters`."""
        if np.count_nonzero(sigma) <= clusters:
            return np.where(sigma > 0, 1.0, 0.0)
        most = sigma[0] / eta
        least = sigma[sigma > 0][-1] / (1 + eta) / 2
        nu = brentq(lambda n: np.clip(sigma / n - eta, 0, 1).sum() - clusters, least, most, xtol=1e-300, rtol=1e-15)
        return np.clip(sigma / nu - eta, 0, 1)

    def function(x):
        w = x.reshape(shape)
        value, gradient = problem.loss(w)
        left, sigma, right = np.linalg.svd(w, full_matrices=False)
        factor = c * eta * (1 + eta) / (eta + spectrum(sigma))
        value += np.sum(factor * sigma * sigma)
        return value, (gradient + (left * (2 * factor * sigma)) @ right).ravel()

    return lbfgs(function, np.random.default_rng(7).normal(size=shape[0] * shape[1]) * 0.1)


SOLVERS = {"ridge": solve_ridge, "mean": solve_mean, "l21": solve_l21, "dirty": solve_dirty, "trace": solve_trace,
           "robust": solve_robust, "clustered": solve_clustered}


def main(table, dump):
    with open(table, newline="") as file:
        rows = np.array(list(csv.reader(file))[1:], dtype=np.float64)
    worst, problem = 0.0, None
    with open(dump) as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "split":
                problem = Problem(rows, [int(i) for i in fields[2:]])
                continue
            split, method, first, second, clusters = fields[1], fields[2], *map(float, fields[3:6])
            objective = float(fields[6])
            ours = SOLVERS[method](problem, first, second, int(clusters))
            difference = objective / ours - 1
            worst = max(worst, abs(difference))
            print(f"split {split}  {method:10}  schools {objective:.8g}  here {ours:.8g}  relative {difference:+.1e}",
                  flush=True)
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE:g}")
    return 0 if worst <= TOLERANCE and math.isfinite(worst) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
