#!/usr/bin/env python3
"""Makes a raw dataset of CT-like volumes for the preprocess bench: a body with organs of wobbling surfaces, correlated noise, int16.

usage: make_ct_dataset.py NNUNET_RAW [CASES] [SIZE_XY SIZE_Z]
Writes NNUNET_RAW/Dataset950_BenchCT; by default 12 cases of 512 x 512 x 150, spacing 0.65-0.95 x 0.65-0.95 x 1.5-2.5 mm, 5 organs.
"""
import json, os, sys
import numpy as np, SimpleITK as sitk
from scipy.ndimage import gaussian_filter1d

ORGANS = {'liver': ((0.1, -0.15, -0.35), (0.5, 0.4, 0.38), 110), 'spleen': ((0.1, 0.1, 0.55), (0.25, 0.2, 0.15), 125),
          'kidney': ((-0.3, 0.3, 0.4), (0.3, 0.16, 0.13), 170), 'spine': ((0, 0.55, 0), (3, 0.14, 0.12), 330), 'lung': ((1, -0.1, 0.2), (0.6, 0.5, 0.3), -820)}


def make(seed, nz, nxy):
    rng = np.random.default_rng(seed)
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (nz, nxy, nxy))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    body = ((x / 0.9) ** 2 + (y / 0.75) ** 2 + 0 * z) < 1
    image = np.where(body, np.float32(40), np.float32(-1000))
    labels = np.zeros(image.shape, np.uint8)
    for label, (centre, radii, hu) in enumerate(ORGANS.values(), 1):
        c = np.array(centre) + rng.uniform(-0.05, 0.05, 3); r = np.array(radii) * rng.uniform(0.85, 1.15, 3)
        d = ((z - c[0]) / r[0]) ** 2 + ((y - c[1]) / r[1]) ** 2 + ((x - c[2]) / r[2]) ** 2
        for _ in range(3):
            k = rng.uniform(-9, 9, 3)
            d += np.float32(0.1) * np.sin(np.float32(k[0]) * z + np.float32(k[1]) * y + np.float32(k[2]) * x + np.float32(rng.uniform(0, 6)))
        inside = (d < 1) & body
        image[inside] = hu; labels[inside] = label
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    for axis in (1, 2):
        noise = gaussian_filter1d(noise, 0.8, axis=axis, truncate=3)
    image = np.clip(image + 45 * noise, -1024, 3071)
    return np.round(image).astype(np.int16), labels


def write(array, spacing, file):
    one = sitk.GetImageFromArray(array); one.SetSpacing(spacing)
    sitk.WriteImage(one, file, True, 1)


def main(raw, cases=12, nxy=512, nz=150):
    out = f'{raw}/Dataset950_BenchCT'
    for folder in ('imagesTr', 'labelsTr'): os.makedirs(f'{out}/{folder}', exist_ok=True)
    for i in range(cases):
        rng = np.random.default_rng(1000 + i)
        xy = float(rng.uniform(0.65, 0.95)); spacing = (xy, xy, float(rng.choice([1.5, 2.0, 2.5])))
        image, labels = make(i, nz, nxy)
        write(image, spacing, f'{out}/imagesTr/ct_{i:03d}_0000.nii.gz'); write(labels, spacing, f'{out}/labelsTr/ct_{i:03d}.nii.gz')
    names = {'background': 0, **{name: i for i, name in enumerate(ORGANS, 1)}}
    json.dump(dict(channel_names={'0': 'CT'}, labels=names, numTraining=cases, file_ending='.nii.gz'), open(f'{out}/dataset.json', 'w'), indent=1)


main(sys.argv[1], *map(int, sys.argv[2:]))
