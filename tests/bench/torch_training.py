"""The training steps of training_bench.ts in torch on the CPU: reads one line of JSON a request, answers with one.

Request: {"patch": [z, y, x], "batch": 2, "features": [...], "runs": 3}; the net of the last request is kept.
Answer: {"milliseconds": [...]} for the runs, or {"error": ...}. A step is nnUNetTrainer's on the CPU: deep supervision, its loss, clipping
of the gradients, SGD with Nesterov momentum. Needs torch, dynamic_network_architectures and nnunetv2.
"""
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", sys.argv[1])
import numpy as np  # noqa: E402
import torch  # noqa: E402
from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: E402
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss  # noqa: E402
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper  # noqa: E402
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss  # noqa: E402
from torch import nn  # noqa: E402


def build(features, dimensions):
    stages = len(features)
    net = PlainConvUNet(
        input_channels=1, n_stages=stages, features_per_stage=features, conv_op=nn.Conv3d if dimensions == 3 else nn.Conv2d, kernel_sizes=3,
        strides=[1] + [2] * (stages - 1), n_conv_per_stage=2, num_classes=3, n_conv_per_stage_decoder=2, conv_bias=True,
        norm_op=nn.InstanceNorm3d if dimensions == 3 else nn.InstanceNorm2d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True,
    )
    weights = np.array([1 / 2 ** i for i in range(stages - 1)])
    weights[-1] = 0
    loss = DC_and_CE_loss({"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, weight_ce=1, weight_dice=1,
                          ignore_label=None, dice_class=MemoryEfficientSoftDiceLoss)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    return net, DeepSupervisionWrapper(loss, weights / weights.sum()), optimizer


def main():
    torch.set_num_threads(int(sys.argv[1]))
    kept = None
    for line in sys.stdin:
        request = json.loads(line)
        patch = [n for n in request["patch"] if n > 1]
        key = (tuple(request["features"]), len(patch))
        try:
            if kept is None or kept[0] != key:
                kept = None
                torch.manual_seed(0)
                kept = (key, build(*key))
            net, loss, optimizer = kept[1]
            x = torch.randn(request["batch"], 1, *patch)
            targets = [torch.randint(0, 3, (request["batch"], 1, *[n >> i for n in patch])) for i in range(len(key[0]) - 1)]
            times = []
            for _ in range(request["runs"]):
                start = time.perf_counter()
                optimizer.zero_grad(set_to_none=True)
                value = loss(net(x), targets)
                value.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 12)
                optimizer.step()
                times.append((time.perf_counter() - start) * 1e3)
            answer = {"milliseconds": times}
        except Exception as error:  # the bench shows it and goes on
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
