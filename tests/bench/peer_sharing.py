# SPDX-License-Identifier: Apache-2.0
"""The peer of bench_sharing: the same penalties on the same weights in PyTorch, value and backward.

    peer_sharing.py BENCH [THREADS]

Starts BENCH (build/release/tests/bench_sharing) first, passes its `name value unit` lines on, and adds its own:
torch_<penalty>_T<networks>_t<threads> in ms, and ratio_<penalty>_.. = PyTorch's time over libmtl's. Values are
compared: a penalty on which the two do not agree is an error, after all lines.
"""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

SHAPES = [(1024, 128), (1024, 256), (1024,), (1024,)]  # weight_ih, weight_hh, bias_ih, bias_hh
SECTIONS = ["", "_close", ""]
SECONDS, LEAST, MOST = 0.6, 3, 200


def run_bench(program, threads, path):
    environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads))
    output = subprocess.run([program, str(threads), path], env=environment, check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    print(output, end="", flush=True)
    lines = [line.split() for line in output.splitlines() if not line.startswith("#")]
    return {fields[0]: float(fields[1]) for fields in lines}


def read_sections(path):
    sections = []
    with open(path, "rb") as file:
        for suffix in SECTIONS:
            count = int(np.frombuffer(file.read(4), "<i4")[0])
            stacks = []
            for shape in SHAPES:
                size = int(np.prod(shape))
                weights = [np.frombuffer(file.read(4 * size), "<f4").reshape(shape) for _ in range(count)]
                stacks.append([torch.tensor(w, requires_grad=True) for w in weights])
            sections.append((f"_T{count}{suffix}", stacks))
    return sections


def nuclear(matrix):
    return torch.linalg.matrix_norm(matrix, "nuc")


def pairs(stack):
    return [(i, j) for i in range(len(stack)) for j in range(i + 1, len(stack))]


def l2(stack):
    w = torch.stack(stack)
    return 2 * len(stack) * (w - w.mean(0)).square().sum()


def l2_mean(stack):
    w = torch.stack(stack)
    return (w - w.mean(0)).square().sum()


def trace_differences(stack):
    norm = nuclear if stack[0].dim() > 1 else torch.linalg.vector_norm
    return 2 * sum(norm(stack[i] - stack[j]) for i, j in pairs(stack))


def trace_tasks(stack):
    return nuclear(torch.stack([w.flatten() for w in stack], 1))


def trace_tucker(stack):
    w = torch.stack(stack, -1)
    return sum(nuclear(w.movedim(k, 0).flatten(1)) for k in range(w.dim()))


def trace_tensor_train(stack):
    w = torch.stack(stack, -1)
    return sum(nuclear(w.reshape(int(np.prod(w.shape[:k])), -1)) for k in range(1, w.dim()))


def l1(stack):
    return sum(w.abs().sum() for w in stack)


def l21(stack):
    return torch.linalg.vector_norm(torch.stack(stack, -1), dim=-1).sum()  # quicker than over the first dimension


def linf1(stack):
    return torch.stack(stack).abs().amax(0).sum()


TERMS = [l2, l2_mean, trace_differences, trace_tasks, trace_tucker, trace_tensor_train, l1, l21, linf1]


def threshold(matrix, tau):
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return (u * torch.relu(s - tau)) @ vh


def proximal_differences(stack, tau):
    """Of two networks: their mean stays, their difference is thresholded by 4 tau (each pair counts twice)."""
    first, second = stack
    difference = first - second
    kept = threshold(difference.reshape(len(first), -1), 4 * tau).reshape(first.shape)
    first -= (difference - kept) / 2
    second += (difference - kept) / 2


def proximal_tasks(stack, tau):
    kept = threshold(torch.stack([w.flatten() for w in stack], 1), tau)
    for t, w in enumerate(stack):
        w.copy_(kept[:, t].reshape(w.shape))


def proximal_l21(stack, tau):
    factor = torch.relu(1 - tau / torch.linalg.vector_norm(torch.stack(stack, -1), dim=-1))
    for w in stack:
        w *= factor


PROXIMAL = {"trace_differences": proximal_differences, "trace_tasks": proximal_tasks, "l21": proximal_l21}


def measure(body):
    body()
    times, begin = [], time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[len(times) // 2]


def report(name, figures, milliseconds):
    print(f"torch_{name} {milliseconds:.3f} ms")
    print(f"ratio_{name} {milliseconds / figures['libmtl_' + name]:.2f} x", flush=True)


def bench_term(term, stacks):
    value = 0.0

    def body():
        nonlocal value
        for stack in stacks:
            for w in stack:
                w.grad = None
        omega = sum(term(stack) for stack in stacks)
        omega.backward()
        value = omega.item()

    return measure(body), value


def bench_proximal(step, stacks):
    copies = [[w.detach().clone() for w in stack] for stack in stacks]

    def body():
        for stack in copies:
            step(stack, 1e-12)

    return measure(body)


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights")
        figures = run_bench(sys.argv[1], threads, path)
        sections = read_sections(path)
    print(f"# torch {torch.__version__}")
    wrong = []
    for suffix, stacks in sections:
        for term in TERMS:
            name = term.__name__
            milliseconds, value = bench_term(term, stacks)
            report(f"{name}{suffix}_t{threads}", figures, milliseconds)
            mine = figures[f"libmtl_{name}{suffix}_value"]
            if abs(mine - value) > 1e-4 * abs(value):  # float32 SVD and sums of 6 million values
                wrong.append(f"{name}{suffix}: libmtl {mine}, PyTorch {value}")
        for name, step in PROXIMAL.items():
            if f"libmtl_{name}_proximal{suffix}_t{threads}" in figures:
                report(f"{name}_proximal{suffix}_t{threads}", figures, bench_proximal(step, stacks))
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
