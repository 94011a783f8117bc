#!/usr/bin/env python3
"""Makes the training traces of this folder with the real nnU-Net 2.5.1 (CPU): its trainer's network, loss, optimizer, clipping.

usage: make_training_traces.py OUT_FOLDER [CASE ...]      (environment: a Python with nnunetv2==2.5.1)

A case is a tiny network and one fixed batch without augmentation. Weights, images and label maps come from counter-based formulas that
tests/golden/training/trace_data.ts has too, so they are not stored. Per case: NAME.json (what the network and loss are, ten losses of
train_step, its gradient norms, validation counts before training) and NAME.f32 (logits of every output of the first step, in
the order of its outputs, then the gradient of every parameter that has one, before clipping, in the order of the JSON's list; with batch
norm then the running statistics after the first step). `trainer` of a case is the class; the default is nnUNetTrainer.
"""
import json, os, sys, tempfile
WORK = tempfile.mkdtemp()
for k in ('raw', 'preprocessed', 'results'):
    os.environ[f'nnUNet_{k}'] = os.path.join(WORK, k); os.makedirs(os.environ[f'nnUNet_{k}'], exist_ok=True)
os.environ['nnUNet_compile'] = 'f'
import numpy as np, torch
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerBN import nnUNetTrainerBN
from nnunetv2.training.nnUNetTrainer.variants.loss.nnUNetTrainerTopkLoss import (
    nnUNetTrainerDiceTopK10Loss, nnUNetTrainerTopk10Loss, nnUNetTrainerTopk10LossLS01)
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam, nnUNetTrainerVanillaAdam3en4
torch.set_num_threads(1)


def random_values(count, seed):
    """Numbers in [-1, 1): SplitMix32 of seed and index, as randomValues of tests/engine/networks.ts."""
    i = np.arange(1, count + 1, dtype=np.uint32)
    h = np.uint32((seed + 1) * 0x9e3779b9 & 0xffffffff) + i * np.uint32(0x85ebca6b)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x21f0aaad)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x735a2d97)
    return ((h ^ (h >> np.uint32(15))).astype(np.float64) / 2 ** 31 - 1).astype(np.float32)


def random_weight(name, shape, seed=1):
    """As randomWeights of tests/engine/networks.ts: kernels scaled by fan-in, norm weights near 1. `shape` as in torch."""
    key = seed
    for c in name: key = (key * 31 + ord(c)) & 0xffffffff
    count = int(np.prod(shape)); values = random_values(count, key)
    if len(shape) > 1:
        fan_in = count / (shape[1] if 'transpconvs' in name else shape[0])
        return (values * np.float64(np.sqrt(6 / fan_in))).astype(np.float32).reshape(shape)
    return (1 + values / 2 if name.endswith(('norm.weight', 'running_var')) else values / 2).astype(np.float32)


def label_map(batch, grid, labels, seed):
    """Cells of 3 voxels an axis; label = labels[floor(u * n)], u in [0, 1) drawn per cell."""
    cells = [(n + 2) // 3 for n in grid]
    u = (random_values(batch * int(np.prod(cells)), seed).astype(np.float64) + 1) / 2
    drawn = np.array(labels)[np.floor(u * len(labels)).astype(int)].reshape(batch, *cells)
    for axis in range(3): drawn = np.repeat(drawn, 3, axis + 1)
    return drawn[:, :grid[0], :grid[1], :grid[2]].astype(np.int16)


LABELS = {'background': 0, 'a': 1, 'b': 2}
REGIONS = {'background': 0, 'whole': [1, 2, 3], 'core': [2, 3], 'spot': 3}
MANY = {'background': 0, **{f'l{i}': i for i in range(1, 6)}}
MANY_REGIONS = {'background': 0, 'all': [1, 2, 3, 4], 'low': [1, 2], 'high': [3, 4], 'odd': [1, 3], 'last': 4, 'ignore': 5}
PLAIN3 = dict(dims=3, patch=(8, 12, 12), channels=2, features=(4, 6, 9), kernels=((3, 3, 3),) * 3, strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)))
PLAIN2 = dict(dims=2, patch=(16, 24), channels=1, features=(5, 6, 8, 8), kernels=((3, 3),) * 4, strides=((1, 1), (2, 2), (2, 2), (1, 2)))
CASES = {
    'plain_3d_labels': dict(PLAIN3, labels=LABELS, batch_dice=False),
    'plain_3d_anisotropic': dict(PLAIN3, patch=(5, 18, 12), labels=LABELS, batch_dice=True, kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
                                 features=(4, 6, 8, 9), strides=((1, 1, 1), (1, 3, 2), (1, 2, 2), (1, 1, 1))),
    'plain_3d_regions_ignore': dict(PLAIN3, labels=dict(REGIONS, ignore=4), order=[1, 2, 3], batch_dice=False),
    'plain_3d_wide': dict(PLAIN3, patch=(16, 16, 16), features=(8, 16, 24), labels=LABELS, batch_dice=False, convs=2),
    'plain_2d_labels_ignore': dict(PLAIN2, labels=dict(LABELS, ignore=3), batch_dice=True),
    'plain_2d_regions': dict(PLAIN2, labels=REGIONS, order=[1, 2, 3], batch_dice=True),
    'plain_2d_many_labels': dict(PLAIN2, labels=MANY, batch_dice=False, features=(4, 6, 8, 8)),
    'plain_2d_many_regions_ignore': dict(PLAIN2, labels=MANY_REGIONS, order=[1, 2, 3, 4, 5], batch_dice=False, features=(4, 6, 8, 8)),
    'plain_2d_nonlin_first': dict(PLAIN2, labels=LABELS, batch_dice=True, features=(4, 6, 8, 8), nonlin_first=True),
    'residual_3d_labels': dict(PLAIN3, residual=True, labels=LABELS, batch_dice=False, clip=0.25),
    'residual_3d_regions': dict(PLAIN3, residual=True, labels=REGIONS, order=[1, 2, 3], batch_dice=True, patch=(4, 12, 12), strides=((1, 1, 1), (1, 2, 2), (2, 2, 2))),
    'residual_2d_labels_ignore': dict(PLAIN2, residual=True, labels=dict(LABELS, ignore=3), batch_dice=False),
    'plain_3d_batch_norm': dict(PLAIN3, labels=LABELS, batch_dice=False, trainer=nnUNetTrainerBN),
    'residual_2d_batch_norm': dict(PLAIN2, residual=True, labels=dict(LABELS, ignore=3), batch_dice=True, features=(4, 6, 8, 8), trainer=nnUNetTrainerBN),
    'plain_3d_dice_top_k': dict(PLAIN3, labels=LABELS, batch_dice=False, trainer=nnUNetTrainerDiceTopK10Loss),
    'plain_2d_top_k_ignore': dict(PLAIN2, labels=dict(LABELS, ignore=3), batch_dice=True, features=(4, 6, 8, 8), trainer=nnUNetTrainerTopk10Loss),
    'residual_3d_top_k_smoothed': dict(PLAIN3, residual=True, labels=LABELS, batch_dice=False, trainer=nnUNetTrainerTopk10LossLS01),
    'plain_3d_adam': dict(PLAIN3, labels=LABELS, batch_dice=False, trainer=nnUNetTrainerAdam),
    'residual_2d_vanilla_adam': dict(PLAIN2, residual=True, labels=dict(LABELS, ignore=3), batch_dice=True, features=(4, 6, 8, 8), clip=0.25, trainer=nnUNetTrainerVanillaAdam3en4),
}
BATCH = 2


def trainer_of(c):
    n = len(c['features']); conv = f'torch.nn.modules.conv.Conv{c["dims"]}d'
    arch = dict(n_stages=n, features_per_stage=list(c['features']), conv_op=conv, kernel_sizes=[list(k) for k in c['kernels']],
                strides=[list(s) for s in c['strides']], n_conv_per_stage_decoder=[c.get('convs', 1)] * (n - 1), conv_bias=True,
                norm_op=f'torch.nn.modules.instancenorm.InstanceNorm{c["dims"]}d', norm_op_kwargs={'eps': 1e-5, 'affine': True}, dropout_op=None,
                dropout_op_kwargs=None, nonlin='torch.nn.LeakyReLU', nonlin_kwargs={'inplace': True})
    if c.get('residual'): arch['n_blocks_per_stage'] = [1, 2] + [1] * (n - 2)
    else: arch['n_conv_per_stage'] = [c.get('convs', 2)] * n
    if c.get('nonlin_first'): arch['nonlin_first'] = True
    name = 'ResidualEncoderUNet' if c.get('residual') else 'PlainConvUNet'
    config = '2d' if c['dims'] == 2 else '3d_fullres'
    plans = dict(dataset_name='Dataset001_Trace', plans_name='nnUNetPlans', label_manager='LabelManager', transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2],
                 foreground_intensity_properties_per_channel={}, configurations={config: dict(
                     data_identifier='x', preprocessor_name='DefaultPreprocessor', batch_size=BATCH, patch_size=list(c['patch']), spacing=[1.] * c['dims'],
                     normalization_schemes=['NoNormalization'] * c['channels'], use_mask_for_norm=[False] * c['channels'], batch_dice=c['batch_dice'],
                     architecture=dict(network_class_name=f'dynamic_network_architectures.architectures.unet.{name}', arch_kwargs=arch,
                                       _kw_requires_import=['conv_op', 'norm_op', 'dropout_op', 'nonlin']))})
    dataset = dict(channel_names={str(i): 'x' for i in range(c['channels'])}, labels=c['labels'], file_ending='.nii.gz', numTraining=1)
    if 'order' in c: dataset['regions_class_order'] = c['order']
    t = c.get('trainer', nnUNetTrainer)(plans, config, 0, dataset, device=torch.device('cpu')); t.initialize()
    t.set_deep_supervision_enabled(True)
    return t, arch


def running(network):
    """Running mean and variance of every batch norm."""
    return {n: b for n, b in network.named_buffers() if b.ndim == 1}


def make(name, c, out):
    torch.manual_seed(0)
    t, arch = trainer_of(c)
    grid = ((1,) if c['dims'] == 2 else ()) + tuple(c['patch'])
    with torch.no_grad():
        for n, p in t.network.named_parameters():
            shape = tuple(p.shape) if p.ndim == 1 or c['dims'] == 3 else (*p.shape[:2], 1, *p.shape[2:])
            p.copy_(torch.from_numpy(random_weight(n, shape).reshape(p.shape)))
        for n, b in running(t.network).items(): b.copy_(torch.from_numpy(random_weight(n, tuple(b.shape))))
    data = torch.from_numpy(random_values(BATCH * c['channels'] * int(np.prod(grid)), 11).reshape(BATCH, c['channels'], *c['patch']) * np.float32(1.5))
    values = sorted({v for k, l in c['labels'].items() for v in (l if isinstance(l, list) else [l])})
    labels = torch.from_numpy(label_map(BATCH, grid, values, 12).reshape(BATCH, 1, *c['patch']))
    lm = t.label_manager
    target = labels
    if lm.has_regions:
        regions = [r if isinstance(r, (list, tuple)) else [r] for r in lm.foreground_regions]
        target = torch.cat([torch.isin(labels, torch.tensor(r)) for r in regions] + ([labels == lm.ignore_label] if lm.has_ignore_label else []), 1)
    down = DownsampleSegForDSTransform(t._get_deep_supervision_scales())
    per_sample = [down._apply_to_segmentation(s) for s in target]
    targets = [torch.stack(level) for level in zip(*per_sample)]
    batch = lambda: {'data': data, 'target': [x.clone() for x in targets]}
    with torch.no_grad():
        t.network.eval(); val = t.validation_step(batch()); t.network.train()
    network, outputs = t.network, []
    hook = network.register_forward_hook(lambda m, i, o: outputs.append([x.detach().clone() for x in o]))
    grads, norm_of = {}, torch.nn.utils.clip_grad_norm_
    norms = []
    def clip(parameters, limit):
        if not grads:
            for n, p in network.named_parameters():
                if p.grad is not None: grads[n] = p.grad.detach().clone().numpy()
        norms.append(float(norm_of(parameters, c.get('clip', limit))))
    torch.nn.utils.clip_grad_norm_ = clip
    losses, moments = [], {}
    for step in range(10):
        losses.append(float(t.train_step(batch())['loss']))
        if step == 0: moments = {n: b.clone().numpy() for n, b in running(network).items()}
    torch.nn.utils.clip_grad_norm_ = norm_of; hook.remove()
    untouched = [n for n, p in network.named_parameters() if p.grad is None]
    assert untouched == ['decoder.seg_layers.0.weight', 'decoder.seg_layers.0.bias'], untouched
    logits = [x.numpy() for x in outputs[0]]
    weights = [float(w) for w in t.loss.weight_factors]
    with open(os.path.join(out, name + '.f32'), 'wb') as f:
        for x in [*logits, *grads.values(), *moments.values()]: f.write(np.ascontiguousarray(x, '<f4').tobytes())
    meta = dict(architecture=dict(network_class_name='PlainConvUNet' if not c.get('residual') else 'ResidualEncoderUNet', arch_kwargs=arch),
                patch=list(grid), batch=BATCH, channels=c['channels'], labelValues=values, heads=lm.num_segmentation_heads,
                loss=dict(regions=[list(r) if isinstance(r, (list, tuple)) else [r] for r in lm.foreground_regions] if lm.has_regions else None,
                          ignoreLabel=lm.ignore_label, batchDice=c['batch_dice']),
                outputWeights=weights, outputs=[list(x.shape) for x in logits], gradients=[[n, int(g.size)] for n, g in grads.items()],
                clipNorm=c.get('clip', 12), losses=losses, gradientNorms=norms,
                validation=dict(loss=float(val['loss']), tp=val['tp_hard'].tolist(), fp=val['fp_hard'].tolist(), fn=val['fn_hard'].tolist()))
    if 'trainer' in c: meta['trainer'] = c['trainer'].__name__
    if moments:
        with torch.no_grad(): network.eval(); after = t.validation_step(batch())
        meta.update(running=[[n, int(m.size)] for n, m in moments.items()], validationLossAfter=float(after['loss']))
    with open(os.path.join(out, name + '.json'), 'w') as f: json.dump(meta, f, indent=1); f.write('\n')
    print(name, sum(g.size for g in grads.values()), 'parameters; losses', [round(l, 4) for l in losses], 'norms', [round(x, 2) for x in norms[:3]])


if __name__ == '__main__':
    for case in sys.argv[2:] or CASES: make(case, CASES[case], sys.argv[1])
