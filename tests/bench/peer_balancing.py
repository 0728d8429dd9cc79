# SPDX-License-Identifier: Apache-2.0
"""The peer of bench_balancing: the same model on the same rows in PyTorch, balanced by TorchJD and by hand.

    peer_balancing.py BENCH [THREADS [REPEATS]]    1 3, about 2 minutes

Starts BENCH (build/release/tests/bench_balancing), which does one training step when asked, and takes steps of the two
in turn, on the same batch. Prints `name value unit` lines: median and min of both, ratio_.. = PyTorch's time over
libmtl's, of medians and of minima. A step is forward, backward with balancing, and Adam. Losses and the norm of the
plain gradient are compared first: where the two do not agree, there is nothing to compare.

PyTorch is given its best form: a padded LSTM (packed is slower), flush-to-zero, and of TorchJD's options the quickest.
TorchJD forms dense gradients of the embedding table for each task (it refuses sparse ones), so its optimizer is Adam.
`plain_sparse` is the unbalanced step with sparse embedding gradients and SparseAdam.

Last run with torch 2.13.0 (CPU), torchjd 0.18.0, cvxpy 1.9.3, clarabel 0.11.1, ecos 2.0.14, quadprog 0.1.14:
pip install torch torchjd cvxpy clarabel ecos quadprog qpsolvers
"""
import os
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from torchjd.aggregation import MGDA, CAGrad, NashMTL, PCGrad, UPGrad
from torchjd.autojac import jac_to_grad, mtl_backward

QUIET = 0.02  # seconds in which PyTorch's threads stop spinning, so that they do not disturb the other side
SIZES = [2, 4, 8, 16, 32]
TABLE = 16  # tasks with which every method is compared


class Bench:
    """bench_balancing, one step at a time."""

    def __init__(self, program, threads, path):
        environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads))
        self.process = subprocess.Popen([program, "serve", str(threads), path], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("bench_balancing did not start")

    def ask(self, what, variant, tasks, overlap, batch):
        time.sleep(QUIET)
        self.process.stdin.write(f"{what} {variant} {tasks} {int(overlap)} {batch}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def step(self, variant, tasks, overlap, batch):
        return float(self.ask("step", variant, tasks, overlap, batch)[0])

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Rows:
    """The weights and the batches that the bench has written."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.sizes = np.frombuffer(file.read(28), "<i4").tolist()
            vocabulary, embedding, hidden, classes, tasks, batches, rows = self.sizes
            shapes = [(vocabulary, embedding), (4 * hidden, embedding), (4 * hidden, hidden), (4 * hidden,),
                      (4 * hidden,)] + [(classes, hidden), (classes,)] * tasks
            self.weights = [self.read(file, shape) for shape in shapes]
            self.batches = [self.read_batch(file, rows) for _ in range(batches)]

    @staticmethod
    def read(file, shape):
        return torch.from_numpy(np.frombuffer(file.read(4 * int(np.prod(shape))), "<f4").reshape(shape).copy())

    @staticmethod
    def read_batch(file, rows):
        offsets = np.frombuffer(file.read(8 * (rows + 1)), "<i8")
        ids = np.frombuffer(file.read(4 * int(offsets[-1])), "<i4")
        labels = torch.from_numpy(np.frombuffer(file.read(4 * rows), "<i4").astype(np.int64))
        lengths = np.diff(offsets)
        padded = np.zeros((rows, lengths.max()), np.int64)
        for r, length in enumerate(lengths):
            padded[r, :length] = ids[offsets[r]:offsets[r + 1]]
        return torch.from_numpy(padded), torch.from_numpy(lengths), labels


class Network(torch.nn.Module):
    def __init__(self, rows, tasks, sparse):
        super().__init__()
        vocabulary, embedding, hidden, classes, _, _, _ = rows.sizes
        self.embedding = torch.nn.Embedding(vocabulary, embedding, sparse=sparse)
        self.lstm = torch.nn.LSTM(embedding, hidden, batch_first=True)
        self.heads = torch.nn.ModuleList(torch.nn.Linear(hidden, classes) for _ in range(tasks))
        with torch.no_grad():
            for parameter, values in zip(self.parameters(), rows.weights):
                parameter.copy_(values)
        self.shared = list(self.embedding.parameters()) + list(self.lstm.parameters())

    def features(self, ids, lengths):
        states, _ = self.lstm(self.embedding(ids))
        return states[torch.arange(len(lengths)), lengths - 1]

    def losses(self, h, labels, overlap):
        row, tasks, result = torch.arange(len(labels)), len(self.heads), []
        for t, head in enumerate(self.heads):
            mine = row if overlap else row[t::tasks]
            target = (labels + t * (1 + row % 3)) % head.out_features if overlap else labels[mine]
            result.append(torch.nn.functional.cross_entropy(head(h[mine]), target))
        return result


# ---- what puts the gradients of a network into .grad; all are called with (network, features, losses) ----

def plain(network, h, losses):
    sum(losses).backward()


def torchjd(aggregator, chunk, gramian):
    def balance(network, h, losses):
        mtl_backward(losses, features=h, shared_params=network.shared,
                     tasks_params=[list(head.parameters()) for head in network.heads], parallel_chunk_size=chunk)
        jac_to_grad(network.shared, aggregator, optimize_gramian_computation=gramian)
    return balance


def task_gradients(network, losses):
    """The usual loop: a backward pass for each task, gradients flattened."""
    rows = []
    for t, loss in enumerate(losses):
        own = list(network.heads[t].parameters())
        grads = torch.autograd.grad(loss, network.shared + own, retain_graph=True)
        for p, g in zip(own, grads[len(network.shared):]):
            p.grad = g
        rows.append(torch.cat([g.flatten() for g in grads[:len(network.shared)]]))
    return rows


def write_gradient(network, flat):
    at = 0
    for p in network.shared:
        p.grad = flat[at:at + p.numel()].view(p.shape)
        at += p.numel()


def pcgrad_by_hand(network, h, losses):
    """Yu et al. 2020, as the algorithm is written: vectors are projected."""
    grads = task_gradients(network, losses)
    total = torch.zeros_like(grads[0])
    for i in range(len(grads)):
        g = grads[i].clone()
        for j in torch.randperm(len(grads)).tolist():
            inner = torch.dot(g, grads[j])
            if j != i and inner < 0:
                g -= inner / grads[j].square().sum() * grads[j]
        total += g
    write_gradient(network, total)


def mgda_by_hand(network, h, losses):
    """Sener & Koltun 2018: Frank-Wolfe on the inner products."""
    stacked = torch.stack(task_gradients(network, losses))
    gram = (stacked @ stacked.T).double().numpy()
    w = np.full(len(gram), 1 / len(gram))
    for _ in range(250):
        gw = gram @ w
        t = int(np.argmin(gw))
        down, up = w @ gw - gw[t], w @ gw - 2 * gw[t] + gram[t, t]
        step = min(max(down / up, 0), 1) if up > 0 else 0
        if step < 1e-5:
            break
        w *= 1 - step
        w[t] += step
    write_gradient(network, torch.from_numpy(w).float() @ stacked)


class Trainer:
    def __init__(self, rows, tasks, overlap, balance, sparse=False):
        self.rows, self.overlap, self.balance = rows, overlap, balance
        self.network = Network(rows, tasks, sparse)
        rest = [p for p in self.network.parameters() if not sparse or p is not self.network.embedding.weight]
        self.steps = [torch.optim.Adam(rest)]
        if sparse:
            self.steps.append(torch.optim.SparseAdam([self.network.embedding.weight]))

    def backward(self, batch):
        ids, lengths, labels = self.rows.batches[batch]
        for step in self.steps:
            step.zero_grad()
        h = self.network.features(ids, lengths)
        losses = self.network.losses(h, labels, self.overlap)
        self.balance(self.network, h, losses)
        return float(sum(losses).detach())

    def step(self, batch):
        begin = time.perf_counter()
        self.backward(batch)
        for step in self.steps:
            step.step()
        return 1e3 * (time.perf_counter() - begin)


def check(bench, rows, tasks, overlap):
    trainer = Trainer(rows, tasks, overlap, plain)
    loss = trainer.backward(0)
    norm = float(torch.cat([p.grad.flatten() for p in trainer.network.parameters()]).double().norm())
    mine, length = (float(value) for value in bench.ask("check", "plain", tasks, overlap, 0))
    if abs(mine - loss) > 1e-4 * loss or abs(length - norm) > 1e-3 * norm:  # float32, other orders of summation
        sys.exit(f"T={tasks}: libmtl has loss {mine}, norm {length}; PyTorch {loss}, {norm}")


def quickest_form(rows, tasks):
    """Of TorchJD's options, where they work."""
    best, least = None, float("inf")
    for chunk in (1, None):
        for gramian in (True, False):
            name = f"chunk={chunk or 'all'} gramian={'by_parameter' if gramian else 'whole'}"
            try:
                trainer = Trainer(rows, tasks, False, torchjd(UPGrad(), chunk, gramian))
                elapsed = trainer.step(0)
                elapsed = min(elapsed, trainer.step(0)) if elapsed < 3 * least else elapsed
            except RuntimeError as error:
                print(f"# torchjd {name}: {str(error).splitlines()[0]}")
                continue
            print(f"# torchjd {name}: {elapsed:.0f} ms")
            if elapsed < least:
                best, least = (chunk, gramian), elapsed
    return best


def compare(bench, rows, threads, tasks, overlap, name, variant, balance, repeats, sparse=False):
    trainer = Trainer(rows, tasks, overlap, balance, sparse)
    trainer.step(0)
    bench.step(variant, tasks, overlap, 0)
    theirs, ours = [], []
    for i in range(repeats):
        batch = i % len(rows.batches)
        theirs.append(trainer.step(batch))
        ours += [bench.step(variant, tasks, overlap, batch) for _ in range(2)]
    where = f"T{tasks}{'_overlap' if overlap else ''}_t{threads}"
    for side, times in ((f"torch_{name}_{where}", theirs), (f"libmtl_{variant}_{where}_beside_{name}", ours)):
        print(f"{side} {np.median(times):.2f} ms")
        print(f"{side}_min {min(times):.2f} ms")
    print(f"ratio_{name}_{where} {np.median(theirs) / np.median(ours):.2f} x")
    print(f"ratio_{name}_{where}_min {min(theirs) / min(ours):.2f} x", flush=True)
    return min(theirs), min(ours)


def print_growth(name, times):
    """Least squares over the numbers of tasks: ms for each task more, and what of the variance that explains."""
    tasks, values = np.array(list(times)), np.array(list(times.values()))
    slope, start = np.polyfit(tasks, values, 1)
    print(f"{name}_per_task {slope:.3f} ms")
    print(f"{name}_at_T0 {start:.2f} ms")
    print(f"{name}_r2 {np.corrcoef(tasks, values)[0, 1] ** 2:.4f} 1", flush=True)


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "dump")
        bench = Bench(sys.argv[1], threads, path)
        rows = Rows(path)
    print(f"# torch {torch.__version__}")
    check(bench, rows, TABLE, False)
    check(bench, rows, TABLE, True)
    form = quickest_form(rows, TABLE)

    def run(tasks, overlap, name, variant, balance, count, sparse=False):
        return compare(bench, rows, threads, tasks, overlap, name, variant, balance, count, sparse)

    run(TABLE, False, "plain", "plain", plain, 8)
    run(TABLE, False, "plain_sparse", "plain", plain, 8, sparse=True)
    for name, aggregator in (("pcgrad", PCGrad()), ("mgda", MGDA()), ("cagrad", CAGrad(c=0.5))):
        run(TABLE, False, f"torchjd_{name}", name, torchjd(aggregator, *form), repeats)
    nash = torchjd(NashMTL(n_tasks=TABLE), 1, False)  # takes the whole matrix only: one task at a time is quicker
    run(TABLE, False, "torchjd_nash", "nash", nash, repeats)
    run(TABLE, False, "hand_pcgrad", "pcgrad", pcgrad_by_hand, repeats)
    run(TABLE, False, "hand_mgda", "mgda", mgda_by_hand, repeats)
    theirs, ours = {}, {}
    for tasks in SIZES:
        balance = torchjd(UPGrad(), *form)
        theirs[tasks], ours[tasks] = run(tasks, False, "torchjd_upgrad", "upgrad", balance, repeats)
    print_growth(f"torch_torchjd_upgrad_t{threads}", theirs)
    print_growth(f"libmtl_upgrad_t{threads}", ours)
    run(TABLE, False, "torchjd_upgrad_to_discarded", "upgrad_discarded", torchjd(UPGrad(), *form), repeats)
    run(TABLE, True, "torchjd_upgrad", "upgrad", torchjd(UPGrad(), *form), repeats)
    bench.end()


if __name__ == "__main__":
    main()
