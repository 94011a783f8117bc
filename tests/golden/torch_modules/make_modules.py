"""Writes modules.json: state_dict keys, _metadata and the order of parameters of small networks, by the real classes.

Run with the environment of nnunetv2 2.5.1 (dynamic_network_architectures 0.3.1): python make_modules.py
"""
import json
from os.path import dirname, join

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn


def common(dim, **changes):
    conv, norm = (nn.Conv2d, nn.InstanceNorm2d) if dim == 2 else (nn.Conv3d, nn.InstanceNorm3d)
    return dict(conv_op=conv, conv_bias=True, norm_op=norm, norm_op_kwargs={"eps": 1e-5, "affine": True},
                dropout_op=None, dropout_op_kwargs=None, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
                deep_supervision=True, num_classes=3, **changes)


def describe(network):
    aliases = {}
    keys = []
    for key, value in network.state_dict().items():
        name = aliases.setdefault(value.data_ptr(), key)
        keys.append([key, name, list(value.shape)])
    return {"keys": keys, "metadata": [[k, v["version"]] for k, v in network.state_dict()._metadata.items()],
            "parameters": [n for n, _ in network.named_parameters()]}


three = [[3, 3, 3]] * 3
result = {
    "plain": describe(PlainConvUNet(input_channels=1, n_stages=3, features_per_stage=[4, 8, 8], kernel_sizes=three,
                                    strides=[[1, 1, 1], [2, 2, 2], [1, 2, 2]], n_conv_per_stage=[2, 1, 2],
                                    n_conv_per_stage_decoder=[1, 2], **common(3))),
    "residual": describe(ResidualEncoderUNet(input_channels=2, n_stages=3, features_per_stage=[4, 8, 8],
                                             kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                                             strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]], n_blocks_per_stage=[1, 2, 2],
                                             n_conv_per_stage_decoder=[1, 1], **common(3))),
    "flat": describe(PlainConvUNet(input_channels=3, n_stages=2, features_per_stage=[4, 8], kernel_sizes=[[3, 3]] * 2,
                                   strides=[[1, 1], [2, 2]], n_conv_per_stage=[1, 1], n_conv_per_stage_decoder=[1],
                                   nonlin_first=True, **common(2))),
}
with open(join(dirname(__file__), "modules.json"), "w") as f:
    json.dump(result, f, separators=(",", ":"))
