# SPDX-License-Identifier: Apache-2.0
"""Writes linalg_golden.h: singular values, polar factors and eigenvalues, computed by LAPACK through NumPy in float64.

    python3 dump_linalg.py > linalg_golden.h

The matrices are not stored: their elements are small integers over 64, which the test makes by the same formula and which
float holds exactly. Last written with NumPy 2.4.6 (OpenBLAS)."""
import numpy as np

SHAPES = [(1, 1), (7, 1), (1, 9), (12, 5), (5, 12), (33, 33), (96, 40), (40, 96), (300, 64), (150, 130)]
HILBERT = [3, 8, 20, 40]


def pattern(rows, columns):
    i = np.arange(rows)[:, None]
    j = np.arange(columns)[None, :]
    return ((i * 37 + j * 101 + i * i * j * 13 + i * j * j * 7) % 257 - 128) / 64.0


def numbers(values):
    out = ""
    for begin in range(0, len(values), 4):
        out += "    " + " ".join(f"{float(x)!r}," for x in values[begin:begin + 4]) + "\n"
    return out


def main():
    values, probes, rows = [], [], []
    for m, n in SHAPES:
        a = pattern(m, n)
        u, s, vt = np.linalg.svd(a, full_matrices=False)
        assert s[-1] > 1e-4 * s[0], (m, n, s[-1] / s[0])
        polar = u @ vt
        rows.append((m, n, len(values), s[0] / s[-1]))
        values += list(s)
        # The polar factor's inner products with four patterns of the same shape.
        for k in range(4):
            probes.append(float(np.sum(polar * np.roll(pattern(m, n), k + 1, axis=0 if m > n else 1))))
    eigen, sizes = [], []
    for n in HILBERT:
        h = 1.0 / (np.arange(n)[:, None] + np.arange(n)[None, :] + 1)
        sizes.append((n, len(eigen)))
        eigen += list(np.linalg.eigvalsh(h)[::-1])
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(f" * Written by dump_linalg.py with NumPy {np.__version__}; do not edit. */")
    print("#ifndef TESTS_LINALG_GOLDEN_H\n#define TESTS_LINALG_GOLDEN_H\n")
    print("/* clang-format off */")
    print("static const struct { int rows, columns, first; double condition; } golden_shapes[] = {")
    for m, n, first, condition in rows:
        print(f"    {{{m}, {n}, {first}, {condition:.6g}}},")
    print("};\n\n/* Descending, shape after shape. */\nstatic const double golden_singular_values[] = {")
    print(numbers(values) + "};\n\n/* Four for each shape. */\nstatic const double golden_polar_probes[] = {")
    print(numbers(probes) + "};\n\n/* Hilbert matrices 1 / (i + j + 1): size, first eigenvalue. */")
    print("static const int golden_hilbert[][2] = {")
    for n, first in sizes:
        print(f"    {{{n}, {first}}},")
    print("};\n\nstatic const double golden_hilbert_values[] = {")
    print(numbers(eigen) + "};\n/* clang-format on */\n\n#endif")


main()
