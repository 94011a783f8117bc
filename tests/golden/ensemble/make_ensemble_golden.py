"""Small probabilities of several models, and the ensembles that the real nnU-Net makes of them.

Run with nnunetv2 2.5.1 installed: python make_ensemble_golden.py; writes the folders labels/ and regions/ beside this file: one
folder a model with <case>.npz and <case>.pkl, and expected/ with the segmentations and the mean probabilities.

merge_files is upstream's but for the step that 2.7 corrected: labels are made of the mean probabilities as probabilities
(convert_probabilities_to_segmentation, which 2.5.1 has), where 2.5.1 takes them for logits. Half of the voxels have equal means in two
classes, or one half exactly.
"""
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import load_pickle, save_pickle
from nnunetv2.ensembling.ensemble import average_probabilities
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

HERE = Path(__file__).parent
SHAPE = (5, 9, 7)
LABELS = {
    "labels": {"background": 0, "a": 1, "b": 2, "c": 3},
    "regions": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "tip": [3], "ignore": 4},
}
READER = {"labels": "SimpleITKIO", "regions": "NibabelIOWithReorient"}
TYPES = {"labels": (np.float32, np.float16, np.float64), "regions": (np.float64, np.float32)}


def image_properties(reader, folder):
    """What the reader says of an image with an oblique or flipped grid."""
    file = str(folder / "image.nii.gz")
    data = np.zeros(SHAPE, np.float32)
    if reader == "SimpleITKIO":
        image = sitk.GetImageFromArray(data)
        image.SetSpacing((0.9, 1.1, 2.5))
        image.SetOrigin((-3.5, 10, 4))
        image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
        sitk.WriteImage(image, file)
    else:
        affine = np.diag([-0.9, 1.1, 2.5, 1.0])
        affine[:3, 3] = [3, 4, 5]
        nibabel.save(nibabel.Nifti1Image(data.transpose(2, 1, 0), affine), file)
    return file


def make(name):
    rng = np.random.default_rng(len(name))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "expected").mkdir(parents=True)
    dataset = {"channel_names": {"0": "MR"}, "labels": LABELS[name], "file_ending": ".nii.gz", "numTraining": 2}
    if name == "regions":
        dataset["regions_class_order"] = [1, 2, 3]
    plans = {
        "dataset_name": "Dataset999_Golden",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": READER[name],
        "transpose_forward": [1, 0, 2],
        "transpose_backward": [1, 0, 2],
        "label_manager": "LabelManager",
        "configurations": {"2d": {}},
    }
    manager = PlansManager(plans)
    labels = manager.get_label_manager(dataset)
    reader = manager.image_reader_writer_class()
    file = image_properties(READER[name], folder)
    _, properties = reader.read_images([file])
    Path(file).unlink()
    transposed = tuple(SHAPE[i] for i in plans["transpose_forward"])
    properties["shape_before_cropping"] = transposed
    properties["bbox_used_for_cropping"] = [[0, n] for n in transposed]
    properties["shape_after_cropping_and_before_resampling"] = transposed
    # Properties of a training case have them.
    properties["class_locations"] = {1: np.argwhere(np.ones((1, 2, 2, 2))), 2: []}
    for model, dtype in enumerate(TYPES[name]):
        (folder / f"model_{model}").mkdir()
        for file_name, content in (("dataset.json", dataset), ("plans.json", plans)):
            (folder / f"model_{model}" / file_name).write_text(json.dumps(content, indent=4))
    for case in ("one", "two"):
        files = []
        for model, dtype in enumerate(TYPES[name]):
            stem = folder / f"model_{model}" / case
            logits = rng.normal(size=(labels.num_segmentation_heads, *SHAPE)) * 3
            if labels.has_regions:
                probabilities = 1 / (1 + np.exp(-logits))
            else:
                probabilities = np.exp(logits) / np.exp(logits).sum(0)
            # Sixteenths have exact sums: the same mean in several classes, and means of one half.
            rough = rng.random(SHAPE) < 0.5
            probabilities[:, rough] = np.round(probabilities[:, rough] * 4) / 4
            np.savez_compressed(f"{stem}.npz", probabilities=probabilities.astype(dtype))
            save_pickle(properties, f"{stem}.pkl")
            files.append(f"{stem}.npz")
        mean = average_probabilities(files)
        out = str(folder / "expected" / case)
        segmentation = labels.convert_probabilities_to_segmentation(mean)
        reader.write_seg(segmentation, out + ".nii.gz", load_pickle(files[0][:-4] + ".pkl"))
        np.savez_compressed(out + ".npz", probabilities=mean)


for one in LABELS:
    make(one)
