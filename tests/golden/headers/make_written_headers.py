"""The 352 bytes that nnU-Net's own writers put before the voxels, for some of the cases of expected.json.

Usage (venv with nnunetv2 2.5.1): python make_written_headers.py > written_headers.json, in this folder.
NibabelIOWithReorient's writer is the one of 2.5.2 (2.5.1's is wrong for PIR). Hex digits; seg = flat index % 5.
"""
import gzip, json, os, tempfile
import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

CASES = ['base', 'orient_RAS', 'orient_PIR', 'oblique9_axis2', 'oblique_PIR', 'dim2', 'dim2_inplane', 'shear_s_only', 'none', 'units_micron']


def fixed_write(self, seg, path, props):
    stuff = props['nibabel_stuff']
    img = nib.Nifti1Image(seg.transpose((2, 1, 0)).astype(np.uint8, copy=False), affine=stuff['reoriented_affine'])
    back = ornt_transform(axcodes2ornt('RAS'), io_orientation(stuff['original_affine']))
    nib.save(img.as_reoriented(back), path)


NibabelIOWithReorient.write_seg = fixed_write
here = os.path.dirname(os.path.abspath(__file__))
out = {}
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'seg.nii.gz')
    for case in CASES:
        for rw in (SimpleITKIO(), NibabelIO(), NibabelIOWithReorient()):
            try:
                img, props = rw.read_images([os.path.join(here, 'nii', case + '.nii.gz')])
            except (AssertionError, RuntimeError):
                continue
            rw.write_seg((np.arange(img[0].size) % 5).reshape(img.shape[1:]), path, props)
            out.setdefault(case, {})[type(rw).__name__] = gzip.open(path).read()[:352].hex()
print(json.dumps(out, indent=1))
