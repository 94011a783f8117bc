"""The network of gpu_bench.ts in torch on CUDA: reads one line of JSON a request, answers with one. Needs torch alone.

Request: {"edge": 128, "batch": 1, "features": [...], "dtype": "fp16" | "tf32" | "fp32", "runs": 20}
Answer: {"milliseconds": [...]} of the runs in the faster memory format, or {"error": ...}.
fp16 is autocast, as the Python nnU-Net predicts.
"""
import json
import sys
import time

import torch
from torch import nn


def block(inputs, outputs, stride=1):
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, stride, 1), nn.InstanceNorm3d(outputs, eps=1e-5, affine=True),
                         nn.LeakyReLU(0.01, inplace=True))


class PlainUNet(nn.Module):
    """nnU-Net's PlainConvUNet: two convolutions a stage, stride 2 between stages, transposed convolutions up."""

    def __init__(self, features, classes=3):
        super().__init__()
        inputs = [1, *features[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(block(i, o, 1 if k == 0 else 2), block(o, o)) for k, (i, o) in enumerate(zip(inputs, features)))
        up = list(zip(features[:0:-1], features[-2::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose3d(i, o, 2, 2) for i, o in up)
        self.decoder = nn.ModuleList(nn.Sequential(block(2 * o, o), block(o, o)) for _, o in up)
        self.head = nn.Conv3d(features[0], classes, 1)

    def forward(self, x):
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for up, stage, skip in zip(self.up, self.decoder, skips[-2::-1]):
            x = stage(torch.cat((up(x), skip), 1))
        return self.head(x)


def measure(request):
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request["dtype"] == "tf32"
    best = None
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        torch.manual_seed(0)
        torch.cuda.empty_cache()
        net = PlainUNet(request["features"]).cuda().eval().to(memory_format=memory_format)
        x = torch.randn(request["batch"], 1, *[request["edge"]] * 3, device="cuda").contiguous(memory_format=memory_format)
        times = []
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=request["dtype"] == "fp16"):
            for run in range(request["runs"] + 3):
                start = time.perf_counter()
                net(x)
                torch.cuda.synchronize()
                if run >= 3:
                    times.append((time.perf_counter() - start) * 1e3)
        if best is None or min(times) < min(best):
            best = times
    return {"milliseconds": best}


for line in sys.stdin:
    try:
        answer = measure(json.loads(line))
    except Exception as error:  # the bench shows it and goes on
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
