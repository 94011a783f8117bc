"""Has other programs read what a prediction of a DICOM series wrote, and compares with its NIfTI at every voxel.

    python validate.py SERIES_FOLDER PREDICTIONS_FOLDER CASE

PREDICTIONS_FOLDER holds CASE.nii.gz, CASE_seg.dcm and CASE_rtstruct.dcm (predict --output-format nifti dicom-seg rtstruct) and
dataset.json; make_series.py makes series of NIfTI images. Needs highdicom 0.28.2, rt-utils 1.2.7, pydicom 3.0.2, SimpleITK;
dciodvfy (dicom3tools) and dcmdump (dcmtk) in the path. rt-utils takes square slices of square pixels only. Exits with 1 if anything differs.
"""
import json
import pathlib
import subprocess
import sys

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk
from rt_utils import RTStructBuilder


def series(folder):
    """The instances with their places, in order along the normal."""
    found = []
    for file in pathlib.Path(folder).rglob("*"):
        try:
            ds = pydicom.dcmread(file, stop_before_pixels=True)
        except Exception:
            continue
        if "ImagePositionPatient" in ds:
            found.append(ds)
    orientation = np.array(found[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    return sorted(found, key=lambda ds: np.dot(normal, np.array(ds.ImagePositionPatient, float)))


def on_series(image, instances):
    """The labels of a NIfTI file at the pixels of the slices, by their places in the patient."""
    first = instances[0]
    orientation = np.array(first.ImageOrientationPatient, float)
    rows, columns = int(first.Rows), int(first.Columns)
    spacing = [float(v) for v in first.PixelSpacing]
    labels = np.zeros((len(instances), rows, columns), np.uint16)
    array = sitk.GetArrayViewFromImage(image)
    for k, ds in enumerate(instances):
        position = np.array(ds.ImagePositionPatient, float)
        for corner in ((0, 0), (rows - 1, columns - 1)):
            point = position + orientation[:3] * spacing[1] * corner[1] + orientation[3:] * spacing[0] * corner[0]
            index = image.TransformPhysicalPointToContinuousIndex(point)
            assert np.allclose(index, np.round(index), atol=1e-2), index
        # Row by row: a file's axes may be turned around.
        start = np.round(image.TransformPhysicalPointToContinuousIndex(position)).astype(int)
        along = np.round(np.array(image.TransformPhysicalPointToContinuousIndex(position + orientation[:3] * spacing[1])) - start).astype(int)
        down = np.round(np.array(image.TransformPhysicalPointToContinuousIndex(position + orientation[3:] * spacing[0])) - start).astype(int)
        r, c = np.mgrid[:rows, :columns]
        x, y, z = (start[i] + c * along[i] + r * down[i] for i in range(3))
        labels[k] = array[z, y, x]
    return labels


def names_of(folder):
    labels = json.loads((pathlib.Path(folder) / "dataset.json").read_text())["labels"]
    return {name: value for name, value in labels.items() if isinstance(value, int)}


def main(series_folder, folder, case):
    bad = 0
    instances = series(series_folder)
    names = names_of(folder)
    labels = on_series(sitk.ReadImage(f"{folder}/{case}.nii.gz"), instances)
    seg = hd.seg.segread(f"{folder}/{case}_seg.dcm")
    pixels = seg.get_pixels_by_source_instance(
        [ds.SOPInstanceUID for ds in instances], ignore_spatial_locations=False, assert_missing_frames_are_empty=True)
    seen = set()
    for i in range(seg.number_of_segments):
        name = seg.get_segment_description(i + 1).segment_label
        differing = int((pixels[..., i].astype(bool) != (labels == names[name])).sum())
        seen.add(names[name])
        bad += differing
        print(f"highdicom: {name}: {int(pixels[..., i].sum())} voxels, {differing} differ from the NIfTI's")
    missing = set(np.unique(labels).tolist()) - seen - {0}
    bad += len(missing)
    print(f"highdicom: {seg.NumberOfFrames} frames, labels without a segment: {missing or 'none'}")
    structures = RTStructBuilder.create_from(dicom_series_path=series_folder, rt_struct_path=f"{folder}/{case}_rtstruct.dcm")
    for name in structures.get_roi_names():
        mask = np.moveaxis(structures.get_roi_mask_by_name(name), 2, 0)
        truth = labels == names[name]
        dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
        bad += bool(truth.sum() > 100 and dice < 0.99)
        print(f"rt-utils: {name}: Dice {dice:.6f}, {int((mask != truth).sum())} of {int(truth.sum())} voxels differ")
    for kind in ("seg", "rtstruct"):
        file = f"{folder}/{case}_{kind}.dcm"
        checked = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True)
        problems = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith(("Error", "Warning"))]
        dumped = subprocess.run(["dcmdump", file], capture_output=True, text=True)
        bad += len(problems) + (dumped.returncode != 0 or dumped.stderr != "")
        print(f"dciodvfy: {kind}: {problems or 'no error, no warning'}; dcmdump: {dumped.stderr or 'no error'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
