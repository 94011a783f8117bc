"""What SimpleITK and nibabel read from the segmentations that this program writes.

Usage: deno run --allow-read --allow-write write_cases.ts FOLDER; python make_read_back.py FOLDER > read_back.json
sha256 is of the decompressed file; the facts hold for files with these bytes. `same_voxels`: nibabel's array, brought to the image's
stored grid, is the segmentation: flat index % (highest + 1) in the reader's own array order, the highest at index 3.
"""
import gzip, hashlib, json, os, sys
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

here, out = os.path.dirname(os.path.abspath(__file__)), {}
for name in sorted(os.listdir(sys.argv[1])):
    path = os.path.join(sys.argv[1], name)
    case, reader, highest = name[:-len('.nii.gz')].split('__')
    rw = {'SimpleITKIO': SimpleITKIO, 'NibabelIO': NibabelIO, 'NibabelIOWithReorient': NibabelIOWithReorient}[reader]()
    image = os.path.join(here, 'nii', case + '.nii.gz')
    seg, props = rw.read_seg(path)
    img, image_props = rw.read_images([image])
    want = np.arange(seg.size) % (int(highest) + 1)
    want[3] = int(highest)
    i, s = sitk.ReadImage(path), sitk.ReadImage(image)
    a, b = nib.load(path), nib.load(image)
    out[name] = {'sha256': hashlib.sha256(gzip.open(path).read()).hexdigest(), 'type': str(a.get_data_dtype()),
                 'same_voxels': bool(seg.shape[1:] == img.shape[1:] and (seg.ravel() == want).all()),
                 'same_spacing': bool(np.allclose(props['spacing'], image_props['spacing'])),
                 'same_itk_geometry': bool(np.allclose(i.GetSpacing(), s.GetSpacing()) and np.allclose(i.GetOrigin(), s.GetOrigin())
                                           and np.allclose(i.GetDirection(), s.GetDirection()) and i.GetSize() == s.GetSize()),
                 'same_affine': bool(np.allclose(a.affine, b.affine, atol=1e-5) and a.shape == b.shape)}
print(json.dumps(out, indent=1))
