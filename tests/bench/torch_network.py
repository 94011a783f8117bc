"""The networks of network_bench.ts in torch on the CPU: reads one line of JSON a request, answers with one.

Request: {"dimensions": 3, "edge": 64, "features": [...], "threads": 2, "runs": 3}; the net of the last request is kept.
Answer: {"milliseconds": [...]} for the runs, or {"error": ...}. Needs torch and dynamic_network_architectures.
"""
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", sys.argv[1])
import torch  # noqa: E402
from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: E402
from torch import nn  # noqa: E402


def build(dimensions, features):
    three = dimensions == 3
    stages = len(features)
    return PlainConvUNet(
        input_channels=1, n_stages=stages, features_per_stage=features,
        conv_op=nn.Conv3d if three else nn.Conv2d, kernel_sizes=3, strides=[1] + [2] * (stages - 1),
        n_conv_per_stage=2, num_classes=3, n_conv_per_stage_decoder=2, conv_bias=True,
        norm_op=nn.InstanceNorm3d if three else nn.InstanceNorm2d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=False,
    ).eval()


def main():
    torch.set_num_threads(int(sys.argv[1]))
    kept = None
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["dimensions"], tuple(request["features"]))
        try:
            if kept is None or kept[0] != key:
                kept = None
                torch.manual_seed(0)
                kept = (key, build(*key))
            x = torch.randn(1, 1, *[request["edge"]] * request["dimensions"])
            times = []
            with torch.inference_mode():
                for _ in range(request["runs"]):
                    start = time.perf_counter()
                    kept[1](x)
                    times.append((time.perf_counter() - start) * 1e3)
            answer = {"milliseconds": times}
        except Exception as error:  # the bench shows it and goes on
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
