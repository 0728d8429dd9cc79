#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens a file of libmtl with the reference implementation of safetensors, and writes one that libmtl shall read.

Usage: safetensors_roundtrip.py CHECKPOINT OUT

Prints the names, types and shapes of CHECKPOINT's tensors with the bytes of each as hexadecimal CRC-32, then its metadata.
OUT gets the same tensors, each value negated, in an order and with dtypes of its own choice. Exits with 77 when a module
is missing. Made with safetensors 0.8.0 and numpy.
"""
import sys
import zlib

try:
    import numpy
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as error:
    print(error)
    sys.exit(77)


def main(checkpoint, out):
    tensors = {}
    with safe_open(checkpoint, framework="numpy") as file:
        metadata = file.metadata()
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            shape = "x".join(str(size) for size in tensor.shape)
            print(f"tensor {name} {tensor.dtype} {shape} {zlib.crc32(tensor.tobytes()):08x}")
            tensors[name] = -tensor
    for key in sorted(metadata or {}):
        print(f"metadata {key} {metadata[key]!r}")
    for position, name in enumerate(reversed(sorted(tensors))):
        dtype = (numpy.float32, numpy.float64, numpy.float32)[position % 3]
        tensors[name] = tensors[name].astype(dtype)
    save_file(tensors, out, metadata={"writer": "Python \u00e9\U0001F600"})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
