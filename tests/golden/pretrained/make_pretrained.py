#!/usr/bin/env python3
"""Which checkpoints of ../models the real nnU-Net 2.5.1 takes as -pretrained_weights of which of their networks.

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 python make_pretrained.py

writes beside itself pretrained.json, for each network the checkpoints that load_pretrained_weights accepts, and weights_alone.pth, the
weights of grey_png without what nnU-Net writes beside them, which load_pretrained_weights takes as well.
"""
import json
import os
import tempfile
from pathlib import Path

for name in ('raw', 'preprocessed', 'results'):
    os.environ['nnUNet_' + name] = tempfile.mkdtemp()

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

HERE = Path(__file__).parent
MODELS = sorted(folder for folder in (HERE.parent / 'models' / 'models').iterdir()
                if (folder / 'fold_0' / 'checkpoint_final.pth').exists())


def accepts(network, file):
    try:
        load_pretrained_weights(network, str(file))
        return True
    except AssertionError:
        return False


GREY = HERE.parent / 'models' / 'models' / 'grey_png'
ALONE = HERE / 'weights_alone.pth'
weights = torch.load(GREY / 'fold_0' / 'checkpoint_final.pth')['network_weights']
torch.save({'network_weights': weights}, ALONE)
result = {}
for folder in MODELS:
    predictor = nnUNetPredictor(device=torch.device('cpu'), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), [0])
    assert folder != GREY or accepts(predictor.network, ALONE)
    result[folder.name] = [other.name for other in MODELS
                           if accepts(predictor.network, other / 'fold_0' / 'checkpoint_final.pth')]
(HERE / 'pretrained.json').write_text(json.dumps(result, indent=1) + '\n')
