"""What the scripts that make golden files of augmentation share: samples by formula (inputs.ts has the same), and how results are stored."""
import base64
import json
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
STEP = 13
DRAWS = 10_000


def image(shape, k=0.0):
    n = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    return (10 * np.sin(0.37 * n + k) + 3 * np.cos(0.011 * n)).astype(np.float32)


def labels(shape, num, off=0):
    g = np.meshgrid(*[np.arange(s) for s in shape], indexing='ij')
    return (sum((a + 1) * (c // (4 + a)) for a, c in enumerate(g)) % num + off).astype(np.int16)


def floats(a):
    return base64.b64encode(np.ascontiguousarray(a, np.float32).ravel()[::STEP].tobytes()).decode()


def ints(a):
    return base64.b64encode(np.ascontiguousarray(a).astype(np.int8).tobytes()).decode()


def tensor(a):
    return torch.from_numpy(np.array(a))


def quantiles(values):
    """201 quantiles, from the smallest to the largest of DRAWS values."""
    v = np.sort(np.array(values[:DRAWS], np.float64))
    return [float('%.5g' % q) for q in v[(np.arange(201) * (DRAWS - 1)) // 200]]


def write(name, content):
    lines = ',\n'.join('%s: %s' % (json.dumps(k), '[\n' + ',\n'.join(json.dumps(i) for i in v) + '\n]' if isinstance(v, list)
                                  else json.dumps(v)) for k, v in content.items())
    path = HERE / name
    path.write_text('{\n' + lines + '\n}\n')
    print(path.name, path.stat().st_size, 'bytes')
