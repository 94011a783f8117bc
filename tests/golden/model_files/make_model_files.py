"""What nnU-Net's PlansManager and LabelManager, and Python's json, make of plans, labels and numbers: expected.json for
tests/golden/model_files_test.ts. Run it with a Python that has nnunetv2 2.5.1: python make_model_files.py
"""
import copy
import io
import json
import warnings
from contextlib import redirect_stdout
from pathlib import Path

from nnunetv2.utilities.label_handling.label_handling import LabelManager, determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

HERE = Path(__file__).parent
warnings.simplefilter("ignore")


def architecture(name, dim, **kwargs):
    return {"network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": {"n_stages": 3, "features_per_stage": [4, 8, 16], "conv_op": f"torch.nn.modules.conv.Conv{dim}d",
                            "kernel_sizes": [[3] * dim] * 3, "strides": [[1] * dim, [2] * dim, [2] * dim],
                            "n_conv_per_stage_decoder": [1, 1], "conv_bias": True,
                            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dim}d",
                            "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
                            "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True}, **kwargs},
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}


RESAMPLING = {"resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_seg": "resample_data_or_seg_to_shape",
              "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
              "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
              "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
              "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}}
COMMON = {"preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "normalization_schemes": ["CTNormalization"],
          "use_mask_for_norm": [False], "batch_dice": True, **RESAMPLING}
OLD_NET = {"UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4, "unet_max_num_features": 12,
           "n_conv_per_stage_encoder": [2, 1, 2], "n_conv_per_stage_decoder": [2, 1], "num_pool_per_axis": [1, 2, 2],
           "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]]}
STATISTICS = {"max": 1000.0, "mean": 12.5, "median": 10.0, "min": -1000.0, "percentile_00_5": -500.0, "percentile_99_5": 500.0,
              "std": 100.25}
TOP = {"dataset_name": "Dataset001_X", "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": [3.0, 1.0, 1.0],
       "original_median_shape_after_transp": [20, 40, 40], "image_reader_writer": "SimpleITKIO",
       "transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0], "experiment_planner_used": "ExperimentPlanner",
       "label_manager": "LabelManager"}
PLANS = {
    "new": {**TOP, "configurations": {
        "2d": {**COMMON, "data_identifier": "nnUNetPlans_2d", "patch_size": [16, 24], "spacing": [1.0, 1.0],
               "median_image_size_in_voxels": [40.0, 40.0], "architecture": architecture("PlainConvUNet", 2, n_conv_per_stage=[2, 2, 2])},
        "3d_lowres": {**COMMON, "data_identifier": "nnUNetPlans_3d_lowres", "patch_size": [8, 16, 16], "spacing": [3.5, 1.5, 1.5],
                      "architecture": architecture("ResidualEncoderUNet", 3, n_blocks_per_stage=[1, 2, 3]),
                      "next_stage": "3d_cascade_fullres"},
        "3d_fullres": {**COMMON, "data_identifier": "nnUNetPlans_3d_fullres", "patch_size": [8, 16, 16], "spacing": [3.0, 1.0, 1.0],
                       "architecture": architecture("PlainConvUNet", 3, n_conv_per_stage=[2, 2, 2])},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        "3d_fullres_big": {"inherits_from": "3d_cascade_fullres", "batch_size": 9, "previous_stage": None, "patch_size": [16, 32, 32]}},
        "foreground_intensity_properties_per_channel": {"0": STATISTICS}},
    "old": {**TOP, "configurations": {
        "3d_fullres": {**COMMON, **OLD_NET, "data_identifier": "nnUNetPlans_3d_fullres", "patch_size": [8, 16, 16],
                       "spacing": [3.0, 1.0, 1.0]},
        "3d_res": {"inherits_from": "3d_fullres", "UNet_class_name": "ResidualEncoderUNet"}},
        "foreground_intensity_properties_by_modality": {"0": STATISTICS}},
}
del PLANS["old"]["label_manager"]

plans_cases = []
for name, plans in PLANS.items():
    manager = PlansManager(copy.deepcopy(plans))
    resolved = {}
    for configuration in manager.available_configurations:
        m = manager.get_configuration(configuration)
        resolved[configuration] = {**m.configuration, "next_stage_names": m.next_stage_names, "previous_stage_name": m.previous_stage_name}
    plans_cases.append({"name": name, "plans": plans, "available": manager.available_configurations, "resolved": resolved,
                        "intensities": manager.foreground_intensity_properties_per_channel})

LABELS = [
    ({"background": 0, "a": 1, "b": 2}, None),
    ({"a": 2, "b": 1, "background": 0}, None),
    ({"background": 0, "a": [1], "b": 2}, None),
    ({"background": 0, "a": 1, "b": 2, "ignore": 3}, None),
    ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}, [1, 2, 3]),
    ({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, [1, 2]),
    ({"background": 0, "also background": [0], "whole": [1, 2], "core": [2]}, [7, 2]),
    ({"background": 0, "with background": [0, 1], "core": [2]}, [1, 2]),
    ({"background": 0, "10": [1, 2], "9": [2]}, [1, 2]),
    ({"a": 1}, None), ({"background": 1, "a": 2}, None), ({"background": [0], "a": 1}, None),
    ({"background": 0, "a": [1, 2]}, None), ({"background": 0, "a": [1, 2]}, [1, 2]),
    ({"background": 0, "a": 1, "ignore": 1}, None), ({"background": 0, "a": 1, "ignore": [2]}, None),
]
labels_cases = []
for labels, order in LABELS:
    case = {"labels": json.dumps(labels), "regions_class_order": order}
    try:
        manager = LabelManager(labels, order)
        case["expected"] = {
            "has_regions": manager.has_regions, "all_labels": [int(i) for i in manager.all_labels],
            "foreground_labels": [int(i) for i in manager.foreground_labels], "ignore_label": manager.ignore_label,
            "regions": None if manager.all_regions is None else [[r] if isinstance(r, int) else list(r) for r in manager.foreground_regions],
            "heads": manager.num_segmentation_heads}
    except (RuntimeError, AssertionError) as error:
        case["error"] = str(error)
    labels_cases.append(case)

channels = []
for dataset in ({"channel_names": {"0": "CT"}}, {"modality": {"0": "CT", "1": "PET"}}, {"channel_names": {"1": "b", "0": "a", "10": "c"}}):
    dataset = {**dataset, "labels": {"background": 0, "a": 1, "b": 2}, "file_ending": ".nii.gz"}
    manager = PlansManager(copy.deepcopy(PLANS["new"]))
    with redirect_stdout(io.StringIO()):
        channels.append({"dataset": json.dumps(dataset),
                         "plain": determine_num_input_channels(manager, "3d_fullres", dataset),
                         "cascade": determine_num_input_channels(manager, "3d_cascade_fullres", dataset)})

NUMBERS = [0.0, -0.0, 1.0, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -2.5, 1e22,
           float("nan"), float("inf"), float("-inf"), 3, -7, 2**53 + 1, 10**30, 999999999999999.9]
TEXTS = ["", "plain", "\u00e4\u20ac\U0001f600", "\"\\\n\r\t\f\b\x00\x1f\x7f/"]
document = {"numbers": NUMBERS, "texts": TEXTS, "10": 1, "9": {"b": [], "a": {}}, "\u00e4": None, "t": True, "f": False}
json_cases = {"compact": json.dumps(document, ensure_ascii=False), "indented": json.dumps(document, indent=4),
              "sorted": json.dumps(document, indent=4, sort_keys=True)}

json.dump({"plans": plans_cases, "labels": labels_cases, "channels": channels, "json": json_cases},
          open(HERE / "expected.json", "w"), indent=1)
