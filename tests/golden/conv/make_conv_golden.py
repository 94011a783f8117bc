#!/usr/bin/env python3
"""Makes conv_golden.json: torch's convolutions (float64) of reproducible noise, every STEP-th output value.

Inputs are not stored: `noise` is the same generator as in tests/engine/conv_harness.ts, and so are the data made of it.
Run: python make_conv_golden.py   (needs numpy, torch)
"""
import base64
import json
import os

import numpy as np
import torch

STEP = 11
MASK = 0xFFFFFFFF

CASES = [
    dict(name='64 to 64, 3x3x3', grid=[10, 9, 13], parts=[64], outputs=64, kernel=[3, 3, 3], stride=[1, 1, 1]),
    dict(name='concat of 20 and 12 to 33, 3x3x3', grid=[8, 12, 9], parts=[20, 12], outputs=33, kernel=[3, 3, 3], stride=[1, 1, 1]),
    dict(name='130 to 70, 3x3x3', grid=[4, 4, 4], parts=[130], outputs=70, kernel=[3, 3, 3], stride=[1, 1, 1]),
    dict(name='32 to 48, stride 2', grid=[12, 11, 10], parts=[32], outputs=48, kernel=[3, 3, 3], stride=[2, 2, 2]),
    dict(name='16 to 24, 1x3x3, stride (1, 2, 2)', grid=[3, 17, 20], parts=[16], outputs=24, kernel=[1, 3, 3], stride=[1, 2, 2]),
    dict(name='32 to 32, 1x3x3', grid=[1, 40, 33], parts=[32], outputs=32, kernel=[1, 3, 3], stride=[1, 1, 1]),
    dict(name='1 to 32, 3x3x3', grid=[9, 10, 11], parts=[1], outputs=32, kernel=[3, 3, 3], stride=[1, 1, 1]),
    dict(name='6 to 9, 1x7x5', grid=[2, 15, 14], parts=[6], outputs=9, kernel=[1, 7, 5], stride=[1, 1, 1]),
    dict(name='32 to 3, 1x1x1', grid=[7, 8, 9], parts=[32], outputs=3, kernel=[1, 1, 1], stride=[1, 1, 1]),
    dict(name='48 to 20, transposed', grid=[4, 5, 6], parts=[48], outputs=20, kernel=[2, 2, 2], stride=[2, 2, 2], transposed=True),
]


def noise(length, seed):
    state = (seed * 2654435761 % 2 ** 32) | 1
    out = np.empty(length, np.float64)
    for i in range(length):
        state = ((state ^ state >> 15) * 0x2C1B3C6D + 0x9E3779B9) & MASK
        mixed = ((state ^ state >> 13) * 0x297A2D39) & MASK
        out[i] = (mixed ^ mixed >> 16) / 2147483648 - 1
    return out.astype(np.float32).astype(np.float64)


def f32(values):
    return values.astype(np.float32).astype(np.float64)


def run(case, seed=1):
    channels, taps = sum(case['parts']), int(np.prod(case['kernel']))
    shape = (channels, *case['grid'])
    column = lambda values: f32(values).reshape(channels, 1, 1, 1)
    x = noise(int(np.prod(shape)), seed).reshape(shape)
    y = x * column(1 + 0.5 * noise(channels, seed + 1)) + column(noise(channels, seed + 2))
    y = np.maximum(y, y * column(0.01 + 0.005 * noise(channels, seed + 3)))
    weight = f32(noise(case['outputs'] * channels * taps, seed + 4) / np.sqrt(channels * taps / 3))
    bias = torch.from_numpy(noise(case['outputs'], seed + 5))
    y = torch.from_numpy(y)[None]
    if case.get('transposed'):
        w = torch.from_numpy(weight.reshape(channels, case['outputs'], *case['kernel']))
        return torch.nn.functional.conv_transpose3d(y, w, bias, stride=case['stride'])[0]
    w = torch.from_numpy(weight.reshape(case['outputs'], channels, *case['kernel']))
    padding = [(k - 1) // 2 for k in case['kernel']]
    return torch.nn.functional.conv3d(y, w, bias, stride=case['stride'], padding=padding)[0]


def main():
    cases = []
    for case in CASES:
        values = run(case).numpy().astype(np.float32).ravel()[::STEP]
        cases.append({**case, 'values': base64.b64encode(values.astype('<f4').tobytes()).decode()})
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, 'conv_golden.json'), 'w') as file:
        json.dump({'torch': torch.__version__, 'step': STEP, 'cases': cases}, file, indent=1)


if __name__ == '__main__':
    main()
