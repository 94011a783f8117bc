"""Small segmentations, and what DeepMind's surface-distance 0.1 and MONAI 1.6.1 say of their surfaces.

Run with both installed, and SimpleITK and scikit-image: python make_surface_golden.py; writes the folders volumes/, regions/ and
pictures/ and expected.json beside this file. The surface Dice is surface-distance's, HD95 and ASSD are MONAI's.
"""
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage
from skimage.io import imread, imsave

# Names that surface-distance 0.1 uses and newer numpy and scipy don't have.
np.Inf = np.inf
ndimage.filters = ndimage.morphology = ndimage

import surface_distance
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

RNG = np.random.default_rng(16)
TOLERANCES = [0, 1, 2.5]


def smooth(shape, labels, sigma=2.0):
    """Labels in lumps."""
    fields = [ndimage.gaussian_filter(RNG.normal(size=shape), sigma) for _ in labels]
    return np.array(labels)[np.argmax(fields, 0)].astype(np.uint8)


def disturbed(truth, labels, share):
    lumps = smooth(truth.shape, labels, 1.2)
    where = ndimage.gaussian_filter(RNG.random(truth.shape), 1.0)
    return np.where(where < np.quantile(where, share), lumps, truth).astype(np.uint8)


def box(shape, *spans, label=1):
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(*span) for span in spans)] = label
    return array


def volumes():
    """(prediction, reference, spacing x y z) by name; labels 1, 2, 3."""
    shape = (13, 15, 17)
    labels = [0, 0, 1, 2, 3]
    truth = smooth(shape, labels)
    yield "alike", truth, truth, (1, 1, 1)
    yield "lumps", disturbed(truth, labels, 0.2), truth, (0.9, 1.1, 2.5)
    truth = smooth(shape, labels)
    yield "thick", disturbed(truth, labels, 0.4), truth, (0.7, 0.7, 5)
    yield "odd_spacing", np.roll(truth, 2, 2), truth, (0.4871, 1.3333, 0.8125)
    yield "noise", RNG.integers(0, 4, (6, 7, 8)).astype(np.uint8), RNG.integers(0, 4, (6, 7, 8)).astype(np.uint8), (1, 2, 1.5)
    voxel = box(shape, (6, 7), (7, 8), (8, 9))
    yield "one_voxel", voxel, np.roll(voxel, (2, -1, 3), (0, 1, 2)), (1, 2, 3)
    yield "one_voxel_in_a_corner", box(shape, (0, 1), (0, 1), (0, 1)), box(shape, (-1, None), (-1, None), (-1, None)), (1, 1.5, 2)
    border = box(shape, (0, 5), (0, 15), (9, 17))
    yield "at_the_border", border, box(shape, (0, 6), (2, 15), (8, 17)), (1, 1, 2)
    yield "everything", box(shape, (0, 13), (0, 15), (0, 17)), box(shape, (1, 13), (0, 15), (0, 16)), (2, 1, 1)
    # Label 1 in the reference only, 2 in the prediction only, 3 in neither.
    yield "in_one", box(shape, (2, 5), (2, 5), (2, 5), label=2), box(shape, (7, 9), (7, 9), (7, 9)), (1, 1, 1)
    far = box(shape, (2, 10), (3, 12), (3, 9))
    stray = far.copy()
    stray[12, 14, 16] = 1
    yield "stray_voxel", stray, far, (1, 1, 3)
    plate = smooth((1, 19, 22), labels)
    yield "one_slice", disturbed(plate, labels, 0.3), plate, (0.8, 1.2, 4)
    wall = smooth((14, 1, 22), labels)
    yield "one_row", disturbed(wall, labels, 0.3), wall, (0.8, 7, 1.7)


def regions():
    """Labels 1 to 3 in regions, 4 is ignored."""
    for i in range(3):
        shape = (10, 12, 14)
        truth = smooth(shape, [0, 0, 1, 2, 3])
        prediction = disturbed(truth, [0, 1, 2, 3], 0.2)
        truth[ndimage.gaussian_filter(RNG.random(shape), 2) < 0.497] = 4
        yield f"case_{i}", prediction, truth, (1, 0.8, 1.9)


def pictures():
    for i in range(3):
        truth = smooth((31, 40), [0, 0, 1, 2], 3)
        yield f"picture_{i}", disturbed(truth, [0, 1, 2], 0.1 * i), truth, None


def save(array, file, spacing):
    file.parent.mkdir(parents=True, exist_ok=True)
    if spacing is None:
        return imsave(file, array, check_contrast=False)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(file), useCompression=True)


def load(file):
    """Labels and spacing (z, y, x) as nnU-Net has them."""
    if file.suffix == ".png":
        return imread(file), (1.0, 1.0)
    image = sitk.ReadImage(str(file))
    return sitk.GetArrayFromImage(image), image.GetSpacing()[::-1]


def metrics(prediction, reference, spacing):
    thin = [axis for axis, size in enumerate(reference.shape) if size == 1]
    if thin:
        prediction, reference = prediction.squeeze(thin[0]), reference.squeeze(thin[0])
        spacing = [one for axis, one in enumerate(spacing) if axis != thin[0]]
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    masks = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, reference)]
    how = {"include_background": True, "spacing": list(spacing)}
    return {
        "SurfaceDice": [float(surface_distance.compute_surface_dice_at_tolerance(distances, one)) for one in TOLERANCES],
        "HD95": float(compute_hausdorff_distance(*masks, percentile=95, **how)),
        "ASSD": float(compute_average_surface_distance(*masks, symmetric=True, **how)),
    }


def make(name, cases, ending, targets, ignore=None):
    shutil.rmtree(name, ignore_errors=True)
    expected = {}
    for case, prediction, reference, spacing in cases:
        files = [Path(name) / side / f"{case}{ending}" for side in ("predictions", "references")]
        for file, array in zip(files, (prediction, reference)):
            save(array, file, spacing)
        (prediction, _), (reference, spacing) = map(load, files)
        known = reference != (-1 if ignore is None else ignore)
        expected[case] = {
            key: metrics(np.isin(prediction, labels) & known, np.isin(reference, labels) & known, spacing)
            for key, labels in targets.items()
        }
    return expected


def run():
    warnings.simplefilter("ignore")
    labels = {str(i): [i] for i in (1, 2, 3)}
    whole = {"(1, 2, 3)": [1, 2, 3], "(2, 3)": [2, 3], "3": [3]}
    expected = {
        "tolerances": TOLERANCES,
        "volumes": make("volumes", volumes(), ".nii.gz", labels),
        "regions": make("regions", regions(), ".nii.gz", whole, ignore=4),
        "pictures": make("pictures", pictures(), ".png", {"1": [1], "2": [2]}),
    }
    fields = {"channel_names": {"0": "MR"}, "numTraining": 3, "file_ending": ".nii.gz"}
    names = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    fields |= {"labels": names, "regions_class_order": [1, 2, 3]}
    Path("regions/dataset.json").write_text(json.dumps(fields, indent=4))
    Path("regions/plans.json").write_text("{}")
    Path("expected.json").write_text(json.dumps(expected, indent=1))


if __name__ == "__main__":
    run()
