"""The network of gpu_bench.ts in torch on CUDA: reads one line of JSON a request, answers with one. Needs torch alone.

Request: {"edge": 128, "batch": 1, "features": [...], "dtype": "fp16" | "tf32" | "fp32", "runs": 20, "train": false}
Answer: {"milliseconds": [...]} of the runs in the faster memory format, or {"error": ...}.
fp16 is autocast, as the Python nnU-Net predicts and, with a GradScaler, trains. With "train" a run is a step as nnUNetTrainer's: deep
supervision, Dice and cross-entropy, clipping of the gradients, SGD with Nesterov momentum.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F
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
        self.heads = nn.ModuleList(nn.Conv3d(o, classes, 1) for _, o in up)

    def forward(self, x, deep=False):
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        outputs = []
        for up, stage, head, skip in zip(self.up, self.decoder, self.heads, skips[-2::-1]):
            x = stage(torch.cat((up(x), skip), 1))
            if deep:
                outputs.append(head(x))
        return outputs[::-1] if deep else self.heads[-1](x)


def loss_of(outputs, labels):
    """Weights 1, 1/2, ... of Dice (without the background) and cross-entropy; the lowest resolution is left out."""
    used = outputs[:-1] if len(outputs) > 1 else outputs
    total = 0
    for i, logits in enumerate(used):
        logits, target = logits.float(), labels[:, ::2 ** i, ::2 ** i, ::2 ** i]
        p, t = torch.softmax(logits, 1), F.one_hot(target, logits.shape[1]).movedim(-1, 1).float()
        axes = (2, 3, 4)
        dice = (2 * (p * t).sum(axes) + 1e-5) / ((p + t).sum(axes) + 1e-5)
        total = total + 0.5 ** i * (F.cross_entropy(logits, target) - dice[:, 1:].mean())
    return total / sum(0.5 ** i for i in range(len(used)))


def training_step(net, x, autocast, scaled):
    labels = torch.randint(0, 3, (x.shape[0], *x.shape[2:]), device="cuda")
    optimizer = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    scaler = torch.amp.GradScaler("cuda", enabled=scaled)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = loss_of(net(x, deep=True), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 12)
        scaler.step(optimizer)
        scaler.update()

    return step


def forward_pass(net, x, autocast):
    def run():
        with torch.inference_mode(), autocast():
            net(x)

    return run


def measure(request):
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request["dtype"] == "tf32"
    best = None
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        torch.manual_seed(0)
        torch.cuda.empty_cache()
        net = PlainUNet(request["features"]).cuda().train(request.get("train", False)).to(memory_format=memory_format)
        x = torch.randn(request["batch"], 1, *[request["edge"]] * 3, device="cuda").contiguous(memory_format=memory_format)
        half = request["dtype"] == "fp16"

        def autocast():
            return torch.autocast("cuda", torch.float16, enabled=half)

        run = training_step(net, x, autocast, half) if request.get("train") else forward_pass(net, x, autocast)
        times = []
        for i in range(request["runs"] + 3):
            start = time.perf_counter()
            run()
            torch.cuda.synchronize()
            if i >= 3:
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
