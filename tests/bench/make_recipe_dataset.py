#!/usr/bin/env python3
"""Makes a cross-validation of two configurations to measure the end of the recipe on: references, segmentations, probabilities.

usage: make_recipe_dataset.py FOLDER [--cases 60] [--shape 36 50 35] [--labels 3]

Needs numpy, scipy and SimpleITK. In FOLDER: raw, preprocessed and results, as nnU-Net's variables name them (Dataset950_Bench, folds
0 and 1, --npz), predictions (all cases of one model) and members/2d, members/3d_fullres (probabilities of all cases, as links).
"""
import argparse
import json
import os
import pathlib
import pickle

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import zoom

PLANS = pathlib.Path(__file__).resolve().parent.parent.joinpath(
    "golden/recipe/labels/results/Dataset940_Labels/nnUNetTrainer__nnUNetPlans__2d/plans.json")
NAME = "Dataset950_Bench"
CONFIGURATIONS = ("2d", "3d_fullres")
SPACING = (0.8, 0.8, 1.5)


def smooth(rng, shape, cells):
    """A field of about -1..1 that changes over 1/cells of the volume."""
    coarse = rng.normal(0, 1, (cells,) * 3).astype(np.float32)
    field = zoom(coarse, [n / cells for n in shape], order=1, output=np.float32)
    return field[: shape[0], : shape[1], : shape[2]]


def logits_of_truth(rng, shape, labels):
    """One bump a label, of about a third of the volume's width, with an uneven edge."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    edge = smooth(rng, shape, 6)
    logits = np.zeros((labels + 1, *shape), np.float32)
    for label in range(1, labels + 1):
        centre = rng.uniform(-0.4, 0.4, 3).astype(np.float32)
        distance = ((axes[0] - centre[0]) ** 2)[:, None, None] + ((axes[1] - centre[1]) ** 2)[None, :, None]
        logits[label] = 14 - 180 * (distance + ((axes[2] - centre[2]) ** 2)[None, None, :]) + 2 * edge
    return np.clip(logits, -12, 12, out=logits)


def predicted(rng, logits):
    """Probabilities of a model: errors of the edge, islands, and the fine noise that float16 keeps of any network."""
    off = logits.copy()
    shape = logits.shape[1:]
    for label in range(1, len(logits)):
        off[label] += 2 * smooth(rng, shape, 8) + 4 * np.maximum(smooth(rng, shape, 12) - 1.5, 0) * 3
        off[label] += 0.05 * rng.standard_normal(shape, dtype=np.float32)
    off -= off.max(0)
    np.exp(off, out=off)
    off /= off.sum(0)
    return off


def write(array, file):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(SPACING)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file), True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--shape", type=int, nargs=3, default=(36, 50, 35))
    parser.add_argument("--labels", type=int, default=3)
    args = parser.parse_args()
    names = {"background": 0, **{f"organ {i}": i for i in range(1, args.labels + 1)}}
    dataset = json.dumps({"channel_names": {"0": "CT"}, "labels": names, "numTraining": args.cases, "file_ending": ".nii.gz"})
    plans = json.dumps({**json.loads(PLANS.read_text()), "dataset_name": NAME})
    results = args.folder / "results" / NAME
    models = [results / f"nnUNetTrainer__nnUNetPlans__{configuration}" for configuration in CONFIGURATIONS]
    members = [args.folder / "members" / configuration for configuration in CONFIGURATIONS]
    raw, preprocessed = args.folder / "raw" / NAME, args.folder / "preprocessed" / NAME
    for folder in (raw, preprocessed, args.folder / "predictions", *models, *members):
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text(dataset)
        (folder / ("nnUNetPlans.json" if folder == preprocessed else "plans.json")).write_text(plans)
    (preprocessed / "gt_segmentations").mkdir()
    for i in range(args.cases):
        rng = np.random.default_rng(i)
        case = f"case_{i:03d}"
        logits = logits_of_truth(rng, args.shape, args.labels)
        write(logits.argmax(0), raw / "labelsTr" / f"{case}.nii.gz")
        os.link(raw / "labelsTr" / f"{case}.nii.gz", preprocessed / "gt_segmentations" / f"{case}.nii.gz")
        for model, member in zip(models, members):
            validation = model / f"fold_{i % 2}" / "validation"
            p = predicted(rng, logits)
            write(p.argmax(0), validation / f"{case}.nii.gz")
            np.savez_compressed(validation / f"{case}.npz", probabilities=p.astype(np.float16))
            sitk_stuff = {"spacing": SPACING, "origin": (0.0, 0.0, 0.0), "direction": (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)}
            properties = {"sitk_stuff": sitk_stuff, "spacing": list(SPACING)[::-1], "shape_before_cropping": tuple(args.shape),
                          "bbox_used_for_cropping": [[0, n] for n in args.shape],
                          "shape_after_cropping_and_before_resampling": tuple(args.shape)}
            (validation / f"{case}.pkl").write_bytes(pickle.dumps(properties))
            for ending in (".npz", ".pkl"):
                os.link(validation / f"{case}{ending}", member / f"{case}{ending}")
        os.link(models[0] / f"fold_{i % 2}" / "validation" / f"{case}.nii.gz", args.folder / "predictions" / f"{case}.nii.gz")


if __name__ == "__main__":
    main()
