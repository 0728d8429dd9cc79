#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the tables of balance_table.sh from the outputs of its runs: python3 balance_table.py OUT"""
import glob
import os
import re
import statistics
import sys


def outputs(folder):
    """(method, seed, text) of each run."""
    for path in sorted(glob.glob(os.path.join(folder, "*.txt"))):
        method, seed, _ = os.path.basename(path).rsplit(".", 2)
        with open(path, encoding="utf-8", errors="replace") as file:
            yield method, int(seed), file.read()


def processor_seconds(text):
    """What `times` of the shell wrote last; NaN without it."""
    found = re.findall(r"^(\d+)m([\d.]+)s (\d+)m([\d.]+)s$", text, re.M)
    if not found:
        return float("nan")
    a, b, c, d = map(float, found[-1])
    return 60 * (a + c) + b + d


def read_reviews(folder):
    """runs[method][seed] = (errors by task in percent, development error, processor seconds)"""
    runs, failed = {}, []
    for method, seed, text in outputs(folder):
        tasks = re.findall(r"^(\w+) +\d+ +[\d.]+ +([\d.]+) +[\d.]+ of \d+$", text, re.M)
        result = re.search(r"^RESULT.*\tdevelopment=([\d.]+)\t", text, re.M)
        if not result or len(tasks) != 16:
            failed.append((method, seed, text.strip().splitlines()[-2:]))
            continue
        errors = {name: float(error) for name, error in tasks}
        runs.setdefault(method, {})[seed] = (errors, float(result[1]), processor_seconds(text))
    return runs, failed


def read_joint(folder):
    """Likewise; the development error is the mean over the tasks of the last epoch."""
    runs, failed = {}, []
    for method, seed, text in outputs(folder):
        tests = re.findall(r"^test +(\w+) +accuracy ([\d.]+)", text, re.M)
        held = dict(re.findall(r"^validation +(\w+) +accuracy ([\d.]+)", text, re.M))  # the last of each task
        if len(tests) != (1 if method.endswith("_alone") else 2):
            failed.append((method, seed, text.strip().splitlines()[-2:]))
            continue
        errors = {name: 100 * (1 - float(accuracy)) for name, accuracy in tests}
        development = statistics.mean(100 * (1 - float(held[name])) for name in errors)
        runs.setdefault(method, {})[seed] = (errors, development, processor_seconds(text))
    return runs, failed


def delta_m(errors, baseline):
    """mtl_delta_m() of errors: lower is better; in percent."""
    return 100 * statistics.mean((baseline[t] - errors[t]) / baseline[t] for t in baseline)


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def print_table(runs, baseline, tasks):
    rows = []
    for method, seeds in runs.items():
        means = [statistics.mean(errors.values()) for errors, _, _ in seeds.values()]
        deltas = [delta_m(errors, baseline) for errors, _, _ in seeds.values()]
        row = [statistics.mean(means), method, spread(means), statistics.mean(deltas), spread(deltas)]
        row.append(statistics.mean(development for _, development, _ in seeds.values()))
        times = [seconds for _, _, seconds in seeds.values() if seconds == seconds]
        row.append(statistics.mean(times) if times else float("nan"))
        row += [statistics.mean(errors[t] for errors, _, _ in seeds.values()) for t in tasks]
        rows.append((row, len(seeds)))
    titles = "".join(f" {t} |" for t in tasks)
    print(f"| method | test error | Δ_m, % |{titles} development | s |")
    print("|---|---|---|" + "---|" * len(tasks) + "---|---|")
    for row, seeds in sorted(rows):
        mean, method, sd, delta, delta_sd, development, seconds, *by_task = row
        note = "" if seeds == 3 else f" ({seeds} seeds)"
        cells = "".join(f" {value:.2f} |" for value in by_task)
        print(f"| `{method}`{note} | {mean:.2f} ± {sd:.2f} | {delta:+.1f} ± {delta_sd:.1f} |{cells} {development:.2f} "
              f"| {seconds:.0f} |")
    sds = [row[2] for row, seeds in rows if seeds > 1]
    if sds:
        print(f"\nmedian of the standard deviations: {statistics.median(sds):.2f}")


def mean_errors(seeds):
    names = next(iter(seeds.values()))[0]
    return {t: statistics.mean(errors[t] for errors, _, _ in seeds.values()) for t in names}


def main():
    out = sys.argv[1]
    runs, failed = read_reviews(os.path.join(out, "reviews"))
    print("16 kinds of reviews\n")
    print_table(runs, mean_errors(runs["single"]), [])
    joint, failed_joint = read_joint(os.path.join(out, "joint"))
    alone = [joint.pop(name) for name in ("reviews_alone", "news_alone") if name in joint]
    if len(alone) == 2:
        baseline = {**mean_errors(alone[0]), **mean_errors(alone[1])}
        both = alone[0].keys() & alone[1].keys()
        joint["single"] = {s: ({**alone[0][s][0], **alone[1][s][0]}, (alone[0][s][1] + alone[1][s][1]) / 2,
                               alone[0][s][2] + alone[1][s][2]) for s in both}
        print("\nSentiment and topic\n")
        print_table(joint, baseline, ["sentiment", "topic"])
    for method, seed, lines in failed + failed_joint:
        print(f"\nFAILED: {method}, seed {seed}: {' / '.join(lines)}")


main()
