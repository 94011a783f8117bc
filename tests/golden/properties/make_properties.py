"""Makes <reader>.pkl, the properties of small images as upstream's readers and preprocessor give them, and properties.json, the same
as plain data; then has write_properties.ts write written_<reader>.pkl and compares both with every Python type in them, under numpy's
warnings as errors. Run it with a Python that has nnunetv2 2.5.1 and with deno on the path: python make_properties.py
"""
import json
import pickle
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from skimage import io
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

HERE = Path(__file__).parent
plans = next(case["plans"] for case in json.load(open(HERE.parent / "model_files" / "expected.json"))["plans"] if case["name"] == "new")
manager = PlansManager(plans)
dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}


def described(x):
    if isinstance(x, dict):
        return [[k, described(v)] for k, v in x.items()]
    if isinstance(x, (list, tuple)):
        return [type(x).__name__, [described(v) for v in x]]
    if isinstance(x, np.ndarray):
        return ["ndarray", str(x.dtype), x.flags["C_CONTIGUOUS"], x.shape, x.tolist()]
    return [type(x).__name__, repr(x)]


upstream, plain = {}, {}
with tempfile.TemporaryDirectory() as folder:
    volume = np.zeros((6, 7, 8), np.float32)
    volume[1:5, 2:6, 1:8] = np.arange(4 * 4 * 7).reshape(4, 4, 7) + 1
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((0.7, 1.1, 2.5))
    image.SetOrigin((-10.5, 3.25, 7.0))
    image.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, f"{folder}/volume.nii.gz")
    flat = sitk.GetImageFromArray(volume[2])
    flat.SetSpacing((0.5, 2.0))
    sitk.WriteImage(flat, f"{folder}/flat.mha")
    io.imsave(f"{folder}/picture.png", (volume[2] * 2).astype(np.uint8), check_contrast=False)
    for name, reader, file, configuration in (("SimpleITKIO", SimpleITKIO, "volume.nii.gz", "3d_fullres"),
                                              ("SimpleITKIO_2d", SimpleITKIO, "flat.mha", "2d"),
                                              ("NibabelIO", NibabelIO, "volume.nii.gz", "3d_fullres"),
                                              ("NibabelIOWithReorient", NibabelIOWithReorient, "volume.nii.gz", "3d_fullres"),
                                              ("NaturalImage2DIO", NaturalImage2DIO, "picture.png", "2d")):
        data, properties = reader().read_images([f"{folder}/{file}"])
        DefaultPreprocessor(verbose=False).run_case_npy(data, None, properties, manager, manager.get_configuration(configuration), dataset)
        upstream[name] = properties
        with open(HERE / f"{name}.pkl", "wb") as target:
            pickle.dump(properties, target)
        geometry = {"reader": reader.__name__, "shape": list(data.shape[1:]), "spacing": [float(i) for i in properties["spacing"]]}
        if "sitk_stuff" in properties:
            geometry["sitk"] = properties["sitk_stuff"]
        if "nibabel_stuff" in properties:
            affines = properties["nibabel_stuff"]
            geometry["nibabel"] = {"originalAffine": affines["original_affine"].tolist()}
            if "reoriented_affine" in affines:
                geometry["nibabel"]["reorientedAffine"] = affines["reoriented_affine"].tolist()
        plain[name] = {"geometry": geometry, "shapeBeforeCropping": properties["shape_before_cropping"],
                       "boundingBox": properties["bbox_used_for_cropping"],
                       "shapeAfterCropping": properties["shape_after_cropping_and_before_resampling"]}
with open(HERE / "properties.json", "w") as target:
    json.dump(plain, target, indent=1)

subprocess.check_call(["deno", "run", "--allow-read", "--allow-write", str(HERE / "write_properties.ts")])
warnings.simplefilter("error")
for name, properties in upstream.items():
    written = pickle.loads((HERE / f"written_{name}.pkl").read_bytes())
    assert described(written) == described(properties), f"{name}:\n{described(written)}\n{described(properties)}"
print("all equal, with their types")
