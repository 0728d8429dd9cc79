# SPDX-License-Identifier: Apache-2.0
"""The peer of bench_train: the same model on the same rows in PyTorch, in the forms that people use.

    peer_train.py DUMP [THREADS [BATCHES]]

DUMP is what bench_train wrote. Prints `name value unit` lines; tokens are real ones, padding does not count.
"""
import struct
import sys
import time

import numpy as np
import torch

EMBEDDING, HIDDEN, VOCABULARY, WARM_UP = 128, 256, 30000, 3


def read_batches(path):
    batches = []
    with open(path, "rb") as file:
        while head := file.read(8):
            (rows,) = struct.unpack("<q", head)
            offsets = np.frombuffer(file.read(8 * (rows + 1)), "<i8")
            ids = np.frombuffer(file.read(4 * int(offsets[-1])), "<i4")
            labels = np.frombuffer(file.read(8 * rows), "<i4").reshape(2, rows)
            batches.append((offsets, ids, labels))
    return batches


class Network(torch.nn.Module):
    def __init__(self, sparse):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING, sparse=sparse)
        self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.sentiment = torch.nn.Linear(HIDDEN, 2)
        self.topic = torch.nn.Linear(HIDDEN, 4)

    def forward(self, ids, lengths, packed):
        x = self.embedding(ids)
        if packed:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            _, (h, _) = self.lstm(x)
            h = h[0]
        else:
            states, _ = self.lstm(x)
            h = states[torch.arange(len(lengths)), lengths - 1]
        return self.sentiment(h), self.topic(h)


def pad(batch):
    offsets, ids, labels = batch
    lengths = np.diff(offsets)
    padded = np.zeros((len(lengths), lengths.max()), np.int64)
    for r, length in enumerate(lengths):
        padded[r, :length] = ids[offsets[r]:offsets[r + 1]]
    return torch.from_numpy(padded), torch.from_numpy(lengths), torch.from_numpy(labels.astype(np.int64))


def optimizers(network, sparse):
    if not sparse:
        return [torch.optim.Adam(network.parameters())]
    rest = [p for name, p in network.named_parameters() if not name.startswith("embedding")]
    return [torch.optim.SparseAdam(list(network.embedding.parameters())), torch.optim.Adam(rest)]


def measure(name, batches, count, sparse, packed):
    torch.manual_seed(0)
    network = Network(sparse)
    steps = optimizers(network, sparse)
    loss_function = torch.nn.CrossEntropyLoss(ignore_index=-1)
    rates, tokens, total = [], 0, 0.0
    for i, batch in enumerate(batches[:WARM_UP + count]):
        start = time.perf_counter()
        ids, lengths, labels = pad(batch)
        outputs = network(ids, lengths, packed)
        loss = sum(loss_function(outputs[t], labels[t]) for t in range(2) if (labels[t] >= 0).any())
        for step in steps:
            step.zero_grad()
        loss.backward()
        for step in steps:
            step.step()
        if i >= WARM_UP:
            elapsed = time.perf_counter() - start
            rates.append(int(lengths.sum()) / elapsed)
            tokens += int(lengths.sum())
            total += elapsed
    rates.sort()
    print(f"{name} {tokens / total:.0f} tokens/s")
    print(f"{name}_median {rates[len(rates) // 2]:.0f} tokens/s")
    print(f"{name}_min {rates[0]:.0f} tokens/s")
    print(f"{name}_max {rates[-1]:.0f} tokens/s", flush=True)


def main():
    batches = read_batches(sys.argv[1])
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else len(batches) - WARM_UP
    torch.set_num_threads(threads)
    print(f"# torch {torch.__version__}")
    measure(f"torch_padded_t{threads}", batches, count, sparse=False, packed=False)
    torch.set_flush_denormal(True)
    measure(f"torch_padded_ftz_t{threads}", batches, count, sparse=False, packed=False)
    measure(f"torch_padded_ftz_sparse_t{threads}", batches, count, sparse=True, packed=False)
    measure(f"torch_packed_ftz_t{threads}", batches, min(count, 5), sparse=False, packed=True)


if __name__ == "__main__":
    main()
