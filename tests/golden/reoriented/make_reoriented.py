#!/usr/bin/env python3
"""What SimpleITKIOWithReorient of nnU-Net 2.8.1 reads from NIfTI files of every orientation, and writes for them, with SimpleITK 2.5.7.

    python make_reoriented.py

with nnunetv2 2.8.1 and SimpleITK installed; writes reoriented.json beside itself. `turned` are files of 5 x 6 x 7 voxels, 0, 1, 2, ... as
int16, described by their first 352 bytes: all 48 orientations, oblique ones, and random directions with both handednesses. `headers` are
the files of ../headers/nii. The segmentation that is written is the voxel's index in the array that was read, modulo 5.
sha: the first 16 hex digits of SHA-256, of the float32 array, of the written file's voxels, of its first 348 bytes.
"""
import gzip
import hashlib
import itertools
import json
import os
import tempfile
import warnings
from pathlib import Path

for name in ('raw', 'preprocessed', 'results'):
    os.environ['nnUNet_' + name] = tempfile.mkdtemp()
warnings.filterwarnings('ignore')

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIOWithReorient

sitk.ProcessObject.SetGlobalWarningDisplay(False)
HERE = Path(__file__).parent
NII = HERE.parent / 'headers' / 'nii'
OUT = tempfile.mkdtemp() + '/seg.nii.gz'


def sha(data):
    return hashlib.sha256(data).hexdigest()[:16]


def read_and_write(file, hexes):
    rw = SimpleITKIOWithReorient()
    try:
        image, properties = rw.read_images([str(file)])
    except Exception as error:
        return {'error': str(error).strip().splitlines()[-1][-100:]}
    stuff = properties['sitk_stuff']
    result = {'shape': image.shape, 'spacing': [float(x) for x in properties['spacing']], 'sitk': stuff,
              'sha': sha(np.ascontiguousarray(image).tobytes())}
    if not all(np.isfinite(x) for key in ('spacing', 'origin', 'direction') for x in stuff[key]):
        return {'error': 'not finite'}
    seg = (np.arange(image[0].size) % 5).reshape(image.shape[1:])
    try:
        rw.write_seg(seg, OUT, properties)
    except Exception as error:
        return {**result, 'writeError': str(error).strip().splitlines()[-1][-100:]}
    written = gzip.open(OUT).read()
    header = written[:352].hex() if hexes else sha(written[:348])
    return {**result, 'written': {'header': header, 'sha': sha(written[352:])}}


def orthogonal(rng):
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return q if rng.random() < 0.5 else -q


def turn(degrees, axis):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    i, j = [(1, 2), (0, 2), (0, 1)][axis]
    r = np.eye(3)
    r[i, i], r[i, j], r[j, i], r[j, j] = c, -s, s, c
    return r


def directions():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.eye(3)[:, order] * signs
    pir = np.eye(3)[:, [1, 2, 0]] * (1, -1, 1)
    for degrees in (9, 30, 44.9, 45, 45.1, 60):
        for axis in range(3):
            yield turn(degrees, axis)
            yield pir @ turn(-degrees, axis) @ turn(20, (axis + 1) % 3)
    # Equal cosines, where the order of the search decides.
    yield np.array([[2, 2, 1], [-2, 1, 2], [1, -2, 2]]) / 3
    yield np.array([[1, 2, 2], [2, 1, -2], [2, -2, 1]]) / 3
    yield np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3
    rng = np.random.default_rng(7)
    for _ in range(20):
        yield orthogonal(rng)


def turned():
    voxels = np.arange(5 * 6 * 7, dtype=np.int16).reshape(7, 6, 5)
    for direction in directions():
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing((0.8, 0.9, 2.5))
        image.SetOrigin((-11.5, 7.25, 30.0))
        image.SetDirection(direction.ravel().tolist())
        file = tempfile.mkdtemp() + '/image.nii'
        sitk.WriteImage(image, file)
        yield {'file': Path(file).read_bytes()[:352].hex(), **read_and_write(file, True)}


headers = {file.name: read_and_write(file, False) for file in sorted(NII.iterdir()) if not file.name.endswith('.img')}
result = {'turned': list(turned()), 'headers': headers}
(HERE / 'reoriented.json').write_text('{\n' + ',\n'.join(
    f' {json.dumps(key)}: ' + ('[\n  ' + ',\n  '.join(json.dumps(one) for one in value) + '\n ]' if isinstance(value, list) else
                             '{\n  ' + ',\n  '.join(f'{json.dumps(k)}: {json.dumps(v)}' for k, v in value.items()) + '\n }')
    for key, value in result.items()) + '\n}\n')
