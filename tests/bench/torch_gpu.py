"""The network of gpu_bench.ts in torch on CUDA: reads one line of JSON a request, answers with one. Needs torch alone.

Request: {"about": true}. Answer: {"torch": version, "cuda": name of the device or null, "nnunetv2": true or false}
Request: {"edge": 128, "batch": 1, "features": [...], "dtype": "fp16" | "tf32" | "fp32", "runs": 20, "train": false, "seconds": 10, "cpu": false}
Answer: {"milliseconds": [...], "format": ..., "peakMiB": ...} of the runs in the faster memory format, or {"error": ...}. After `seconds`
no further run is begun and no further format tried. "cpu": without CUDA on the CPU.
fp16 is autocast, as the Python nnU-Net predicts and, with a GradScaler, trains. With "train" a run is a step as nnUNetTrainer's: deep
supervision, Dice and cross-entropy, clipping of the gradients, SGD with Nesterov momentum.
"""
import importlib.util
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
    labels = torch.randint(0, 3, (x.shape[0], *x.shape[2:]), device=x.device)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    scaler = torch.amp.GradScaler(x.device.type, enabled=scaled and x.is_cuda)

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


def about():
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"torch": torch.__version__, "cuda": cuda, "nnunetv2": importlib.util.find_spec("nnunetv2") is not None}


def measure(request):
    device = "cpu" if request.get("cpu") and not torch.cuda.is_available() else "cuda"
    end = time.perf_counter() + request.get("seconds", 1e9)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request["dtype"] == "tf32"
    best = None
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        if best and time.perf_counter() > end:
            break
        torch.manual_seed(0)
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        net = PlainUNet(request["features"]).to(device).train(request.get("train", False)).to(memory_format=memory_format)
        x = torch.randn(request["batch"], 1, *[request["edge"]] * 3, device=device).contiguous(memory_format=memory_format)
        half = request["dtype"] == "fp16"

        def autocast():
            return torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16, enabled=half)

        run = training_step(net, x, autocast, half) if request.get("train") else forward_pass(net, x, autocast)
        times = []
        for i in range(request["runs"] + 3):
            if times and time.perf_counter() > end:
                break
            start = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if i >= 3 or time.perf_counter() > end:
                times.append((time.perf_counter() - start) * 1e3)
        peak = torch.cuda.max_memory_allocated() / 2 ** 20 if device == "cuda" else None
        if best is None or min(times) < min(best["milliseconds"]):
            best = {"milliseconds": times, "format": str(memory_format).removeprefix("torch."), "peakMiB": peak}
        del net, x, run
    return best


for line in sys.stdin:
    try:
        request = json.loads(line)
        answer = about() if request.get("about") else measure(request)
    except Exception as error:  # the bench shows it and goes on
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
