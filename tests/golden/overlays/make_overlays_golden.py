"""Pictures that nnU-Net 2.5.1 draws of small datasets: plot_overlay_pngs with and without --use_raw.

Run with the real nnU-Net installed: python make_overlays_golden.py; writes the folders raw/ (Dataset814_Labels) and expected/ beside this
file. The other datasets, raw and preprocessed by upstream, are those of ../preprocess_dataset.
"""
import json
import os
import shutil
from pathlib import Path

HERE = Path(__file__).parent
OTHERS = HERE.parent / "preprocess_dataset"
os.environ["nnUNet_preprocessed"] = str(OTHERS / "expected")
os.environ["nnUNet_raw"] = str(HERE / "raw")
os.environ["nnUNet_results"] = str(HERE / "none")

import numpy as np
import SimpleITK as sitk

from nnunetv2.utilities import overlay_plots

RAW = HERE / "raw" / "Dataset814_Labels"
EXPECTED = HERE / "expected"


def save(array, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(file), useCompression=True)


def make_labels():
    """Twelve labels (numpy then adds in eight sums), slices without background, ties between slices, and a case without any label."""
    rng = np.random.default_rng(9)
    shutil.rmtree(RAW, ignore_errors=True)
    blocks = rng.integers(0, 13, (7, 6, 5)).repeat(3, 1).repeat(3, 2)
    blocks[2] = rng.integers(4, 13, (6, 5)).repeat(3, 0).repeat(3, 1)
    tied = np.zeros((6, 12, 10))
    tied[1, 2:5, 2:5] = tied[4, 6:9, 6:9] = 2
    tied[2, 2:5, 2:5] = tied[3, 2:5, 2:5] = 1
    # All of label 7 is in the last slice, which has no background.
    full = np.zeros((4, 9, 11))
    full[3] = 7
    full[3, :4] = 3
    full[1, 2:4] = 3
    for name, labels in {"blocks": blocks, "full": full, "none": np.zeros((3, 8, 8)), "tied": tied}.items():
        image = rng.normal(40, 300, labels.shape) + 30 * labels
        save(image.astype(np.int16) if name != "full" else image.astype(np.float32), RAW / "imagesTr" / f"{name}_0000.nii.gz")
        save(labels.astype(np.uint8), RAW / "labelsTr" / f"{name}.nii.gz")
    fields = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{f"part {i}": i for i in range(1, 13)}},
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    (RAW / "dataset.json").write_text(json.dumps(fields, indent=4))


def run():
    make_labels()
    shutil.rmtree(EXPECTED, ignore_errors=True)

    def raw(folder, dataset, name, **how):
        overlay_plots.nnUNet_raw = str(folder)
        overlay_plots.generate_overlays_from_raw(dataset, str(EXPECTED / name), 1, **how)

    def preprocessed(dataset, name, **how):
        overlay_plots.generate_overlays_from_preprocessed(dataset, str(EXPECTED / name), 1, **how)

    raw(HERE / "raw", "Dataset814_Labels", "labels")
    raw(HERE / "raw", "Dataset814_Labels", "labels_strong", overlay_intensity=1.7)
    raw(OTHERS / "raw", "Dataset811_Thick", "thick_second", channel_idx=1)
    raw(OTHERS / "raw", "Dataset813_Pictures", "pictures")
    preprocessed("Dataset811_Thick", "thick_preprocessed")
    preprocessed("Dataset812_Regions", "regions_2d", configuration="2d", overlay_intensity=0.3)
    preprocessed("Dataset813_Pictures", "pictures_second", channel_idx=1)


if __name__ == "__main__":
    run()
