"""Small segmentations with images, and what numpy, SimpleITK and scikit-image say of their classes.

Run with numpy, nibabel, SimpleITK and scikit-image: python make_measure_golden.py; writes the folder cases/ and expected.json beside
this file. Counts, sizes, boxes and centroids are SimpleITK's (LabelShapeStatistics), of PNG scikit-image's regionprops; mean, standard
deviation, median, lowest and highest value are numpy's in float64, and mean and extremes SimpleITK's LabelIntensityStatistics agree with
them. The surface is that of scikit-image's marching cubes (Lewiner): its number of triangles is the one to have, its volume that of another
way to cut the same loops into triangles.
"""
import itertools
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from skimage.io import imsave
from skimage.measure import marching_cubes, regionprops

HERE = Path(__file__).parent
CASES = HERE / "cases"
RNG = np.random.default_rng(17)


def lumps(shape, labels, sigma=2.0):
    fields = [ndimage.gaussian_filter(RNG.normal(size=shape), sigma) for _ in labels]
    return np.array(labels)[np.argmax(fields, 0)].astype(np.uint8)


def rotation(a, b, c):
    from scipy.spatial.transform import Rotation
    return Rotation.from_euler("xyz", [a, b, c], degrees=True).as_matrix()


def save_sitk(path, array, spacing, origin, direction):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(o) for o in origin])
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    sitk.WriteImage(image, str(path), True)


def volumes():
    """name, segmentation, channels, spacing x y z, origin, direction, regions."""
    shape = (13, 15, 17)
    plain = np.eye(3)
    seg = lumps(shape, [0, 0, 1, 2, 3])
    ct = (ndimage.gaussian_filter(RNG.normal(size=shape), 1) * 800 - 100).astype(np.int16)
    mr = RNG.gamma(2, 300, shape).astype(np.float32)
    yield "oblique", seg, [ct, mr], (0.7, 0.9, 2.5), (-120.5, 33.25, 410), rotation(20, -15, 40), {"whole": [1, 2, 3], "core": [2, 3]}
    yield "left_handed", seg, [ct], (1.1, 0.8, 3), (10, -20, 30), np.diag([1, 1, -1]), {"whole": [1, 2, 3]}
    yield "lumps", lumps((24, 26, 28), [0, 0, 0, 1, 2], 3.0), [RNG.normal(size=(24, 26, 28)).astype(np.float32)], (1, 1, 1), (0, 0, 0), plain, {}
    noise = RNG.integers(0, 4, (6, 7, 8)).astype(np.uint8)
    yield "noise", noise, [RNG.integers(-3, 4, (6, 7, 8)).astype(np.int16)], (1, 2, 1.5), (5, 6, 7), plain, {"two": [1, 3]}
    z, y, x = np.mgrid[:27, :27, :27] - 13
    ball = ((z**2 + y**2 + x**2) <= 144).astype(np.uint8)
    yield "ball", ball, [], (1, 1, 1), (-13, -13, -13), plain, {}
    voxels = np.zeros((5, 5, 6), np.uint8)
    voxels[0, 0, 0] = 1
    voxels[1, 1, 2] = voxels[2, 2, 2] = 2  # touch along an edge
    voxels[2, 3, 4] = voxels[3, 4, 5] = 3  # touch in a corner
    yield "voxels", voxels, [np.arange(150, dtype=np.int16).reshape(5, 5, 6)], (2, 3, 4), (1, 2, 3), plain, {}
    box = np.zeros((8, 9, 10), np.uint8)
    box[2:7, 3:8, 1:9] = 1
    values = np.linspace(-1, 1, 720).astype(np.float32).reshape(8, 9, 10)
    values[3, 4, 5], values[3, 4, 6], values[3, 4, 7] = np.nan, np.inf, -np.inf
    yield "not_finite", box, [values, np.full(box.shape, -7.25, np.float32)], (1, 1, 1), (0, 0, 0), plain, {}
    many = np.zeros(1000, np.uint16)
    many[:900] = np.repeat(np.arange(1, 301), 3)
    yield "many", RNG.permutation(many).reshape(10, 10, 10), [RNG.integers(-9999, 9999, (10, 10, 10)).astype(np.int16)], (1, 1, 2), (0, 0, 0), plain, {}


def surface_of(mask, spacing):
    """A little below 0.5, where the faces of a cube that have two ways are decided as here: voxels that touch along an edge are joined."""
    if not mask.any():
        return None
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5 - 1e-5, spacing=spacing)
    triangles = vertices[faces].astype(float)
    volume = abs(np.einsum("ij,ij->i", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum()) / 6
    return {"mm3": volume, "triangles": len(faces)}


def statistics(values):
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return {"excluded": int(values.size)}
    return {
        "excluded": int(values.size - finite.size), "mean": finite.mean(), "std": finite.std(), "median": float(np.median(finite)),
        "min": finite.min(), "max": finite.max(),
    }


def shape_of(mask, like):
    """SimpleITK's: box from low to high, which is excluded, in voxels; centroid in mm (LPS)."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(like)
    if not mask.any():
        return {"voxels": 0}
    found = sitk.LabelShapeStatisticsImageFilter()
    found.Execute(image)
    n = mask.ndim
    box = found.GetBoundingBox(1)
    index = [float(c) for c in image.TransformPhysicalPointToContinuousIndex(found.GetCentroid(1))]
    corners = [image.TransformContinuousIndexToPhysicalPoint([box[i] - 0.5 + side[i] * box[n + i] for i in range(n)]) for side in itertools.product((0, 1), repeat=n)]
    return {
        "voxels": found.GetNumberOfPixels(1), "mm": found.GetPhysicalSize(1), "low": list(box[:n]),
        "high": [box[i] + box[n + i] for i in range(n)], "centroid": index, "centroidMm": list(found.GetCentroid(1)),
        "lowMm": np.min(corners, 0).tolist(), "highMm": np.max(corners, 0).tolist(),
    }


def measured(seg, channels, like, regions):
    classes = {}
    named = {str(label): [label] for label in range(1, int(seg.max()) + 2)} | regions  # the last label is absent
    for name, labels in named.items():
        mask = np.isin(seg, labels)
        one = {"labels": labels, **shape_of(mask, like), "channels": [statistics(channel[mask].astype(np.float32)) for channel in channels]}
        if mask.ndim == 3:
            one["surface"] = surface_of(mask, like.GetSpacing()[::-1])
        for channel, stats in zip(channels, one["channels"]):
            if not mask.any() or stats["excluded"]:
                continue
            image, label = sitk.GetImageFromArray(channel), sitk.GetImageFromArray(mask.astype(np.uint8))
            known = sitk.LabelIntensityStatisticsImageFilter()
            known.Execute(label, image)
            assert np.isclose(known.GetMean(1), stats["mean"], rtol=1e-9, atol=1e-9)
            assert known.GetMinimum(1) == stats["min"] and known.GetMaximum(1) == stats["max"]
            if mask.sum() > 1:  # SimpleITK's divides by n - 1
                n = mask.sum()
                assert np.isclose(known.GetStandardDeviation(1), stats["std"] * np.sqrt(n / (n - 1)), rtol=1e-6, atol=1e-6)
        classes[name] = one
    return classes


def write_volumes(expected):
    for name, seg, channels, spacing, origin, direction, regions in volumes():
        segmentation = CASES / f"{name}.nii.gz"
        save_sitk(segmentation, seg, spacing, origin, direction)
        for i, channel in enumerate(channels):
            save_sitk(CASES / f"{name}_{i:04d}.nii.gz", channel, spacing, origin, direction)
        like = sitk.ReadImage(str(segmentation))
        expected[name] = {"reader": "SimpleITKIO", "channels": len(channels), "classes": measured(seg, channels, like, regions)}


def write_nibabel(expected):
    """One file for both nibabel readers; the values of SimpleITK's LPS are what they must come to."""
    seg = lumps((9, 10, 11), [0, 1, 2])
    affine = np.array([[0, -1.5, 0, 40], [-0.8, 0, 0, 70], [0, 0, 2, -300], [0, 0, 0, 1.0]])
    image = RNG.normal(size=seg.shape).astype(np.float32)
    for suffix, array in (("", seg), ("_0000", image)):
        nib.save(nib.Nifti1Image(array, affine), CASES / f"turned{suffix}.nii.gz")
    like = sitk.ReadImage(str(CASES / "turned.nii.gz"))
    classes = measured(sitk.GetArrayFromImage(like), [sitk.GetArrayFromImage(sitk.ReadImage(str(CASES / "turned_0000.nii.gz")))], like, {})
    for reader in ("NibabelIO", "NibabelIOWithReorient", "SimpleITKIO", "SimpleITKIOWithReorient"):
        expected[f"turned {reader}"] = {"reader": reader, "file": "turned", "channels": 1, "classes": classes}


def write_planes(expected):
    seg = lumps((12, 14), [0, 1, 2], 1.5)
    values = RNG.integers(0, 255, seg.shape).astype(np.uint8)
    direction = np.array([[0.8, -0.6], [0.6, 0.8]])
    save_sitk(CASES / "plane.nii.gz", seg, (0.5, 0.75), (3, -4), direction)
    save_sitk(CASES / "plane_0000.nii.gz", values, (0.5, 0.75), (3, -4), direction)
    like = sitk.ReadImage(str(CASES / "plane.nii.gz"))
    expected["plane"] = {"reader": "SimpleITKIO", "channels": 1, "classes": measured(seg, [values], like, {})}
    imsave(CASES / "picture.png", seg, check_contrast=False)
    imsave(CASES / "picture_0000.png", values, check_contrast=False)
    classes = {}
    for found in regionprops(seg):
        (y0, x0, y1, x1), (y, x) = found.bbox, found.centroid
        classes[str(found.label)] = {
            "labels": [int(found.label)], "voxels": int(found.num_pixels), "low": [x0, y0], "high": [x1, y1], "centroid": [x, y],
            "channels": [statistics(values[seg == found.label])],
        }
    expected["picture"] = {"reader": "NaturalImage2DIO", "ending": ".png", "channels": 1, "classes": classes}


if __name__ == "__main__":
    shutil.rmtree(CASES, ignore_errors=True)
    CASES.mkdir()
    expected = {}
    write_volumes(expected)
    write_nibabel(expected)
    write_planes(expected)
    lines = (f"{json.dumps(name)}: {json.dumps(one, default=lambda value: value.item())}" for name, one in expected.items())
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
