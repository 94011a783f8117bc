#!/usr/bin/env python3
"""What nnU-Net 2.8.1's own classes say of the trainers that 2.5.1 does not have: epochs, learning rates, and how samples are augmented.

    python make_later_trainers.py

with nnunetv2 2.8.1 installed; writes later_trainers.json beside itself.
"""
import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).parent
for name in ('raw', 'preprocessed', 'results'):
    os.environ['nnUNet_' + name] = tempfile.mkdtemp()

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.competitions.aortaseg24 import nnUNetTrainer_onlyMirror01_DA5
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainer_noDummy2DDA import nnUNetTrainer_noDummy2DDA
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import \
    nnUNetTrainer_onlyMirror01_1500ep
from nnunetv2.training.nnUNetTrainer.variants.lr_schedule.nnUNetTrainer_warmup import nnUNetTrainer_warmup

TRAINERS = [nnUNetTrainer, nnUNetTrainer_onlyMirror01_1500ep, nnUNetTrainer_onlyMirror01_DA5, nnUNetTrainer_noDummy2DDA,
            nnUNetTrainer_warmup]
PATCHES = [[64, 80, 96], [20, 256, 224], [28, 96, 84], [128, 128, 128], [512, 448], [300, 180]]
MODEL = HERE.parent / 'models' / 'models' / 'aniso'


def trainer(cls):
    plans = json.loads((MODEL / 'plans.json').read_text()) | {'continue_training': False}
    dataset = json.loads((MODEL / 'dataset.json').read_text())
    return cls(plans, '3d_fullres', 0, dataset, torch.device('cpu'))


def augmentation(cls, patch):
    one = trainer(cls)
    one.configuration_manager = SimpleNamespace(patch_size=patch)
    rotation, dummy2d, loaded, axes = one.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    return {'patch': patch, 'rotation': rotation[1], 'dummy2d': bool(dummy2d), 'loaded': [int(n) for n in loaded],
            'mirror': axes, 'inferenceMirror': one.inference_allowed_mirroring_axes}


def rates(cls):
    """The learning rate of some epochs, as a training logs it."""
    one = trainer(cls)
    one.network = torch.nn.Linear(1, 1)
    one.optimizer, one.lr_scheduler = one.configure_optimizers()
    out = []
    for epoch in range(one.num_epochs):
        one.current_epoch = epoch
        one.on_train_epoch_start()
        if epoch < 60 or epoch % 37 == 0 or epoch == one.num_epochs - 1:
            out.append([epoch, one.optimizer.param_groups[0]['lr']])
    return out


result = {cls.__name__: {'epochs': trainer(cls).num_epochs, 'rates': rates(cls),
                 'augmentation': [augmentation(cls, patch) for patch in PATCHES]} for cls in TRAINERS}
(HERE / 'later_trainers.json').write_text(json.dumps(result, separators=(',', ':')))
