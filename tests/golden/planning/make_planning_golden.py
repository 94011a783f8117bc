"""Tiny raw datasets, and what nnU-Net 2.5.1 makes of them: fingerprints, plans, moved plans, converted datasets.

Run with the real nnU-Net installed: python make_planning_golden.py; writes raw/, tasks/ and expected/ beside this file.
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

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from skimage.io import imsave


def save_sitk(array, file, spacing, origin=(0.0, 0.0, 0.0), direction=None):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    sitk.WriteImage(image, str(file), useCompression=True)


def folders(name):
    folder = HERE / "raw" / name
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    return folder


def save_json(value, file):
    file.write_text(json.dumps(value, indent=4))


def anisotropic():
    """Two channels, integers and floats, zero margins, an ignore label, one case without foreground."""
    rng = np.random.RandomState(1)
    folder = folders("Dataset801_Aniso")
    for i, (shape, spacing) in enumerate([((6, 40, 36), (0.8, 0.75, 4.0)), ((7, 38, 30), (0.7, 0.7, 3.5)),
                                          ((5, 36, 40), (0.9, 0.85, 5.0))]):
        ct = (rng.randn(*shape) * 200).astype(np.int16)
        t2 = rng.gamma(2.0, 30.0, shape).astype(np.float32)
        for channel in (ct, t2):
            channel[:, :3 + i] = 0
            channel[:, :, -4:] = 0
            channel[:1] = 0 if i == 1 else channel[:1]
        seg = np.zeros(shape, np.uint8)
        if i != 2:
            seg[1:4, 5:20, 6:25] = 1
            seg[2:5, 15:25, 10:30] = 2
            seg[3, 0:6, 8:12] = 3  # ignore; partly in the margin
        save_sitk(ct, folder / "imagesTr" / f"case_{i}_0000.nii.gz", spacing, (1.5, -2.0, 3.0))
        save_sitk(t2, folder / "imagesTr" / f"case_{i}_0001.nii.gz", spacing, (1.5, -2.0, 3.0))
        save_sitk(seg, folder / "labelsTr" / f"case_{i}.nii.gz", spacing, (1.5, -2.0, 3.0))
    save_json({"channel_names": {"0": "CT", "1": "T2"},
               "labels": {"background": 0, "liver": 1, "tumour": 2, "ignore": 3},
               "numTraining": 3, "file_ending": ".nii.gz"}, folder / "dataset.json")


def listed():
    """Files listed in dataset.json, .nii (NibabelIO), regions, the coarse axis last as read."""
    rng = np.random.RandomState(2)
    folder = HERE / "raw" / "Dataset802_Listed"
    (folder / "data").mkdir(parents=True)
    cases = {}
    for i, name in enumerate(["zebra", "ant"]):
        shape = (12, 26 + i, 24)  # x, y, z
        affine = np.diag([3.0, -1.1 - 0.1 * i, 1.2, 1.0])
        affine[:3, 3] = (5, 6, 7)
        image = (rng.randn(*shape) - 0.2).astype(np.float32)
        seg = np.zeros(shape, np.uint8)
        seg[2:9, 4:20, 5:20] = 1
        seg[4:7, 8:15, 8:15] = 2
        nib.save(nib.Nifti1Image(image, affine), folder / "data" / f"{name}.nii")
        nib.save(nib.Nifti1Image(seg, affine), folder / "data" / f"{name}_seg.nii")
        cases[name] = {"images": [f"data/{name}.nii"], "label": f"data/{name}_seg.nii"}
    save_json({"channel_names": {"0": "noNorm"}, "labels": {"background": 0, "whole": [1, 2], "core": 2},
               "regions_class_order": [1, 2], "numTraining": 2, "file_ending": ".nii", "dataset": cases},
              folder / "dataset.json")


def pictures():
    rng = np.random.RandomState(3)
    folder = folders("Dataset803_Pictures")
    for i in range(2):
        image = rng.randint(0, 256, (40, 44 + 4 * i, 3)).astype(np.uint8)
        seg = np.zeros(image.shape[:2], np.uint8)
        seg[10:30, 8:30] = 1
        imsave(folder / "imagesTr" / f"p{i}_0000.png", image, check_contrast=False)
        imsave(folder / "labelsTr" / f"p{i}.png", seg, check_contrast=False)
    save_json({"channel_names": {"0": "rgb_to_0_1", "1": "rgb_to_0_1", "2": "rgb_to_0_1"},
               "labels": {"background": 0, "road": 1}, "numTraining": 2, "file_ending": ".png"}, folder / "dataset.json")
    save_json([{"train": ["p0"], "val": ["p1"]}, {"train": ["p1"], "val": ["p0"]}], folder / "splits_final.json")


def tasks():
    rng = np.random.RandomState(4)
    msd = HERE / "tasks" / "Task07_Mini"
    for part in ("imagesTr", "imagesTs", "labelsTr"):
        (msd / part).mkdir(parents=True)
    affine = np.array([[0.9, 0.05, 0, 10], [-0.05, 0.9, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] @ np.diag([0.9, 0.9, 2.5])
    for part, name in (("imagesTr", "a"), ("imagesTs", "b")):
        image = nib.Nifti1Image(rng.randint(-500, 1500, (9, 8, 7, 2)).astype(np.int16), affine)
        image.header.set_xyzt_units("mm", "sec")
        nib.save(image, msd / part / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(rng.randn(9, 8, 7).astype(np.float32), affine), msd / "imagesTr" / "c.nii.gz")
    for name in "ac":
        nib.save(nib.Nifti1Image(rng.randint(0, 2, (9, 8, 7)).astype(np.uint8), affine), msd / "labelsTr" / f"{name}.nii.gz")
    shutil.copy(msd / "labelsTr" / "a.nii.gz", msd / "labelsTr" / "._a.nii.gz")
    common = {"name": "Mini", "release": 1.0, "tensorImageSize": "4D", "modality": {"0": "FLAIR", "1": "T1w"},
              "labels": {"0": "background", "1": "oedema"}, "numTraining": 2, "numTest": 1,
              "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}], "test": ["./imagesTs/b.nii.gz"]}
    save_json(common, msd / "dataset.json")
    old = HERE / "tasks" / "Task555_Old"
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (old / part).mkdir(parents=True)
    for name in ("imagesTr/x_0000", "imagesTr/x_0001", "labelsTr/x", "imagesTs/y_0000"):
        shutil.copy(msd / "labelsTr" / "a.nii.gz", old / f"{name}.nii.gz")
    save_json(common, old / "dataset.json")


def describe_images(folder):
    """Every image of a folder as SimpleITK reads it: geometry, and the SHA-256 of its float32 voxels."""
    result = {}
    for file in sorted(folder.rglob("*.nii.gz")):
        image = sitk.ReadImage(str(file))
        voxels = sitk.GetArrayFromImage(image).astype(np.float32)
        result[str(file.relative_to(folder))] = {
            "shape": voxels.shape, "spacing": image.GetSpacing(), "origin": image.GetOrigin(),
            "direction": image.GetDirection(), "sha256": hashlib.sha256(voxels.tobytes()).hexdigest()}
    return result


def main():
    from nnunetv2.dataset_conversion.convert_MSD_dataset import convert_msd_dataset
    from nnunetv2.dataset_conversion.convert_raw_dataset_from_old_nnunet_format import convert
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments
    from nnunetv2.experiment_planning.plans_for_pretraining.move_plans_between_datasets import move_plans_between_datasets
    for name in ("raw", "tasks", "expected"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    anisotropic()
    listed()
    pictures()
    tasks()
    shutil.copytree(HERE / "raw", WORK / "raw", dirs_exist_ok=True)
    ids = [801, 802, 803]
    extract_fingerprints(ids, num_processes=1)
    plan_experiments(ids)
    plan_experiments([801], "nnUNetPlannerResEncM", 6, overwrite_target_spacing=["2.5", "0.9", "0.8"],
                     overwrite_plans_name="custom")
    move_plans_between_datasets(801, "Dataset802_Listed", "nnUNetPlans", "fromAniso")
    move_plans_between_datasets(801, "Dataset803_Pictures", "custom")
    expected = HERE / "expected"
    for file in sorted((WORK / "preprocessed").rglob("*.json")):
        target = expected / file.relative_to(WORK / "preprocessed")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    hippocampus = HERE.parents[3] / "shared" / "data" / "Task04_Hippocampus"
    if hippocampus.is_dir():
        convert_msd_dataset(str(hippocampus), None, 1)
        extract_fingerprints([4], num_processes=2)
        shutil.copy(WORK / "preprocessed" / "Dataset004_Hippocampus" / "dataset_fingerprint.json",
                    expected / "Dataset004_Hippocampus_fingerprint.json")
    convert_msd_dataset(str(HERE / "tasks" / "Task07_Mini"), 807, 1)
    convert(str(HERE / "tasks" / "Task555_Old"), "Dataset555_Old")
    for name in ("Dataset807_Mini", "Dataset555_Old"):
        shutil.copy(WORK / "raw" / name / "dataset.json", expected / f"{name}.json")
    save_json(describe_images(WORK / "raw" / "Dataset807_Mini"), expected / "Dataset807_Mini_images.json")
    shutil.rmtree(WORK)


if __name__ == "__main__":
    main()
