#!/usr/bin/env python3
"""Trains the model that the demo predicts with: the real nnU-Net 2.5.1 on phantoms made by cli/demo/phantom.ts.

usage: make_demo_model.py PHANTOM_FOLDER OUT_MODEL_FOLDER
PHANTOM_FOLDER, from dump_phantoms.ts: meta.json [{s, shape, spacing}] with i<s>.bin (int16) and l<s>.bin (uint8), (z, y, x). Planner, preprocessing, network,
loss and checkpoint are the real ones; plans are edited to few features, and training is the short loop of make_models.py.
"""
import json, os, sys, tempfile
WORK = os.environ.get('GOLDEN_WORK') or tempfile.mkdtemp()
for k in ('raw', 'preprocessed', 'results'):
    os.environ[f'nnUNet_{k}'] = os.path.join(WORK, k); os.makedirs(os.environ[f'nnUNet_{k}'], exist_ok=True)
os.environ.setdefault('nnUNet_n_proc_DA', '1')
import numpy as np, SimpleITK as sitk, torch
from make_models import save_model, train
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset, plan_experiment_dataset, preprocess_dataset

if __name__ == '__main__':
    torch.set_num_threads(1)
    src, out = sys.argv[1:3]; raw = f'{os.environ["nnUNet_raw"]}/Dataset999_Phantom'
    for sub in ('imagesTr', 'labelsTr'): os.makedirs(f'{raw}/{sub}', exist_ok=True)
    meta = json.load(open(f'{src}/meta.json'))
    for e in meta:
        for kind, name, dt in (('i', f'imagesTr/phantom_{e["s"]:03d}_0000', np.int16), ('l', f'labelsTr/phantom_{e["s"]:03d}', np.uint8)):
            im = sitk.GetImageFromArray(np.fromfile(f'{src}/{kind}{e["s"]}.bin', dt).reshape(e['shape'])); im.SetSpacing([float(x) for x in e['spacing'][::-1]])
            sitk.WriteImage(im, f'{raw}/{name}.nii.gz', True)
    dj = dict(channel_names={'0': 'CT'}, labels=dict(background=0, liver=1, kidneys=2, spine=3, lesion=4), numTraining=len(meta), file_ending='.nii.gz')
    json.dump(dj, open(f'{raw}/dataset.json', 'w'))
    extract_fingerprint_dataset(999, num_processes=1, verbose=False); plan_experiment_dataset(999)
    pf = f'{os.environ["nnUNet_preprocessed"]}/Dataset999_Phantom/nnUNetPlans.json'; plans = json.load(open(pf))
    c = plans['configurations']['3d_fullres']; plans['configurations'] = {'3d_fullres': c}
    c.update(patch_size=[24, 64, 80], batch_size=2); kw = c['architecture']['arch_kwargs']
    kw.update(n_stages=4, features_per_stage=[8, 16, 24, 32], kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
              strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]], n_conv_per_stage=[2] * 4, n_conv_per_stage_decoder=[1] * 3)
    json.dump(plans, open(pf, 'w'), indent=4)
    preprocess_dataset(999, configurations=['3d_fullres'], num_processes=[1], verbose=False)
    keep = train(dict(patch=(24, 64, 80)), plans, '3d_fullres', dj, 'demo', 'all', 500)
    save_model(out, plans, dj, 'all', keep)
