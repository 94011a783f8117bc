"""Small label maps, and the summary.json that nnU-Net 2.5.1 writes for them.

Run with the real nnU-Net installed: python make_evaluate_golden.py; writes the folders labels/, regions/, pictures/ and means.json
beside this file. Paths in the summaries are relative to this folder.
"""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from skimage.io import imsave

from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder2, compute_metrics_on_folder_simple

RNG = np.random.default_rng(6)


def save_nifti(array, file):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((0.9, 1.1, 2.5))
    image.SetOrigin((-3.5, 10, 4))
    sitk.WriteImage(image, str(file), useCompression=True)


def blocks(shape, labels):
    """A map of blocks of 3 voxels, each of a label drawn from `labels`."""
    coarse = RNG.choice(labels, [-(-n // 3) for n in shape])
    for axis in range(len(shape)):
        coarse = coarse.repeat(3, axis)
    return coarse[tuple(slice(n) for n in shape)]


def disturbed(truth, labels, share):
    return np.where(RNG.random(truth.shape) < share, RNG.choice(labels, truth.shape), truth)


def make(name, count, shape, labels, ending, save, truth_only=()):
    for side in ("references", "predictions"):
        shutil.rmtree(Path(name) / side, ignore_errors=True)
        (Path(name) / side).mkdir(parents=True)
    for i in range(count):
        used = labels if i % 3 else labels[: 1 + len(labels) // 2]
        truth = blocks(shape, [*used, *truth_only])
        prediction = disturbed(truth, used, 0.02 * i)
        prediction[np.isin(prediction, truth_only)] = 0
        save(truth, f"{name}/references/case_{i:02d}{ending}")
        save(prediction, f"{name}/predictions/case_{i:02d}{ending}")


def dataset(name, **fields):
    (Path(name) / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "numTraining": 1, **fields}, indent=4))
    (Path(name) / "plans.json").write_text("{}")


def run():
    # More than nine labels ("10" stands before "2"), one that is nowhere, more than eight cases (numpy then adds in eight sums).
    make("labels", 11, (5, 7, 6), list(range(11)), ".nii.gz", save_nifti)
    names = {"background": 0, **{f"organ {i}": i for i in range(1, 12)}}
    dataset("labels", labels=names, file_ending=".nii.gz")
    # Regions, one of them a list of one integer and one a plain integer, and an ignore label; a reference without a prediction.
    make("regions", 4, (4, 6, 9), [0, 1, 2, 3, 4], ".nii.gz", save_nifti, truth_only=[5])
    os.remove("regions/predictions/case_03.nii.gz")
    regions = {"background": 0, "all": [1, 2, 3, 4], "core": [2, 4], "one": [3], "plain": 4, "ignore": 5}
    dataset("regions", labels=regions, regions_class_order=[1, 2, 3, 4], file_ending=".nii.gz")
    make("pictures", 3, (12, 10), [0, 1, 2], ".png", lambda array, file: imsave(file, array.astype(np.uint8), check_contrast=False))

    for name, chill in (("labels", False), ("regions", True)):
        # The plans manager only passes the labels on here, and takes any file.
        compute_metrics_on_folder2(f"{name}/references", f"{name}/predictions", f"{name}/dataset.json", f"{name}/plans.json",
                                   f"{name}/summary.json", num_processes=1, chill=chill)
    compute_metrics_on_folder_simple("pictures/references", "pictures/predictions", [0, 1, 2], "pictures/summary.json", 1)
    compute_metrics_on_folder_simple("regions/references", "regions/predictions", [2, 1], "regions/simple.json", 1, 5, True)

    means = {}
    for count in (1, 7, 8, 13, 128, 129, 300, 1001):
        values = [((i * 7919) % 1009) / 997 if i % 10 else float("nan") for i in range(1, count + 1)]
        means[count] = float(np.nanmean(values))
    Path("means.json").write_text(json.dumps(means, indent=4))


if __name__ == "__main__":  # upstream starts processes that import this file
    os.chdir(Path(__file__).parent)
    run()
