"""A CT of 512 x 512 x SLICES (600) as DICOM, for `deno task bench dicom`: python make_ct_series.py FOLDER [SLICES]"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden/dicom"))
from dicom_series import slices  # noqa: E402


class Volume:
    """Slices that are made when they are asked for."""

    dtype = np.dtype(np.int16)

    def __init__(self, depth):
        self.depth = depth
        self.y, self.x = np.mgrid[-1:1:512j, -1:1:512j]
        self.noise = np.random.default_rng(0).normal(0, 15, (512, 512))

    def __len__(self):
        return self.depth

    def __getitem__(self, z):
        body = 1000 * np.exp(-3 * (self.x**2 + self.y**2 + (z / self.depth - 0.5) ** 2))
        return np.round(body + np.roll(self.noise, 37 * z)).astype(np.int16)


depth = int(sys.argv[2]) if len(sys.argv) > 2 else 600
slices(pathlib.Path(sys.argv[1]), Volume(depth), name="1", spacing=(0.7, 0.7, 1.0), rescale=(1, -1024))
