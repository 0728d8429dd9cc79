#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes torch_checkpoint.safetensors: an embedding, a two-layer bidirectional LSTM and a linear layer as PyTorch saves
them, under the names that a libmtl model gives to the same parameters.

The logits of a small batch, computed in float64 from the float32 weights, are in the metadata as "expected".
Usage: dump_torch_checkpoint.py OUT. Made with torch 2.13.0 and safetensors 0.8.0.
"""
import sys

import torch
from safetensors.torch import save_file

ROWS = [[2, 3, 4], [6], [1, 2, 5, 5, 3]]


def main(out):
    torch.manual_seed(7)
    modules = {
        "encoder.embedding": torch.nn.Embedding(7, 3),
        "encoder.lstm": torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True),
        "topic": torch.nn.Linear(8, 2),
    }
    tensors = {}
    for prefix, module in modules.items():
        for name, tensor in module.state_dict().items():
            tensors[f"{prefix}.{name}"] = tensor.clone()
        module.double()
    expected = []
    with torch.no_grad():
        for row in ROWS:
            embedded = modules["encoder.embedding"](torch.tensor([row]))
            _, (h, _) = modules["encoder.lstm"](embedded)
            logits = modules["topic"](torch.cat([h[-2], h[-1]], dim=1))
            expected += logits.flatten().tolist()
    save_file(tensors, out, metadata={"format": "pt", "expected": " ".join(f"{value:.17g}" for value in expected)})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
