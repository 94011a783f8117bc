#!/usr/bin/env python3
"""Writes plans.json beside it: random fingerprints and the plans the real nnU-Net 2.5.1's planners make of them. Run again with 2.8.1
installed, it adds the plans of the planner that 2.5.1 does not have.

usage: make_plans_golden.py [SEED ...]
"""
import json, os, sys, tempfile
W = tempfile.mkdtemp()
for k in ('raw', 'preprocessed', 'results'): os.environ[f'nnUNet_{k}'] = f'{W}/{k}'; os.makedirs(f'{W}/{k}')
os.environ.setdefault('nnUNet_n_proc_DA', '1')
import numpy as np
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import *
from nnunetv2.experiment_planning.experiment_planners.resampling.resample_with_torch import *
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
PLANNERS = [ExperimentPlanner, ResEncUNetPlanner, nnUNetPlannerResEncM, nnUNetPlannerResEncL, nnUNetPlannerResEncXL, nnUNetPlanner_torchres,
            nnUNetPlannerResEncL_torchres, nnUNetPlannerResEncL_torchres_sepz]
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'plans.json')
try:
    from nnunetv2.experiment_planning.experiment_planners.resampling.planners_no_resampling import *
    PLANNERS, THERE = [nnUNetPlannerResEncL_noResampling], json.load(open(FILE))
except ImportError:
    THERE = []


def fingerprint(rng, kind):
    n = int(rng.integers(3, 6))
    base = {'iso': (1., 1., 1.), 'ct': (rng.uniform(1, 3), .8, .8), 'aniso': (rng.uniform(4, 8), 1., 1.), '2d': (999., 1., 1.), 'permuted': (.7, .7, rng.uniform(3, 6))}[kind]
    shape = {'iso': (40, 56, 44), 'ct': (rng.integers(100, 500), 512, 512), 'aniso': (12, 256, 232), '2d': (1, 700, 520), 'permuted': (380, 400, 33)}[kind]
    sp = [[float(b * (1 + (0 if kind == '2d' else rng.uniform(-.15, .15)))) for b in base] for _ in range(n)]
    sh = [[int(max(1, round(float(s) * (1 if s == 1 else rng.uniform(.8, 1.25))))) for s in shape] for _ in range(n)]
    ch = [['CT'], ['T1', 'noNorm'], ['rgb_to_0_1'] * 3, ['FLAIR']][int(rng.integers(4))]
    labels = {'background': 0, **{f'l{i}': i for i in range(1, int(rng.integers(2, 6)))}}
    stats = {str(i): dict(max=9., mean=1., median=1., min=0., percentile_00_5=.1, percentile_99_5=8., std=1.) for i in range(len(ch))}
    return dict(channel_names={str(i): c for i, c in enumerate(ch)}, labels=labels, numTraining=int(rng.integers(20, 400)), file_ending='.nii.gz'), \
        dict(spacings=sp, shapes_after_crop=sh, median_relative_size_after_cropping=float(rng.uniform(.4, 1)), foreground_intensity_properties_per_channel=stats)


out = []
for seed in map(int, sys.argv[1:] or [1, 2, 3, 4, 5]):
    rng = np.random.default_rng(seed); kind = ['iso', 'ct', 'aniso', '2d', 'permuted'][(seed - 1) % 5]; dj, fp = fingerprint(rng, kind)
    name = f'Dataset{700 + seed}_Fuzz'
    for k in ('raw', 'preprocessed'): os.makedirs(f'{W}/{k}/{name}', exist_ok=True)
    for sub in ('imagesTr', 'labelsTr'): os.makedirs(f'{W}/raw/{name}/{sub}', exist_ok=True)
    open(f'{W}/raw/{name}/imagesTr/a_0000.nii.gz', 'w').close(); open(f'{W}/raw/{name}/labelsTr/a.nii.gz', 'w').close()
    json.dump(dj, open(f'{W}/raw/{name}/dataset.json', 'w')); json.dump(fp, open(f'{W}/preprocessed/{name}/dataset_fingerprint.json', 'w'))
    plans = {}
    for P in PLANNERS:
        P.determine_reader_writer = lambda self: SimpleITKIO
        p = P(700 + seed); p.plan_experiment(); plans[P.__name__] = json.load(open(f'{W}/preprocessed/{name}/{p.plans_identifier}.json'))
    out.append(dict(kind=kind, dataset=dj, fingerprint=fp, plans=plans))
for one, there in zip(out, THERE):
    assert all(there[k] == one[k] for k in ('kind', 'dataset', 'fingerprint'))
    one['plans'] = {**there['plans'], **one['plans']}
json.dump(out, open(FILE, 'w'), separators=(',', ':'))
