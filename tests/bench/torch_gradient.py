"""Gradients of one convolution in torch on the CPU: reads one line of JSON a request, answers with one.

Request: {"batch": 2, "grid": [z, y, x], "inputs": 32, "outputs": 32, "kernel": [..], "stride": [..], "transposed": false, "of": ["weight", "data"], "runs": 3}.
Answer: {"milliseconds": [...]} for the runs, or {"error": ...}. Needs torch.
"""
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", sys.argv[1])
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402


# With one thread processor time, as gradient_bench.ts measures.
now = time.process_time if sys.argv[1] == "1" else time.perf_counter


def measure(r):
    torch.manual_seed(0)
    x = torch.randn(r["batch"], r["inputs"], *r["grid"], requires_grad=True)
    if r["transposed"]:
        w = torch.randn(r["inputs"], r["outputs"], *r["kernel"], requires_grad=True)
        y = F.conv_transpose3d(x, w, stride=r["stride"])
    else:
        w = torch.randn(r["outputs"], r["inputs"], *r["kernel"], requires_grad=True)
        y = F.conv3d(x, w, stride=r["stride"], padding=[(k - 1) // 2 for k in r["kernel"]])
    dy = torch.randn_like(y)
    of = [{"weight": w, "data": x}[name] for name in r["of"]]
    times = []
    for _ in range(r["runs"]):
        start = now()
        torch.autograd.grad(y, of, dy, retain_graph=True)
        times.append((now() - start) * 1e3)
    return {"milliseconds": times}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        try:
            answer = measure(json.loads(line))
        except Exception as error:  # the bench shows it and goes on
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
