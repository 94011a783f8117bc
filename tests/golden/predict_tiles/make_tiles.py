"""Tile positions, importance maps and padding as nnU-Net 2.5.1 makes them. Run with the real nnU-Net installed:
   python tests/golden/predict_tiles/make_tiles.py"""
import hashlib
import itertools
import json
import os

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(1)

tiles = []
fixed = [(110, 64, .5), (64, 64, .5), (65, 64, .5), (96, 64, .5), (97, 64, .5), (30, 64, .5), (31, 64, .5), (1, 7, .5),
         (300, 96, .5), (200, 40, .3), (77, 24, 1.0), (50, 20, .75), (5, 1, .5), (1, 1, .5)]
drawn = [(int(rng.integers(1, 400)), int(rng.integers(1, 129)), float(rng.choice([.1, .25, .3, .5, .6, .75, .9, 1.])))
         for _ in range(60)]
for image, patch, step in fixed + drawn:
    padded, slicer = pad_nd_image(np.zeros((1, image), np.float32), (patch,), 'constant', {'constant_values': 0}, True)
    below = int(slicer[1].start or 0)
    steps = compute_steps_for_sliding_window((padded.shape[1],), (patch,), step)[0]
    tiles.append({"image": image, "patch": patch, "step": step, "origins": [int(s) - below for s in steps]})

maps = []
for patch in [(40, 56, 40), (20, 28, 20), (16, 16, 16), (3, 5, 7), (8, 1, 12), (128, 128, 128), (14, 96, 80), (24, 24),
              (256, 224), (1, 9), (97, 33)]:
    g = compute_gaussian(patch, sigma_scale=1. / 8, value_scaling_factor=10, dtype=torch.float16,
                         device=torch.device('cpu')).numpy()
    full = patch if len(patch) == 3 else (1, *patch)
    picked = [int(i) for i in np.linspace(0, g.size - 1, 25).astype(int)]
    maps.append({"patch": list(full), "sha256_of_float32": hashlib.sha256(g.astype('<f4').tobytes()).hexdigest(),
                 "indices": picked, "values": [float(g.reshape(-1)[i]) for i in picked],
                 "smallest": float(g.min()), "count_of_smallest": int((g == g.min()).sum())})

mirrors = []
for axes in [None, (0,), (0, 1), (0, 1, 2), (1, 2), (2, 0)]:
    subsets = [] if axes is None else [list(c) for i in range(len(axes)) for c in itertools.combinations(axes, i + 1)]
    mirrors.append({"axes": axes, "subsets": subsets})

with open(os.path.join(here, 'tiles.json'), 'w') as f:
    json.dump({"tiles": tiles, "importance": maps, "mirrors": mirrors}, f, indent=0)
