#!/usr/bin/env python3
"""Makes client_preprocessed.npz: what the real nnU-Net's iterator gives of a golden image. usage: make_client_preprocessed.py GOLDEN_MODELS"""
import json
import os
import sys

import numpy as np
import torch
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

if __name__ == '__main__':
    golden, name = sys.argv[1], 'iso_ct_two_folds'
    predictor = nnUNetPredictor(device=torch.device('cpu'))
    predictor.initialize_from_trained_model_folder(os.path.join(golden, 'models', name), (0, 1))
    image, properties = SimpleITKIO().read_images([os.path.join(golden, 'images', name, 'test_000_0000.nii.gz')])
    item, = predictor.get_data_iterator_from_raw_npy_data([image], None, [properties], None, 1)
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'client_preprocessed.npz')
    np.savez_compressed(target, data=item['data'].numpy(), data_properties=json.dumps(item['data_properties'], default=float))
