#!/usr/bin/env python3
"""Makes the folders beside this file: two tiny cross-validations, and what the real nnU-Net's find_best_configuration makes of them.

usage: make_recipe_golden.py    (needs nnunetv2 2.8.1: before 2.7 ensembles of regions were wrong; all else is as in 2.5.1)

labels/   background, organ, tumour; 5 cases in 2 folds; the ensemble of the two models is the best
regions/  three regions with an ignore label; 4 cases in 2 folds

raw and results are what training leaves; expected is what the command added to results. Probabilities are multiples of 1/16, so that
averages are exact and some of them ties.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_pickle

HERE = pathlib.Path(__file__).resolve().parent
SHAPE = (6, 9, 10)
CONFIGURATIONS = ("2d", "3d_fullres")


def dataset_json(regions):
    labels = {"background": 0, "organ": 1, "tumour": 2}
    extra = {}
    if regions:
        labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "centre": 3, "ignore": 4}
        extra = {"regions_class_order": [1, 2, 3]}
    return {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 5, "file_ending": ".nii.gz", **extra}


def plans_json(name):
    def configuration(dim, patch):
        return {
            "data_identifier": f"nnUNetPlans_{'2d' if dim == 2 else '3d_fullres'}", "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2, "patch_size": patch, "median_image_size_in_voxels": list(SHAPE[3 - dim:]), "spacing": [1.0] * dim,
            "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False], "batch_dice": False,
            **{f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg", "probabilities")},
            **{f"resampling_fn_{what}_kwargs": {"is_seg": what == "seg", "order": 3 if what == "data" else 1, "order_z": 0,
                                                "force_separate_z": None} for what in ("data", "seg", "probabilities")},
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 2, "features_per_stage": [4, 8], "conv_op": f"torch.nn.modules.conv.Conv{dim}d",
                    "kernel_sizes": [[3] * dim] * 2, "strides": [[1] * dim, [2] * dim], "n_conv_per_stage": [2, 2],
                    "n_conv_per_stage_decoder": [2], "conv_bias": True,
                    "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dim}d", "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                    "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }
    return {
        "dataset_name": name, "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": [1.0] * 3,
        "original_median_shape_after_transp": list(SHAPE), "image_reader_writer": "SimpleITKIO", "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration(2, [8, 8]), "3d_fullres": configuration(3, [4, 8, 8])},
        "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"max": 1.0, "mean": 0.5, "median": 0.5, "min": 0.0, "percentile_00_5": 0.0, "percentile_99_5": 1.0, "std": 0.25}},
    }


def ball(centre, radius):
    grid = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grid, centre)) <= radius**2


def geometry(i):
    angle = 0.1 * i
    direction = (np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1)
    return {"spacing": (1.5, 1.25, 2.0 + i / 4), "origin": (10.0 * i, -3.5, 7.25), "direction": direction}


def write(array, file, i):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(geometry(i)["spacing"])
    image.SetOrigin(geometry(i)["origin"])
    image.SetDirection(geometry(i)["direction"])
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file), True)


def truth_of(rng, i, regions):
    centre = np.array([2.5, 4, 4]) + rng.uniform(-0.7, 0.7, 3)
    seg = np.zeros(SHAPE, np.uint8)
    seg[ball(centre, 3)] = 1
    seg[ball(centre, 1.5 if i != 1 else 0)] = 2
    if regions:
        seg[ball(centre, 1)] = 3
    return seg


def probabilities_of(rng, truth, i, regions, model):
    """The truth, blurred by noise of the model's own, with false islands: multiples of 1/16."""
    noise = rng.normal(0, 0.3, (3, *SHAPE))
    seg = truth.copy()
    seg[-1, :2, -2:] = 2 if model == 0 else 1          # two islands; of one size in the first model
    seg[0, -1, -1 - model * 2:] = 1
    if i % 2:
        seg[4:, 0, 0] = 2
    if regions:
        own = np.stack([np.isin(seg, labels) for labels in ((1, 2, 3), (2, 3), (3,))]) * 0.7 + 0.15
        return np.round(np.clip(own + noise * 0.9, 0, 1) * 16) / 16
    logits = np.stack([seg == label for label in range(3)]) * 0.9 + noise
    p = np.exp(3 * logits)
    p /= p.sum(0)
    p = np.round(p * 16) / 16
    p[0] = 1 - p[1] - p[2]
    return p


def segmentation_of(p, regions):
    if not regions:
        return p.argmax(0)
    seg = np.zeros(SHAPE, np.uint8)
    for channel, label in enumerate((1, 2, 3)):
        seg[p[channel] > 0.5] = label
    return seg


def make(kind, dataset, cases, seed):
    regions = kind == "regions"
    rng = np.random.default_rng(seed)
    folder = HERE / kind
    shutil.rmtree(folder, ignore_errors=True)
    raw, results = folder / "raw" / dataset, folder / "results" / dataset
    models = [results / f"nnUNetTrainer__nnUNetPlans__{configuration}" for configuration in CONFIGURATIONS]
    for where in (raw, *models):
        where.mkdir(parents=True)
        (where / "dataset.json").write_text(json.dumps(dataset_json(regions), indent=4))
    for model in models:
        (model / "plans.json").write_text(json.dumps(plans_json(dataset)))
    for i in range(cases):
        truth = truth_of(rng, i, regions)
        marked = truth.copy()
        if regions:
            marked[:, :, 8:] = 4                        # the ignore label
            marked[i] = 4
        write(marked, raw / "labelsTr" / f"c{i}.nii.gz", i)
        for m, model in enumerate(models):
            validation = model / f"fold_{i % 2}" / "validation"
            p = probabilities_of(rng, truth, i, regions, m)
            write(segmentation_of(p, regions), validation / f"c{i}.nii.gz", i)
            np.savez_compressed(validation / f"c{i}.npz", probabilities=p.astype(np.float16))
            sitk_stuff = geometry(i)
            save_pickle({"sitk_stuff": sitk_stuff, "spacing": list(sitk_stuff["spacing"])[::-1], "shape_before_cropping": SHAPE,
                         "bbox_used_for_cropping": [[0, n] for n in SHAPE],
                         "shape_after_cropping_and_before_resampling": SHAPE}, str(validation / f"c{i}.pkl"))
    run_upstream(folder, dataset)


def run_upstream(folder, dataset):
    """find_best_configuration in a copy; what it added goes to `expected`, with ROOT for the results folder."""
    with tempfile.TemporaryDirectory() as temp:
        root = pathlib.Path(temp)
        shutil.copytree(folder / "results", root / "results")
        shutil.copytree(folder / "raw" / dataset / "labelsTr", root / "preprocessed" / dataset / "gt_segmentations")
        shutil.copy(root / "results" / dataset / "nnUNetTrainer__nnUNetPlans__2d" / "plans.json",
                    root / "preprocessed" / dataset / "nnUNetPlans.json")
        variables = {"nnUNet_raw": str(folder / "raw"), "nnUNet_preprocessed": str(root / "preprocessed"),
                     "nnUNet_results": str(root / "results"), "nnUNet_def_n_proc": "2"}
        command = "from nnunetv2.evaluation.find_best_configuration import find_best_configuration_entry_point as f; f()"
        arguments = [dataset, "-c", *CONFIGURATIONS, "-f", "0", "1", "-np", "2"]
        done = subprocess.run([sys.executable, "-c", command, *arguments], env={**os.environ, **variables}, check=True,
                              capture_output=True, text=True)
        print(done.stdout)
        for file in sorted((root / "results").rglob("*")):
            of_models = folder / "results" / file.relative_to(root / "results")
            is_copy = file.parent.name.startswith("crossval_results_folds_") and file.suffix == ".gz"
            if file.is_dir() or of_models.exists() or is_copy or file.name in ("plans.json", "dataset.json"):
                continue
            kept = folder / "expected" / file.relative_to(root / "results")
            kept.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix in (".json", ".txt"):
                text = file.read_text().replace(str(root / "results"), "ROOT").replace(str(folder / "raw"), "RAW")
                kept.write_text(text.replace(str(root / "preprocessed"), "PREPROCESSED"))
            else:
                shutil.copy(file, kept)


if __name__ == "__main__":
    make("labels", "Dataset940_Labels", 5, 1)
    make("regions", "Dataset941_Regions", 4, 2)
