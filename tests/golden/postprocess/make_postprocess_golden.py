"""Small segmentations, and what nnU-Net 2.5.1's determine_postprocessing makes of them.

Run with the real nnU-Net installed: python make_postprocess_golden.py [FOLDER [SEED]]; writes one folder for each dataset into FOLDER
(default: beside this file). In each: references/, predictions/ with all that upstream writes there, plans.json and dataset.json, and
printed.txt. Paths in the summaries are relative to FOLDER. Upstream's pools of processes are replaced by plain calls.
"""
import contextlib
import io
import json
import multiprocessing
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from skimage.io import imsave

from nnunetv2.postprocessing import remove_connected_components as upstream


class Calls:
    """A pool that calls here and now."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def starmap(self, function, arguments):
        return [function(*one) for one in arguments]


class Context:
    Pool = Calls


multiprocessing.get_context = lambda *_: Context


def save_nifti(array, file):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((0.9, 1.1, 2.5))
    image.SetOrigin((-3.5, 10, 4))
    sitk.WriteImage(image, str(file), useCompression=True)


def save_png(array, file):
    imsave(file, array.astype(np.uint8), check_contrast=False)


def blob(rng, shape, smooth, share):
    """A few round spots, as many voxels as `share` of all."""
    noise = gaussian_filter(rng.random(shape), smooth)
    return noise > np.quantile(noise, 1 - share)


def truth_of(rng, shape, labels, islands):
    """One body with a part of each label in it; `islands`: labels that have parts of their own elsewhere."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    body = (grid**2).sum(0) < 0.5
    seg = np.zeros(shape, int)
    parts = np.argsort(rng.random(len(labels)))
    bands = np.digitize(grid[-1], np.linspace(-0.6, 0.6, len(labels) + 1)[1:-1])
    for band, label in enumerate(np.asarray(labels)[parts]):
        seg[body & (bands == band)] = label
    for label in islands:
        seg[blob(rng, shape, 0.8, 0.02) & ~body] = label
    return seg


def predicted(rng, truth, errors):
    """The truth with spots of false labels: label -> share of the voxels; and holes."""
    seg = truth.copy()
    for label, share in errors.items():
        seg[blob(rng, truth.shape, 0.7, share)] = label
    return seg


def make(root, name, rng, count, shape, used_labels, ending, save, errors, islands=(), ignore=None, missing=0, **fields):
    folder = Path(root) / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "references").mkdir(parents=True)
    (folder / "predictions").mkdir()
    for i in range(count):
        used = used_labels if i % 4 else used_labels[: max(1, len(used_labels) - 1)]
        truth = truth_of(rng, shape, used, islands)
        seg = predicted(rng, truth, {k: v for k, v in errors.items() if k in used or k == 0})
        if ignore is not None:
            truth[blob(rng, shape, 1.0, 0.1)] = ignore
        save(truth, folder / "references" / f"case_{i:02d}{ending}")
        if i >= missing:
            save(seg, folder / "predictions" / f"case_{i:02d}{ending}")
    dataset = {"channel_names": {"0": "CT"}, "numTraining": count, "file_ending": ending, **fields}
    reader = "NaturalImage2DIO" if ending == ".png" else "SimpleITKIO"
    plans = {"dataset_name": "Dataset001_Test", "plans_name": "nnUNetPlans", "image_reader_writer": reader,
             "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "configurations": {"2d": {}}, "label_manager": "LabelManager"}
    for file, content in (("dataset.json", dataset), ("plans.json", plans)):
        (folder / "predictions" / file).write_text(json.dumps(content, indent=4))


def run(root, name):
    printed = io.StringIO()
    here = os.getcwd()
    os.chdir(root)
    with contextlib.redirect_stdout(printed), np.errstate(all="ignore"):
        upstream.determine_postprocessing(f"{name}/predictions", f"{name}/references", None, None, 1, True)
    os.chdir(here)
    (Path(root) / name / "printed.txt").write_text(printed.getvalue())


def names(labels):
    return {"background": 0, **{f"organ {i}": i for i in labels}}


def make_all(root, seed):
    rng = np.random.default_rng(seed)
    volume = (9, 12, 11)
    # All foreground together helps, and one label; another one has true islands and must be left.
    make(root, "labels", rng, 5, volume, [1, 2, 3], ".nii.gz", save_nifti, {1: 0.02, 2: 0.03, 0: 0.01}, islands=[3], labels=names([1, 2, 3]))
    make(root, "whole", rng, 4, volume, [1, 2], ".nii.gz", save_nifti, {1: 0.02, 2: 0.02, 0: 0.004}, labels=names([1, 2]), missing=1)
    # The foreground of a single label; nothing helps, and a label is nowhere (NaN).
    make(root, "single", rng, 3, volume, [1], ".nii.gz", save_nifti, {1: 0.03}, labels=names([1]))
    make(root, "nothing", rng, 3, volume, [1, 2], ".nii.gz", save_nifti, {0: 0.02}, islands=[1, 2], labels=names([1, 2, 3]))
    # Regions that overlap, small before large: removing parts of one breaks others into pieces. One is a plain integer, one a list of one.
    regions = {"background": 0, "core": [2, 3], "all": [1, 2, 3, 4], "mixed": [1, 3], "one": [4], "plain": 1, "ignore": 5}
    make(root, "regions", rng, 5, volume, [1, 2, 3, 4], ".nii.gz", save_nifti, {1: 0.02, 2: 0.02, 3: 0.03, 4: 0.01, 0: 0.02}, islands=[4],
         ignore=5, labels=regions, regions_class_order=[1, 2, 3, 4, 1])
    make(root, "pictures", rng, 4, (24, 30), [1, 2], ".png", save_png, {1: 0.03, 2: 0.02}, labels=names([1, 2]))
    for name in ("labels", "whole", "single", "nothing", "regions", "pictures"):
        run(root, name)


def make_ties(root):
    """Volumes of many components of equal size, each filter by itself: before.nii.gz, after_0.nii.gz, ... and filters.json."""
    folder = Path(root) / "ties"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    seg = rng.choice([0, 0, 0, 0, 0, 0, 1, 2, 3], (8, 16, 16))
    seg[:, 5] = 0
    seg[4] = 0
    filters = [1, [1, 2], (1, 2, 3), 3, [2], [(1, 3), 2]]
    save_nifti(seg, folder / "before.nii.gz")
    for i, one in enumerate(filters):
        save_nifti(upstream.remove_all_but_largest_component_from_segmentation(seg, one), folder / f"after_{i}.nii.gz")
    (folder / "filters.json").write_text(json.dumps(filters))
    # The same steps in every protocol of pickle.
    steps = ([upstream.remove_all_but_largest_component_from_segmentation] * 3,
             [{"labels_or_regions": list(np.unique([1, 2, 3]))}, {"labels_or_regions": (1, 2)}, {"labels_or_regions": 3}])
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (folder / f"protocol_{protocol}.pkl").write_bytes(pickle.dumps(steps, protocol))
    (folder / "other_function.pkl").write_bytes(pickle.dumps(([os.system], [{"command": "true"}])))


if __name__ == "__main__":
    ROOT = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parent)
    make_all(ROOT, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    make_ties(ROOT)
