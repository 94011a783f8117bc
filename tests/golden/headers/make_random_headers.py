"""Random NIfTI-1 headers (rotations, flips, nearly equal forms, far origins, negative voxel sizes) and what SimpleITK and nibabel make
of their geometry.

Usage (venv with SimpleITK 2.5.7, nibabel 5.4): python make_random_headers.py > random_headers.json, in this folder.
Exact 45 degree rotations are left out of `nibabel`: which axis is the nearest is then decided by the last bit of LAPACK's SVD.
"""
import json, os, sys, tempfile
import numpy as np
import nibabel as nib
import SimpleITK as sitk
from nibabel.orientations import io_orientation

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_header_cases as m

rng = np.random.default_rng(5)


def random_rotation():
    w, x, y, z = (lambda q: q / np.linalg.norm(q))(rng.normal(size=4))
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def header():
    R = m.codes_to_R(rng.choice(['LPS', 'RAS', 'PIR', 'AIL', 'LAS', 'RSA', 'SRA', 'IPR']))
    kind = rng.integers(4)
    if kind == 1:
        R = R @ m.rot(rng.normal() * rng.choice([1e-6, 1e-4, 1e-2, 5]), rng.integers(3))
    if kind == 2:
        R = R @ random_rotation()
    if kind == 3:
        R = m.codes_to_R('LPS') @ m.rot(45, 2)
    sp = rng.choice([0.1, 0.3, .8, .9, 1.5, 2.5, 5.0], 3) if rng.random() < .8 else rng.uniform(.05, 6, 3)
    A = m.mat(R, sp, rng.normal(size=3) * rng.choice([0, 1, 100, 1000, 30000]))
    S = A.copy()
    change = rng.integers(6)
    if change == 1:
        S[:3, :3] = S[:3, :3] @ np.diag(rng.choice([1, -1], 3))
    if change == 2:
        S[:3, 3] += rng.normal(size=3) * 10.0 ** rng.integers(-7, 1)
    if change == 3:
        S[rng.integers(3), rng.integers(3)] += rng.normal() * 10.0 ** rng.integers(-7, 0)
    if change == 4:
        S[:3, :3] = S[:3, :3] @ m.rot(rng.normal() * 10.0 ** rng.integers(-5, 1), rng.integers(3))
    pix = [float(x) for x in sp * rng.choice([1, -1, 1.01], 3)] if rng.random() < .15 else None
    return kind, m.nifti(dim=[2, 3, 4] if rng.random() < .1 else [3, 3, 4, 5], dtype='uint8', q=A, s=S, pixdim=pix,
                         qcode=int(rng.choice([0, 1, 1, 2, 4])), scode=int(rng.choice([0, 1, 1, 2, 2, 3])),
                         units=int(rng.choice([10, 10, 2, 0, 1, 3, 18])))


with tempfile.TemporaryDirectory() as folder:
    path, rows = os.path.join(folder, 'x.nii'), []
    for _ in range(100):
        kind, b = header()
        open(path, 'wb').write(b)
        # bytes 40..348 say everything; the description is cut out
        row = {'dim_to_units': b[40:124].hex(), 'forms': b[252:328].hex()}
        try:
            i = sitk.ReadImage(path)
            row['sitk'] = [i.GetSpacing(), i.GetOrigin(), i.GetDirection()]
        except RuntimeError:
            row['sitk'] = None
        i = nib.load(path)
        if kind != 3:
            row['nibabel'] = None
            if i.ndim == 3:
                r = i.as_reoriented(io_orientation(i.affine))
                row['nibabel'] = [i.affine[:3].ravel().tolist(), r.affine[:3].ravel().tolist(), [float(z) for z in r.header.get_zooms()], r.shape]
        rows.append(row)
sys.stderr.flush()
print('[' + ',\n'.join(json.dumps(r, separators=(',', ':')) for r in rows) + ']')
