"""Writes the checkpoint of one of upstream's own trainers after two logged epochs of a few real steps, and plans.json and dataset.json.

Run with the environment of nnunetv2 2.5.1: python make_checkpoint.py NAME     (NAME: see CHECKPOINTS)
With a path, compares that checkpoint, written by this program from NAME.pth (write_checkpoint.ts), with NAME.pth value by value and type
by type, and has upstream's trainer load it, and take two steps: python make_checkpoint.py NAME written.pth
"""
import json
import os
import sys
import tempfile
from os.path import dirname, join

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
HERE = dirname(os.path.abspath(__file__))
TEMP = tempfile.mkdtemp()
for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ[variable] = TEMP
os.environ["nnUNet_compile"] = "f"

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerBN import nnUNetTrainerBN
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam, nnUNetTrainerVanillaAdam1en3

# The trainer, and the steps of each of two epochs.
CHECKPOINTS = {"upstream": (nnUNetTrainer, (1, 2)), "batch_norm": (nnUNetTrainerBN, (2, 2)),
               "adam": (nnUNetTrainerAdam, (1, 2)), "vanilla_adam": (nnUNetTrainerVanillaAdam1en3, (1, 1))}


def configuration():
    kernels = [[3, 3, 3]] * 3
    resampling = {"order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": "nnUNetPlans_tiny", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": [8, 8, 8], "median_image_size_in_voxels": [12.0, 16.0, 12.0], "spacing": [1.0, 1.0, 1.5],
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, **resampling},
        "resampling_fn_seg_kwargs": {"is_seg": True, **resampling, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, **resampling, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 3, "features_per_stage": [2, 4, 4], "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": kernels, "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "n_conv_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1], "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True}},
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]},
        "batch_dice": False}


PLANS = {"dataset_name": "Dataset001_Tiny", "plans_name": "nnUNetPlans",
         "original_median_spacing_after_transp": [1.0, 1.0, 1.5], "original_median_shape_after_transp": [12, 16, 12],
         "image_reader_writer": "SimpleITKIO", "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
         "configurations": {"tiny": configuration()}, "experiment_planner_used": "ExperimentPlanner",
         "label_manager": "LabelManager",
         "foreground_intensity_properties_per_channel": {"0": {
             "max": 10.5, "mean": 1, "median": 1.25, "min": -3.0, "percentile_00_5": -2.0, "percentile_99_5": 9.0,
             "std": 1.5}}}
DATASET = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "größe": 1, "core": 2}, "numTraining": 6,
           "file_ending": ".nii.gz"}


def trainer(name):
    one = CHECKPOINTS[name][0](PLANS, "tiny", 0, DATASET, device=torch.device("cpu"))
    one.initialize()
    one.set_deep_supervision_enabled(True)
    return one


def step(one):
    data = torch.randn(2, 1, 8, 8, 8)
    target = [torch.randint(0, 3, (2, 1, n, n, n)) for n in (8, 4)]
    return one.train_step({"data": data, "target": target})["loss"]


def make(name):
    torch.manual_seed(1)
    one = trainer(name)
    one.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    for epoch, steps in enumerate(CHECKPOINTS[name][1]):
        one.on_epoch_start()
        one.on_train_epoch_start()
        losses = [{"loss": step(one)} for _ in range(steps)]
        one.on_train_epoch_end(losses)
        tp = np.array([3 + epoch, 0], np.float32)
        fp = np.array([1, 0], np.float32)
        one.on_validation_epoch_end([{"loss": losses[0]["loss"], "tp_hard": tp, "fp_hard": fp, "fn_hard": fp}])
        one.logger.log("epoch_end_timestamps", one.logger.my_fantastic_logging["epoch_start_timestamps"][-1] + 2.5,
                       epoch)
        one._best_ema = one.logger.my_fantastic_logging["ema_fg_dice"][-1]
        one.current_epoch += 1
    one.current_epoch -= 1
    one.save_checkpoint(join(HERE, f"{name}.pth"))
    for file, value in (("plans", PLANS), ("dataset", DATASET)):
        with open(join(HERE, f"{file}.json"), "w") as f:
            json.dump(value, f, indent=4)


def compare(a, b, path, differences):
    if type(a) is not type(b):
        differences.append(f"{path}: {type(a)} {type(b)}")
    elif isinstance(a, dict):
        if list(a) != [key for key in b if key != "nnunet_run"]:
            differences.append(f"{path}: keys")
        for key in a:
            if key in b:
                compare(a[key], b[key], f"{path}/{key}", differences)
    elif isinstance(a, (list, tuple)):
        if len(a) != len(b):
            differences.append(f"{path}: length")
        for i, (x, y) in enumerate(zip(a, b)):
            compare(x, y, f"{path}[{i}]", differences)
    elif isinstance(a, torch.Tensor):
        if a.dtype != b.dtype or a.stride() != b.stride() or not torch.equal(a, b):
            differences.append(f"{path}: tensor")
    elif not (a == b or (a != a and b != b)):
        differences.append(f"{path}: {a} {b}")


def check(name, written):
    a, b = [torch.load(f, map_location="cpu", weights_only=False) for f in (join(HERE, f"{name}.pth"), written)]
    differences = []
    compare(a, b, "", differences)
    compare(a["network_weights"]._metadata, b["network_weights"]._metadata, "_metadata", differences)
    storages = [len({t.untyped_storage().data_ptr() for t in c["network_weights"].values()}) for c in (a, b)]
    one = trainer(name)
    one.load_checkpoint(written)
    losses = [step(one) for _ in range(2)]
    print("differences:", differences or "none", "; storages:", storages, "; upstream's steps from it:", losses)


if __name__ == "__main__":
    check(*sys.argv[1:]) if len(sys.argv) > 2 else make(sys.argv[1])
