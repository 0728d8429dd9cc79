# SPDX-License-Identifier: Apache-2.0
"""The peers of bench_infer: the same network in PyTorch (eager, flush-to-zero set) and in ONNX Runtime.

    peer_infer.py BENCH_INFER [THREADS [REPEATS]]

Runs bench_infer, PyTorch and ONNX Runtime in turn, REPEATS times (3), and prints for each case the least of the medians and
ratios over ours. ONNX Runtime is left out where the packages onnx and onnxruntime are missing.
"""
import io
import statistics
import subprocess
import sys
import time

import torch

VOCABULARY = 30000
SIZES = {"infer_100_128": (100, 128), "infer_128_256": (128, 256)}
CASES = ((1, 40, 300), (1, 230, 100), (64, 40, 40), (64, 230, 10))


class Network(torch.nn.Module):
    def __init__(self, embedding, hidden):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, embedding)
        self.lstm = torch.nn.LSTM(embedding, hidden, batch_first=True)
        self.sentiment = torch.nn.Linear(hidden, 2)
        self.topic = torch.nn.Linear(hidden, 4)

    def forward(self, ids):
        _, (h, _) = self.lstm(self.embedding(ids))
        return self.sentiment(h[0]), self.topic(h[0])


def median_us(run, repeats):
    times = []
    for r in range(-5, repeats):
        start = time.perf_counter()
        run()
        if r >= 0:
            times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times)


def onnx_session(network, ids, threads):
    try:
        import onnxruntime
    except ImportError:
        return None
    file = io.BytesIO()
    torch.onnx.export(network, (ids,), file, input_names=["ids"], dynamo=False,
                      dynamic_axes={"ids": {0: "rows", 1: "tokens"}})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def measure_peers(threads, results):
    for name, (embedding, hidden) in SIZES.items():
        network = Network(embedding, hidden).eval()
        session = onnx_session(network, torch.zeros((1, 8), dtype=torch.long), threads)
        for rows, tokens, repeats in CASES:
            ids = torch.randint(0, VOCABULARY, (rows, tokens))
            case = f"{name}_batch{rows}_tokens{tokens}"
            with torch.inference_mode():
                results.setdefault((case, "pytorch"), []).append(median_us(lambda: network(ids), repeats))
            if session:
                feed = {"ids": ids.numpy()}
                results.setdefault((case, "onnxruntime"), []).append(
                    median_us(lambda: session.run(None, feed), repeats))


def measure_ours(program, threads, results):
    output = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        name, value, _ = line.split()
        if name.endswith("_median"):
            results.setdefault((name[:-len("_median")], "libmtl"), []).append(float(value))


def main():
    program = sys.argv[1]
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    results = {}
    for _ in range(repeats):
        measure_ours(program, threads, results)
        measure_peers(threads, results)
    for (case, who), values in sorted(results.items()):
        print(f"{case}_{who} {min(values):.1f} us")
        if who != "libmtl":
            print(f"{case}_{who}_ratio {min(values) / min(results[(case, 'libmtl')]):.2f} x")


main()
