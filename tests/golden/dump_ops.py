# SPDX-License-Identifier: Apache-2.0
"""Writes ops_golden.h: values and gradients of operations and losses, computed by PyTorch in float64.

    python3 dump_ops.py > ops_golden.h

Inputs are rounded to float32 first, so that both libraries compute with the same numbers. The gradients are those of
the sum of the output times `weights`. Last written with PyTorch 2.13.0 (CPU)."""
import math

import torch
import torch.nn.functional as F

torch.manual_seed(20)
NAN = math.nan


def rounded(values):
    return values.to(torch.float32).to(torch.float64)


def randn(*shape, scale=1.0):
    return rounded(torch.randn(*shape, dtype=torch.float64) * scale)


def rand(*shape, low=0.0, high=1.0):
    return rounded(torch.rand(shape, dtype=torch.float64) * (high - low) + low)


def real(rows):
    return rounded(torch.tensor(rows, dtype=torch.float64))


def ints(values):
    return torch.tensor(values, dtype=torch.int64)


CASES = []


def case(op, function, inputs, argument=0.0):
    """inputs: float64 tensors (differentiated), int64 tensors or None."""
    inputs = [x.clone().requires_grad_() if x is not None and x.dtype == torch.float64 else x for x in inputs]
    y = function(*inputs)
    weights = rand(*y.shape, low=0.5, high=1.5)
    reals = [x for x in inputs if x is not None and x.dtype == torch.float64]
    gradients = iter(torch.autograd.grad((y * weights).sum(), reals))
    pairs = [(x, next(gradients) if x is not None and x.dtype == torch.float64 else None) for x in inputs]
    CASES.append((op, argument, pairs, weights, y.detach()))


def of_pairs(function):
    """The mean over targets that are not NaN, as the documentation of PyTorch tells to do it."""

    def masked(x, t, *rest):
        has = ~torch.isnan(t)
        return function(x[has], t[has], *rest)

    return masked


def huber(delta):
    return of_pairs(lambda x, t: F.huber_loss(x, t, delta=delta))


def binary(z, t, w=None):
    """As torch.nn.BCEWithLogitsLoss; with `w` differentiated it is written out, and compared."""
    has = ~torch.isnan(t)
    known = torch.where(has, t, 0.5)
    expected = F.binary_cross_entropy_with_logits(z, known, pos_weight=None if w is None else w.detach(),
                                                  reduction="none")[has].mean()
    if w is None:
        return expected
    value = -(w * known * F.logsigmoid(z) + (1 - known) * F.logsigmoid(-z))[has].mean()
    assert abs(value.item() - expected.item()) < 1e-12
    return value


def cross_entropy(smoothing=0.0):
    """As torch.nn.CrossEntropyLoss(ignore_index=-1); with `w` differentiated it is written out, and compared."""

    def loss(x, labels, w=None):
        expected = F.cross_entropy(x, labels, None if w is None else w.detach(), ignore_index=-1,
                                   label_smoothing=smoothing)
        if w is None:
            return expected
        has = labels >= 0
        logs = -F.log_softmax(x[has], -1)
        mine = w[labels[has]]
        sharp = (mine * logs.gather(1, labels[has][:, None])[:, 0]).sum()
        smooth = (logs * w).sum()
        value = ((1 - smoothing) * sharp + smoothing / x.shape[1] * smooth) / mine.sum()
        assert abs(value.item() - expected.item()) < 1e-12
        return value

    return loss


def orthogonality(center, normalize, mean):
    """||A^T B||_F^2; with everything set the loss of domain separation networks."""

    def loss(a, b):
        if center:
            a, b = a - a.mean(0), b - b.mean(0)
        if normalize:
            a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
        squares = (a.T @ b).square()
        return squares.mean() if mean else squares.sum()

    return loss


x = randn(3, 5)
case("linear", F.linear, [randn(4, 3), randn(2, 3), randn(2)])
case("add", torch.add, [randn(2, 3, 4), randn(3, 4)])
case("mul", torch.mul, [randn(2, 3, 4), randn(4)])
case("scale", lambda a: a * -1.75, [x], -1.75)
wide = real([-30, -9.5, -4, -1, -0.25, -1e-4, 0, 1e-4, 0.25, 0.9, 1, 2.5, 4, 9.5, 30])
case("tanh", torch.tanh, [wide])
case("sigmoid", torch.sigmoid, [wide])
case("relu", torch.relu, [wide])
case("gelu", F.gelu, [wide])
case("softmax", lambda a: a.softmax(-1), [randn(2, 4, 3)])
case("softmax", lambda a: a.softmax(-1), [real([[100, -100, 99], [1000, 1000, 1000], [-500, -501, -502]])])
case("log_softmax", lambda a: a.log_softmax(-1), [randn(2, 4, 3)])
case("log_softmax", lambda a: a.log_softmax(-1), [real([[100, -100, 99], [1000, 1000, 1000], [-500, -501, -502]])])
case("layer_norm", lambda a, g, b: F.layer_norm(a, (6,), g, b, 1e-5), [randn(3, 6), randn(6), randn(6)], 1e-5)
case("layer_norm", lambda a: F.layer_norm(a, (6,), None, None, 0.1), [randn(3, 6)], 0.1)
case("concat", lambda a, b: torch.cat([a, b], -1), [randn(3, 2), randn(3, 4)])
case("rows", lambda a, i: a[i], [randn(4, 3), ints([2, 0, 2, 3, 2])])
case("sum", torch.sum, [x])
case("mean", torch.mean, [x])
labels = ints([2, 0, -1, 1, 2, -1])
weights = rand(3, low=0.5, high=2)
case("cross_entropy", cross_entropy(), [randn(6, 3), ints([2, 0, 1, 1, 2, 0])])
case("cross_entropy", cross_entropy(), [randn(6, 3), labels])
case("cross_entropy", cross_entropy(), [randn(6, 3), labels, weights])
case("cross_entropy", cross_entropy(0.1), [randn(6, 3), labels], 0.1)
case("cross_entropy", cross_entropy(0.3), [randn(6, 3), labels, weights], 0.3)
case("cross_entropy", cross_entropy(), [real([[80, -80, 0], [300, 300, 299]]), ints([1, 2])])
logits = torch.cat([randn(4, 3), real([[40, -40, 0], [-60, 60, 100]])])
targets = torch.cat([rand(4, 3), real([[1, 1, 1], [0, 0, 1]])])
case("binary_cross_entropy", binary, [logits, targets])
targets[0, 1] = targets[2, 0] = NAN
case("binary_cross_entropy", binary, [logits, targets, rand(3, low=0.5, high=3)])
targets = randn(4, 3)
targets[1, 1] = targets[3, 2] = NAN
case("mean_squared_error", F.mse_loss, [randn(4, 3), randn(4, 3)])
case("mean_squared_error", of_pairs(F.mse_loss), [randn(4, 3), targets])
case("huber", huber(0.5), [randn(4, 3), randn(4, 3)], 0.5)
case("huber", huber(1.5), [randn(4, 3), targets], 1.5)
for bits in (0, 1, 2, 4, 7):  # center, normalize, mean
    flags = [bits >> i & 1 for i in range(3)]
    case("orthogonality", orthogonality(*flags), [randn(6, 4), randn(6, 3)], float(bits))
    case("orthogonality", orthogonality(*flags), [randn(2, 12), randn(2, 14)], float(bits))  # few rows
case("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, dim=-1).mean(), [randn(5, 4), randn(5, 4)], 0.0)
case("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, dim=-1).square().mean(), [randn(5, 4), randn(5, 4)],
     1.0)


def number(value):
    return "(double)NAN" if math.isnan(value) else f"{value:.10g}"


def array(name, values, ctype="double"):
    text = [str(v) if ctype == "int32_t" else number(v) for v in values.flatten().tolist()]
    lines, line = [], "   "
    for item in text:
        if len(line) + len(item) + 2 > 116:
            lines.append(line)
            line = "   "
        line += f" {item},"
    print(f"static const {ctype} {name}[] = {{")
    print("\n".join(lines + [line]))
    print("};")


def shape(tensor):
    return f"{tensor.dim()}, {{{', '.join(map(str, tensor.shape)) or '0'}}}"


print(f"""/* SPDX-License-Identifier: Apache-2.0
 * Values and gradients of operations and losses from PyTorch {torch.__version__}, float64; written by dump_ops.py. */""")
rows = []
for n, (op, argument, pairs, weights, y) in enumerate(CASES):
    fields = []
    for i, (value, gradient) in enumerate(pairs):
        name = f"case{n}_in{i}"
        if value.dtype == torch.int64:
            array(name, value, "int32_t")
            fields.append(f"{{{shape(value)}, NULL, NULL, {name}}}")
        else:
            array(name, value.detach())
            array(f"case{n}_d{i}", torch.nan_to_num(gradient, nan=0.0))
            fields.append(f"{{{shape(value)}, {name}, case{n}_d{i}, NULL}}")
    array(f"case{n}_w", weights)
    array(f"case{n}_y", y)
    rows.append(f'    {{"{op}", {argument}, {len(pairs)},\n     {{' + ",\n      ".join(fields) +
                f"}},\n     {{{shape(y)}, case{n}_y, case{n}_w, NULL}}}},")
print("\nstatic const golden_case golden_cases[] = {")
print("\n".join(rows))
print("};")
