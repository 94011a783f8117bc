"""Pictures that nnU-Net 2.5.1 draws (plot_overlay_pngs --use_raw) of one dataset saved in every format that it reads.

Run with the real nnU-Net installed: python make_formats_golden.py; writes formats/ENDING/Dataset815_Formats and expected/formats/ENDING
beside this file.
"""
import json
import os
import shutil
from pathlib import Path

HERE = Path(__file__).parent
RAW, EXPECTED = HERE / "formats", HERE / "expected" / "formats"
for name in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{name}"] = str(HERE / "none")

import numpy as np
import SimpleITK as sitk
import tifffile
from skimage.io import imsave

from nnunetv2.utilities import overlay_plots


def write(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    ending = file.suffix
    if ending == ".tif":
        tifffile.imwrite(file, array, compression="zlib")
        name = file.name[: -len("_0000.tif")] if file.parent.name == "imagesTr" else file.stem
        (file.parent / f"{name}.json").write_text(json.dumps({"spacing": [2.0, 1.0, 1.0]}))
    elif ending == ".bmp":
        imsave(file, array[2].astype(np.uint8), check_contrast=False)
    else:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing([1, 1, 2])
        sitk.WriteImage(image, str(file), useCompression=ending != ".gipl")


def make(ending):
    rng = np.random.default_rng(11)
    raw = RAW / ending / "Dataset815_Formats"
    for case in ("one", "two"):
        labels = rng.integers(0, 4, (5, 4, 5)).repeat(3, 1).repeat(3, 2)
        labels[rng.integers(0, 5)] = 0
        write(raw / "imagesTr" / f"{case}_0000.{ending}", (rng.normal(90, 20, labels.shape) + 20 * labels).astype(np.int16))
        write(raw / "labelsTr" / f"{case}.{ending}", labels.astype(np.uint8))
    fields = {
        "channel_names": {"0": "MR"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3}, "numTraining": 2, "file_ending": f".{ending}",
    }
    if ending == "tif":
        fields["overwrite_image_reader_writer"] = "Tiff3DIO"
    (raw / "dataset.json").write_text(json.dumps(fields, indent=4))


if __name__ == "__main__":
    for folder in (RAW, EXPECTED):
        shutil.rmtree(folder, ignore_errors=True)
    for ending in ("nrrd", "mha", "gipl", "tif", "bmp"):
        make(ending)
        overlay_plots.nnUNet_raw = str(RAW / ending)
        overlay_plots.generate_overlays_from_raw("Dataset815_Formats", str(EXPECTED / ending), 1)
