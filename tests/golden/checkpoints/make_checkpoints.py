"""Makes the checkpoints, pickles and arrays that tests/golden/checkpoints_test.ts reads, with torch, numpy and
dynamic_network_architectures themselves. Run it with a Python that has nnunetv2 2.5.1: python make_checkpoints.py
"""
import hashlib
import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

HERE = Path(__file__).parent
torch.manual_seed(1)


def checkpoint(weights, **more):
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.01, "params": [0]}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "lrs": [0.01], "epoch_start_timestamps": [1.5]},
        "_best_ema": np.float32(0.25),
        "current_epoch": 3,
        "init_args": {"plans": {"a": 1}, "configuration": "3d_fullres", "fold": 0, "dataset_json": {"b": [1.5]},
                      "device": torch.device("cuda:0")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
        **more,
    }


def save(name, value):
    torch.save(value, HERE / name)


def described(tensor):
    data = tensor.detach().to(torch.float32).contiguous().numpy()
    return {"dtype": str(tensor.dtype).replace("torch.", ""), "shape": list(tensor.shape),
            "values": data.flatten().tolist() if data.size <= 60 else None,
            "sha256": hashlib.sha256(data.tobytes()).hexdigest()}


expected = {}

# Every dtype, views that are not contiguous, and a tensor inside a larger storage.
base = torch.arange(-12, 12, dtype=torch.float32).reshape(2, 3, 4) / 8
types = OrderedDict()
for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64):
    types[f"type.{str(dtype)[6:]}"] = (base * 8).to(dtype) if not dtype.is_floating_point else base.to(dtype)
types["type.uint8"] = torch.arange(6, dtype=torch.uint8).reshape(2, 3) + 250
types["type.bool"] = torch.tensor([True, False, True])
types["view.transposed"] = base.permute(2, 0, 1)
types["view.strided"] = base[:, ::2, 1:3]
types["view.expanded"] = torch.tensor([1.5, -2.0]).reshape(2, 1).expand(2, 3)
types["view.channels_last"] = torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
types["single"] = torch.tensor(7)
types["empty"] = torch.zeros(0, 3)
types["parameter"] = nn.Parameter(torch.tensor([3.0, 4.0]))
save("types.pth", checkpoint(types))
expected["types.pth"] = {name: described(tensor) for name, tensor in types.items()}

# The same in the other byte order: torch writes it so on big-endian machines.
with zipfile.ZipFile(HERE / "types.pth") as source, zipfile.ZipFile(HERE / "big_endian.pth", "w") as target:
    widths = {"type.float64": 8, "type.float32": 4, "type.float16": 2, "type.bfloat16": 2, "type.int16": 2, "type.int32": 4,
              "type.int64": 8}
    by_key = {}
    buffer = io.BytesIO()

    class Keys(pickle.Unpickler):
        def persistent_load(self, pid):
            by_key[pid[2]] = {"DoubleStorage": 8, "LongStorage": 8, "FloatStorage": 4, "IntStorage": 4, "HalfStorage": 2,
                              "BFloat16Storage": 2, "ShortStorage": 2}.get(pid[1].__name__, 1)
            return torch.zeros(1).storage()

        def find_class(self, module, name):
            if name.startswith("_rebuild"):
                return lambda *args: None
            return super().find_class(module, name)

    Keys(io.BytesIO(source.read("types/data.pkl"))).load()
    for info in source.infolist():
        data = source.read(info)
        key = info.filename.removeprefix("types/data/")
        if key in by_key and by_key[key] > 1:
            data = np.frombuffer(data, dtype=f"V{by_key[key]}").tobytes()
            data = np.frombuffer(data, np.uint8).reshape(-1, by_key[key])[:, ::-1].tobytes()
        if info.filename == "types/byteorder":
            data = b"big"
        target.writestr(info.filename, data)

# Packed by another program, with zip64 fields.
with zipfile.ZipFile(HERE / "types.pth") as source, zipfile.ZipFile(HERE / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as target:
    for info in source.infolist():
        with target.open(info.filename, "w", force_zip64=True) as entry:
            entry.write(source.read(info))

# Names: prefixes and aliases.
names = OrderedDict()
names["module._orig_mod.encoder.a.conv.weight"] = torch.tensor([1.0])
names["_orig_mod.encoder.b.conv.weight"] = torch.tensor([2.0])
names["module.decoder.encoder.a.conv.weight"] = torch.tensor([-1.0])
names["module.encoder.a.all_modules.0.weight"] = torch.tensor([-1.0])
names["decoder.encoder.c.all_modules.0.weight"] = torch.tensor([3.0])
names["encoder.d.all_modules.2.bias"] = torch.tensor([4.0])
save("names.pth", checkpoint(names, inference_allowed_mirroring_axes=None))
expected["names.pth"] = {"encoder.a.conv.weight": 1.0, "encoder.b.conv.weight": 2.0, "encoder.c.conv.weight": 3.0,
                         "encoder.d.norm.bias": 4.0}

# Without checksums, as torch can be told to write.
torch.serialization.set_crc32_options(False)
save("no_checksums.pth", checkpoint(OrderedDict(a=torch.arange(3.0))))
torch.serialization.set_crc32_options(True)
torch.save(checkpoint(OrderedDict(a=torch.arange(3.0))), HERE / "legacy.pth", _use_new_zipfile_serialization=False)
save("foreign.pth", {"state_dict": {"a": torch.zeros(1)}, "epoch": 3})

# Whole networks of the package, small, with all their keys.
NETWORKS = {
    "plain_3d": (PlainConvUNet, dict(n_stages=3, features_per_stage=[2, 3, 4], conv_op=nn.Conv3d,
                                     kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3]], strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                                     n_conv_per_stage=[2, 1, 2], n_conv_per_stage_decoder=[2, 1], conv_bias=True,
                                     norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
                                     nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True})),
    "plain_2d_batch_norm": (PlainConvUNet, dict(n_stages=2, features_per_stage=[2, 3], conv_op=nn.Conv2d, kernel_sizes=3,
                                                strides=[1, 2], n_conv_per_stage=1, n_conv_per_stage_decoder=1,
                                                conv_bias=False, norm_op=nn.BatchNorm2d, norm_op_kwargs={},
                                                nonlin=nn.ReLU, nonlin_first=True)),
    "residual_3d": (ResidualEncoderUNet, dict(n_stages=3, features_per_stage=[2, 3, 3], conv_op=nn.Conv3d, kernel_sizes=3,
                                              strides=[1, [1, 2, 2], 2], n_blocks_per_stage=[1, 2, 1],
                                              n_conv_per_stage_decoder=1, conv_bias=True, norm_op=nn.InstanceNorm3d,
                                              norm_op_kwargs={"eps": 1e-5, "affine": True}, dropout_op=nn.Dropout3d,
                                              dropout_op_kwargs={"p": 0.1}, nonlin=nn.LeakyReLU,
                                              nonlin_kwargs={"negative_slope": 0.1, "inplace": True})),
    "residual_2d_stem": (ResidualEncoderUNet, dict(n_stages=2, features_per_stage=[2, 3], conv_op=nn.Conv2d, kernel_sizes=3,
                                                   strides=[1, 2], n_blocks_per_stage=1, n_conv_per_stage_decoder=1,
                                                   conv_bias=True, norm_op=nn.InstanceNorm2d, nonlin=nn.LeakyReLU,
                                                   stem_channels=4)),
}
networks = {}
for name, (network_class, kwargs) in NETWORKS.items():
    network = network_class(input_channels=2, num_classes=3, deep_supervision=False, **kwargs).eval()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(torch.rand_like(value) + (0.5 if key.endswith("running_var") else -0.5))
    shape = (1, 2, 4, 8, 8) if kwargs["conv_op"] is nn.Conv3d else (1, 2, 8, 8)
    data = torch.linspace(-1, 1, int(np.prod(shape))).sin().mul(3).frac().reshape(shape)
    with torch.no_grad():
        output = network(data)
    save(f"{name}.pth", checkpoint(network.state_dict()))
    as_plans = {key: f"{value.__module__}.{value.__name__}" if isinstance(value, type) else value
                for key, value in kwargs.items()}
    own = [key for key in network.state_dict() if not key.startswith("decoder.encoder.") and ".all_modules." not in key]
    networks[name] = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{network_class.__name__}",
        "arch_kwargs": as_plans,
        "keys": own,
        "input": data.flatten().tolist(),
        "output": output.flatten().tolist(),
    }
expected["networks"] = networks

# Pickles of plain values in every protocol.
VALUES = {"none": None, "bools": [True, False], "ints": [0, -1, 255, 65535, 2**31, -2**40, 2**53 + 1], "float": -1.5e-300,
          "text": "ä\u20ac\n", "bytes": b"\x00\xff", "tuple": (1, (2, 3), ()), "set": {5}, "frozen": frozenset([6]),
          "dict": {"a": [1], 2: "b"}, "ordered": OrderedDict(x=1),
          "scalar": np.float64(2.5), "int64": np.int64(-3), "array": np.arange(6, dtype=np.float64).reshape(2, 3)}
for protocol in range(6):
    with open(HERE / f"values_{protocol}.pkl", "wb") as file:
        pickle.dump(VALUES, file, protocol=protocol)


class Evil:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


# What a hostile file would run.
HOSTILE = {"system": (os.system, ("echo harm",)), "eval": (eval, ("1+1",)), "getattr": (getattr, (1, "real")),
           "load_from_bytes": (torch.storage._load_from_bytes, (b"",)), "open": (open, ("secret.txt",))}
for name, call in HOSTILE.items():
    for protocol in (0, 2, 4):
        with open(HERE / f"hostile_{name}_{protocol}.pkl", "wb") as file:
            pickle.dump({"x": Evil(call)}, file, protocol=protocol)
save("hostile.pth", checkpoint(OrderedDict(a=torch.zeros(2)), extra=Evil((os.system, ("echo harm",)))))

np.savez_compressed(HERE / "arrays.npz", f2=np.array([0.1, 65504, -2], np.float16), f4=np.arange(24, dtype=np.float32).reshape(2, 3, 4),
                    u1=np.array([[1, 255]], np.uint8), i2=np.array([-5], np.int16), b=np.array([True, False]), zero=np.float64(3.5))
json.dump(expected, open(HERE / "expected.json", "w"), indent=1)
