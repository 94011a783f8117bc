"""Outputs of small U-Nets in torch (dynamic_network_architectures), the golden values of network_golden_test.ts.

Weights and inputs are hashes of names and indices, the same as in tests/engine/networks.ts, so that only outputs are stored.
Run with a Python that has nnU-Net v2 2.5.1:  python make_network_golden.py > network_golden.json
"""
import base64
import json

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

WEIGHT_SEED = 1
INPUT_SEED = 5
CASES = [
    {"name": "plain 3-D", "family": "PlainConvUNet", "dimensions": 3, "features": [4, 6, 8], "inputs": 1, "classes": 2,
     "patch": [8, 8, 16]},
    {"name": "plain 3-D of full width", "family": "PlainConvUNet", "dimensions": 3, "features": [32, 64], "inputs": 1,
     "classes": 2, "patch": [12, 12, 12]},
    {"name": "plain 3-D anisotropic", "family": "PlainConvUNet", "dimensions": 3, "features": [5, 8, 12], "inputs": 2,
     "classes": 2, "patch": [6, 16, 20], "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
     "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]]},
    {"name": "plain 3-D with batch norm", "family": "PlainConvUNet", "dimensions": 3, "features": [4, 8], "inputs": 1,
     "classes": 3, "patch": [8, 8, 8], "norm": "batch"},
    {"name": "plain 2-D", "family": "PlainConvUNet", "dimensions": 2, "features": [4, 8, 12], "inputs": 3, "classes": 3,
     "patch": [1, 32, 24]},
    {"name": "residual 3-D", "family": "ResidualEncoderUNet", "dimensions": 3, "features": [4, 8, 8], "inputs": 1,
     "classes": 2, "patch": [8, 8, 16], "blocks": [1, 2, 2]},
    {"name": "residual 3-D anisotropic", "family": "ResidualEncoderUNet", "dimensions": 3, "features": [4, 6, 8],
     "inputs": 1, "classes": 2, "patch": [4, 16, 16], "blocks": [1, 1, 2],
     "kernels": [[1, 3, 3], [1, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]]},
    {"name": "residual 2-D", "family": "ResidualEncoderUNet", "dimensions": 2, "features": [6, 11, 16], "inputs": 1,
     "classes": 2, "patch": [1, 24, 32], "blocks": [1, 2, 1]},
]


def random_values(count, seed):
    mask = 0xFFFFFFFF
    i = np.arange(1, count + 1, dtype=np.uint64)
    h = ((((seed & mask) + 1) * 0x9E3779B9 & mask) + i * 0x85EBCA6B) & mask
    h = ((h ^ (h >> np.uint64(16))) * 0x21F0AAAD) & mask
    h = ((h ^ (h >> np.uint64(15))) * 0x735A2D97) & mask
    return ((h ^ (h >> np.uint64(15))).astype(np.float64) / 2**31 - 1).astype(np.float32)


def random_weight(name, shape):
    key = WEIGHT_SEED
    for char in name:
        key = (key * 31 + ord(char)) & 0xFFFFFFFF
    count = int(np.prod(shape))
    values = random_values(count, key).astype(np.float64)
    if len(shape) > 1:
        values *= np.sqrt(6 / (count / (shape[1] if "transpconvs" in name else shape[0])))
    elif name.endswith("norm.weight") or name.endswith("running_var"):
        values = 1 + values / 2
    else:
        values = values / 2
    return values.astype(np.float32).reshape(shape)


def build(case):
    three = case["dimensions"] == 3
    stages = len(case["features"])
    batch = case.get("norm") == "batch"
    cut = (lambda size: size) if three else (lambda size: size[1:])
    kernels = case.setdefault("kernels", [[3 if three else 1, 3, 3]] * stages)
    strides = case.setdefault("strides", [[1, 1, 1]] + [[2 if three else 1, 2, 2]] * (stages - 1))
    residual = case["family"] == "ResidualEncoderUNet"
    blocks = case.setdefault("blocks", [2] * stages)
    decoder = case.setdefault("decoder", [1 if residual else 2] * (stages - 1))
    norms = (nn.BatchNorm3d if three else nn.BatchNorm2d) if batch else (nn.InstanceNorm3d if three else nn.InstanceNorm2d)
    return (ResidualEncoderUNet if residual else PlainConvUNet)(
        input_channels=case["inputs"], n_stages=stages, features_per_stage=case["features"],
        conv_op=nn.Conv3d if three else nn.Conv2d, kernel_sizes=[cut(k) for k in kernels],
        strides=[cut(s) for s in strides], num_classes=case["classes"], n_conv_per_stage_decoder=decoder,
        conv_bias=True, norm_op=norms, norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True}, deep_supervision=False,
        **({"n_blocks_per_stage": blocks} if residual else {"n_conv_per_stage": blocks})).eval()


def main():
    torch.set_num_threads(1)
    results = []
    for case in CASES:
        net = build(case)
        with torch.no_grad():
            for name, tensor in net.state_dict().items():
                # The names that inference reads; the others are the same tensors again.
                if ".all_modules." in name or name.startswith("decoder.encoder.") or name.endswith("num_batches_tracked"):
                    continue
                tensor.copy_(torch.from_numpy(random_weight(name, tuple(tensor.shape))))
            shape = [case["inputs"], *case["patch"]]
            x = torch.from_numpy(random_values(int(np.prod(shape)), INPUT_SEED).reshape(shape))
            if case["dimensions"] == 2:
                x = x[:, 0]
            y = net(x[None])[0].contiguous().numpy().astype("<f4")
        results.append({**case, "output": base64.b64encode(y.tobytes()).decode()})
    print(json.dumps({"weightSeed": WEIGHT_SEED, "inputSeed": INPUT_SEED, "cases": results}, indent=1))


main()
