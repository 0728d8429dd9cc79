# SPDX-License-Identifier: Apache-2.0
"""Writes lstm_golden.h: states and gradients of torch.nn.LSTM over packed sequences, in float64, for the numbers of
tests/support/support_sequence.h. Usage: python3 dump_lstm.py > lstm_golden.h  (made with PyTorch 2.13.0)"""
import torch

# name, input, hidden, layers, bidirectional, lengths (PyTorch knows no empty sequence: it is left out there)
CASES = [
    ("one_layer", 3, 18, 1, False, [2, 0, 5, 1, 5]),
    ("reverse_too", 4, 7, 1, True, [3, 7, 0, 1, 2]),
    ("two_layers", 3, 5, 2, False, [1, 4, 6, 2]),
    ("two_layers_both", 2, 4, 2, True, [0, 2, 7, 1, 4, 4]),
]
MASK = 0xFFFFFFFF


def value(stream, k):
    u = ((k + 1) * 2654435761 + (stream + 1) * 2246822519) & MASK
    u ^= u >> 15
    u = u * 2246822519 & MASK
    u ^= u >> 13
    return (u % 2001 - 1000) / 1024.0


def values(stream, shape, scale=1.0):
    n = 1
    for size in shape:
        n *= size
    data = [scale * value(stream, k) for k in range(n)]
    return torch.tensor(data, dtype=torch.float64).reshape(shape)


def dump(name, tensor):
    numbers = tensor.detach().reshape(-1).tolist()
    print(f"static const double {name}[] = {{")
    for at in range(0, len(numbers), 6):
        print("    " + " ".join(f"{x:.10e}," for x in numbers[at:at + 6]))
    print("};")


def run(name, inputs, hidden, layers, bidirectional, lengths):
    directions = 2 if bidirectional else 1
    lstm = torch.nn.LSTM(inputs, hidden, layers, bidirectional=bidirectional, dtype=torch.float64)
    weights = [p for group in lstm.all_weights for p in group]
    with torch.no_grad():
        for k, weight in enumerate(weights):
            weight.copy_(values(10 + k, weight.shape, 0.5))
    tokens = sum(lengths)
    x = values(1, (tokens, inputs)).requires_grad_()
    rows, loss_weights, at = [], [], 0
    for r, length in enumerate(lengths):
        if length:
            rows.append(x[at:at + length])
            loss_weights.append(values(2000 + r, (length, hidden * directions)))
        at += length
    packed = torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    padded, out = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
    states = torch.cat([padded[i, :n] for i, n in enumerate(out.tolist())])
    (states * torch.cat(loss_weights)).sum().backward()
    prefix = "golden_" + name
    print(f"static const int64_t {prefix}_length[] = {{{', '.join(map(str, lengths))}}};")
    dump(prefix + "_states", states)
    dump(prefix + "_dx", x.grad)
    for k, weight in enumerate(weights):
        dump(f"{prefix}_dw{k}", weight.grad)
    gradients = ", ".join([f"{prefix}_dx"] + [f"{prefix}_dw{k}" for k in range(len(weights))])
    print(f"static const double *const {prefix}_gradients[] = {{{gradients}}};\n")


def main():
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(f" * Made by dump_lstm.py with PyTorch {torch.__version__.split('+')[0]}: what torch.nn.LSTM computes in float64. */")
    print("/* clang-format off */")
    for case in CASES:
        run(*case)
    print("static const struct golden_lstm {\n    const char *name;\n    int64_t input, hidden;\n    int32_t layers, "
          "bidirectional;\n    int64_t rows;\n    const int64_t *length;\n    const double *states;\n    const double "
          "*const *gradients;\n} golden_lstm_cases[] = {")
    for name, inputs, hidden, layers, bidirectional, lengths in CASES:
        print(f'    {{"{name}", {inputs}, {hidden}, {layers}, {int(bidirectional)}, {len(lengths)}, golden_{name}_length,'
              f' golden_{name}_states,\n     golden_{name}_gradients}},')
    print("};\n/* clang-format on */")


main()
