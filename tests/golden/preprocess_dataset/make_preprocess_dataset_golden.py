"""Tiny raw datasets and what nnU-Net 2.5.1 makes of them with plan_and_preprocess.

Run with the real nnU-Net installed: python make_preprocess_dataset_golden.py; writes raw/ and expected/ beside this file.
Plans have reduced target spacings so that there is something to resample. Expected images are stored as they are (npz).
"""
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WORK = Path(tempfile.mkdtemp())
for name in ("raw", "preprocessed", "results"):
    (WORK / name).mkdir()
    os.environ["nnUNet_" + name] = str(WORK / name)

import numpy as np
import SimpleITK as sitk
from skimage.io import imsave


def save_sitk(array, file, spacing, origin=(3.0, -2.0, 7.5)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(file), useCompression=True)


def folders(name):
    folder = HERE / "raw" / name
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    return folder


def dataset_json(folder, **members):
    (folder / "dataset.json").write_text(json.dumps(members, indent=4))


def blob(shape, centre, radii):
    grid = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii)) <= 1


def anisotropic():
    """Thick slices along x, so that axes are transposed and one is resampled by itself; zeros around, so that masks are used."""
    rng = np.random.RandomState(11)
    folder = folders("Dataset811_Thick")
    for i, (shape, spacing) in enumerate([((22, 18, 6), (5.0, 0.9, 0.8)), ((20, 20, 5), (6.0, 1.0, 1.0)),
                                          ((18, 24, 7), (4.5, 0.7, 0.9))]):
        body = blob(shape, [n / 2 for n in shape], [0.38 * shape[0], 0.36 * shape[1], 0.5 * shape[2]])
        body[tuple(n // 2 for n in shape)] = False  # a hole
        ct = np.where(body, (rng.randn(*shape) * 200).astype(np.int16), 0).astype(np.int16)
        mr = np.where(body, rng.gamma(2.0, 30.0, shape), 0).astype(np.float32)
        seg = np.zeros(shape, np.uint8)
        seg[blob(shape, [n / 2 for n in shape], [n / 4 for n in shape])] = 1
        if i != 1:
            seg[blob(shape, [n / 2.5 for n in shape], [n / 7 for n in shape])] = 2
        seg[1, 1, 2] = 1  # outside the image's nonzero region, maybe outside its box
        save_sitk(ct, folder / "imagesTr" / f"c{i}_0000.nii.gz", spacing)
        save_sitk(mr, folder / "imagesTr" / f"c{i}_0001.nii.gz", spacing)
        save_sitk(seg, folder / "labelsTr" / f"c{i}.nii.gz", spacing)
    dataset_json(folder, channel_names={"0": "CT", "1": "T2"}, labels={"background": 0, "a": 1, "b": 2}, numTraining=3,
                 file_ending=".nii.gz")


def regions():
    """Regions, one of them a single label and one a list of one, and an ignore label; some regions are absent."""
    rng = np.random.RandomState(12)
    folder = folders("Dataset812_Regions")
    for i, shape in enumerate([(11, 9, 12), (9, 12, 10)]):
        image = (rng.randn(*shape) * 50 + 100).astype(np.float32)
        seg = np.zeros(shape, np.uint8)
        seg[blob(shape, [n / 2 for n in shape], [n / 2.6 for n in shape])] = 1
        seg[blob(shape, [n / 2 for n in shape], [n / 4 for n in shape])] = 2
        if i == 0:
            seg[blob(shape, [n / 2 for n in shape], [n / 6 for n in shape])] = 3
        seg[:2, :, :4] = 4
        save_sitk(image, folder / "imagesTr" / f"r{i}_0000.nii.gz", (1.0, 1.1 - 0.2 * i, 1.25))
        save_sitk(seg, folder / "labelsTr" / f"r{i}.nii.gz", (1.0, 1.1 - 0.2 * i, 1.25))
    dataset_json(folder, channel_names={"0": "FLAIR"},
                 labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "again": 3, "ignore": 4},
                 regions_class_order=[1, 2, 3, 3], numTraining=2, file_ending=".nii.gz")


def pictures():
    rng = np.random.RandomState(13)
    folder = folders("Dataset813_Pictures")
    for i, shape in enumerate([(40, 34), (36, 44)]):
        image = rng.randint(0, 256, (*shape, 3)).astype(np.uint8)
        seg = np.zeros(shape, np.uint8)
        seg[5:20, 6:25] = 1
        seg[14:30, 10:20] = 2
        imsave(str(folder / "imagesTr" / f"p{i}_0000.png"), image, check_contrast=False)
        imsave(str(folder / "labelsTr" / f"p{i}.png"), seg, check_contrast=False)
    dataset_json(folder, channel_names={"0": "rgb_to_0_1", "1": "rgb_to_0_1", "2": "rgb_to_0_1"},
                 labels={"background": 0, "a": 1, "b": 2}, numTraining=2, file_ending=".png")


def many_voxels():
    """Which voxels are drawn where a class has more than 10,000, and where 1 % of it is more than that: SHA-256 of the indices."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    shape = (1, 31, 200, 203)
    index = np.arange(np.prod(shape))
    seg = np.where(index * 7919 % 65536 < 3000, 2, np.where(index % 83 == 0, 3, 1)).astype(np.int8).reshape(shape)
    found = DefaultPreprocessor._sample_foreground_locations(seg, [3, [1, 2, 3], 4, 1], verbose=False)
    result = []
    for key, rows in found.items():
        flat = np.ravel_multi_index(np.array(rows, dtype=np.int64).reshape(-1, 4).T, shape).astype("<u4")
        result.append({"labels": list(key) if isinstance(key, tuple) else [key], "count": len(flat),
                       "sha256": hashlib.sha256(flat.tobytes()).hexdigest()})
    (HERE / "expected" / "class_locations.json").write_text(json.dumps({"shape": shape, "classes": result}, indent=1))


def main():
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
    shutil.rmtree(HERE / "raw", ignore_errors=True)
    shutil.rmtree(HERE / "expected", ignore_errors=True)
    anisotropic()
    regions()
    pictures()
    for raw in sorted((HERE / "raw").iterdir()):
        shutil.copytree(raw, WORK / "raw" / raw.name)
        number = int(raw.name[7:10])
        extract_fingerprints([number], num_processes=1)
        plan_experiments([number])
        made = WORK / "preprocessed" / raw.name
        plans = json.loads((made / "nnUNetPlans.json").read_text())
        if number == 811:
            plans["configurations"]["3d_fullres"]["spacing"] = [5.5, 1.1, 0.9]
            plans["configurations"]["2d"]["spacing"] = [1.2, 1.0]
        if number == 812:
            plans["configurations"]["3d_fullres"]["spacing"] = [1.4, 1.0, 1.2]
        (made / "nnUNetPlans.json").write_text(json.dumps(plans, indent=4))
        preprocess([number], configurations=["2d", "3d_fullres"], num_processes=[1])
        expected = HERE / "expected" / raw.name
        expected.mkdir(parents=True)
        for name in ("nnUNetPlans.json", "dataset.json"):
            shutil.copy(made / name, expected / name)
        for folder in made.iterdir():
            if folder.is_dir() and folder.name != "gt_segmentations":
                shutil.copytree(folder, expected / folder.name)
    many_voxels()


if __name__ == "__main__":
    main()
