#!/usr/bin/env python3
"""Makes gradient_golden.json: torch's gradients (float64) of convolutions of reproducible noise, some values of each.

Inputs are those of make_conv_golden.py; the output's gradient is `noise` with seed + 6.
Run: python make_gradient_golden.py   (needs numpy, torch)
"""
import base64
import json
import os

import numpy as np
import torch
from make_conv_golden import CASES, f32, noise

LARGE = [
    dict(name='12 to 16 at 48x44x40', grid=[48, 44, 40], parts=[12], outputs=16, kernel=[3, 3, 3], stride=[1, 1, 1]),
    dict(name='8 to 12 at 45x41x38, stride 2', grid=[45, 41, 38], parts=[8], outputs=12, kernel=[3, 3, 3], stride=[2, 2, 2]),
    dict(name='16 to 16 of a plane of 180x200', grid=[1, 180, 200], parts=[16], outputs=16, kernel=[1, 3, 3], stride=[1, 1, 1]),
]
VALUES = 400


def gradients(case, seed=1):
    channels, taps = sum(case['parts']), int(np.prod(case['kernel']))
    shape = (channels, *case['grid'])
    column = lambda values: f32(values).reshape(channels, 1, 1, 1)
    x = noise(int(np.prod(shape)), seed).reshape(shape)
    y = x * column(1 + 0.5 * noise(channels, seed + 1)) + column(noise(channels, seed + 2))
    y = np.maximum(y, y * column(0.01 + 0.005 * noise(channels, seed + 3)))
    weight = f32(noise(case['outputs'] * channels * taps, seed + 4) / np.sqrt(channels * taps / 3))
    v = torch.from_numpy(y)[None].requires_grad_()
    if case.get('transposed'):
        w = torch.from_numpy(weight.reshape(channels, case['outputs'], *case['kernel'])).requires_grad_()
        result = torch.nn.functional.conv_transpose3d(v, w, stride=case['stride'])
    else:
        w = torch.from_numpy(weight.reshape(case['outputs'], channels, *case['kernel'])).requires_grad_()
        padding = [(k - 1) // 2 for k in case['kernel']]
        result = torch.nn.functional.conv3d(v, w, stride=case['stride'], padding=padding)
    dy = torch.from_numpy(noise(result.numel(), seed + 6)).reshape(result.shape)
    dw, dv = torch.autograd.grad(result, [w, v], dy)
    return {'weight': dw, 'data': dv, 'bias': dy.sum((0, 2, 3, 4))}


def stored(tensor):
    values = tensor.numpy().ravel()
    step = max(1, len(values) // VALUES) | 1
    text = base64.b64encode(values[::step].astype('<f4').tobytes()).decode()
    return {'step': step, 'largest': float(np.abs(values).max()), 'values': text}


def main():
    cases = [{**case, **{key: stored(value) for key, value in gradients(case).items()}} for case in CASES + LARGE]
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, 'gradient_golden.json'), 'w') as file:
        json.dump({'torch': torch.__version__, 'cases': cases}, file, indent=1)


if __name__ == '__main__':
    main()
