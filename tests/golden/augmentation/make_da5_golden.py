#!/usr/bin/env python3
"""What nnUNetTrainerDA5's augmentation makes of given samples, with the parameters that it drew, and how its parameters are distributed.

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 python make_da5_golden.py

with nnunetv2 2.5.1, batchgenerators 0.25.5, scipy and scikit-image installed; writes da5.json and da5_draws.json beside itself. Forms are
those of make_augmentation_golden.py; how the drawn parameters are had is in da5_listener.py.
"""
import contextlib
import random
import warnings

import numpy as np
import torch

from batchgenerators.transforms.spatial_transforms import SpatialTransform
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.data_augmentation.custom_transforms import cascade_transforms
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation import nnUNetTrainerDA5 as da5

from da5_listener import LISTENER, NO_STEPS, cascade_of, certain, pipeline, spatial_of, steps_of
from golden_inputs import STEP, floats, image, ints, labels, write

warnings.filterwarnings('ignore')
torch.set_num_threads(1)


def batch_of(shape, channels, previous=False, dims=3):
    s = {'data': image((channels, *shape), 0.3)[None], 'target': labels(shape, 4, -1)[None, None].astype(np.float32)}
    if previous:
        s['target'] = np.concatenate((s['target'], labels(shape, 5, 0)[None, None]), 1)
    return {k: v[:, :, 0] for k, v in s.items()} if dims == 2 else s


# ---------------------------------------------------------------- the spatial transform
def spatial(name, loaded, patch, seed, planar=False, order_data=3, order_seg=1, num=4, off=-1, angle=0.6, scale=(0.7, 1.43), p=1):
    np.random.seed(seed)
    dims = 2 if planar else 3
    t = SpatialTransform(patch[3 - dims:], patch_center_dist_from_border=None, do_elastic_deform=False, do_rotation=True,
                         angle_x=(-angle, angle), angle_y=(-angle, angle), angle_z=(-angle, angle), p_rot_per_axis=1,
                         do_scale=True, scale=scale, border_mode_data='constant', border_cval_data=0, order_data=order_data,
                         border_mode_seg='constant', border_cval_seg=-1, order_seg=order_seg, random_crop=False,
                         p_el_per_sample=0.2, p_scale_per_sample=p, p_rot_per_sample=p, independent_scale_for_each_axis=True)
    data, seg = image((1, 2, *loaded)), labels(loaded, num, off)[None, None].astype(np.float32)
    if planar:  # Convert3DTo2DTransform
        data, seg = data.reshape(1, -1, *loaded[1:]), seg.reshape(1, -1, *loaded[1:])
    out, log = LISTENER.during(lambda: t(data=data, seg=seg))
    parameters = spatial_of(t, log, dims) if p else None
    return {'name': name, 'loaded': loaded, 'patch': patch, 'planar': planar, 'nearestImage': order_data == 0,
            'nearestLabels': order_seg == 0, 'spatial': parameters, 'labels': [num, off],
            'outImage': floats(out['data']), 'outLabels': ints(out['seg'])}


SPATIAL = [
    spatial('crop, even', [16, 18, 20], [8, 10, 12], 0, p=0),
    spatial('crop, odd', [15, 18, 21], [8, 9, 12], 0, p=0),
    spatial('rotation and scaling', [26, 27, 29], [8, 10, 12], 1),
    spatial('large in a small patch, outside', [10, 12, 14], [8, 10, 12], 2, scale=(1.2, 1.43)),
    spatial('seen from close', [26, 27, 29], [8, 10, 12], 3, scale=(0.7, 0.8)),
    spatial('a large loaded patch', [50, 52, 54], [8, 9, 10], 4),
    spatial('two labels, outside', [10, 12, 14], [8, 10, 12], 5, num=2, off=0, scale=(1.2, 1.43)),
    spatial('labels of order 0', [16, 18, 20], [8, 10, 12], 6, order_seg=0),
    spatial('all of order 0', [16, 18, 20], [8, 10, 12], 7, order_data=0, order_seg=0),
    spatial('thin', [2, 22, 24], [2, 14, 16], 8, scale=(0.999, 1.0), angle=1e-9),
    spatial('2-D', [1, 30, 33], [1, 20, 24], 9, planar=True, angle=3.1),
    spatial('2-D, all of order 0', [1, 30, 33], [1, 20, 24], 10, planar=True, order_data=0, order_seg=0, angle=3.1),
    spatial('thick slices', [4, 26, 28], [4, 16, 20], 11, planar=True, angle=3.1),
    spatial('thick slices, outside', [4, 17, 20], [4, 16, 20], 12, planar=True, angle=3.1),
]


# ---------------------------------------------------------------- each transform, with the parameters that it drew
def each(patch, dims, dummy2d, seed, turns_alone=False):
    """Every transform of the image alone, on one sample of two channels; or only those that need equal edges."""
    np.random.seed(seed)
    random.seed(seed)
    out = []
    for t in pipeline(da5.nnUNetTrainerDA5, patch[3 - dims:], dims, 30, dummy2d, 2):
        for one in getattr(t, 'list_of_transforms', [t]):
            if type(one).__name__ in NO_STEPS + ('GaussianNoiseTransform',):
                continue
            if turns_alone and type(one).__name__ not in ('Rot90Transform', 'TransposeAxesTransform'):
                continue
            batch = batch_of(patch, 2, dims=dims)
            batch['seg'] = batch.pop('target')
            result, log = LISTENER.during(lambda: certain(one)(**batch))
            steps = steps_of(one, log, patch[3 - dims:], 2)
            if steps:
                out.append({'name': type(one).__name__, 'patch': patch, 'keepZ': dummy2d or dims == 2, 'steps': steps,
                            'outImage': floats(result['data']),
                            'outLabels': ints(result['seg']) if steps[0]['kind'] in ('reorient', 'mirror') else None})
    return out


def median(patch, width):
    dims = 2 if patch[0] == 1 else 3
    t = da5.MedianFilterTransform((width, width + 1), False, 1, 1)
    batch = batch_of(patch, 2, dims=dims)
    return {'name': 'MedianFilterTransform', 'patch': patch, 'keepZ': dims == 2,
            'steps': [{'kind': 'median', 'channel': c, 'width': width} for c in range(2)],
            'outImage': floats(t(data=batch['data'])['data']), 'outLabels': None}


EACH = [one for seed, setting in enumerate([
    ([7, 9, 10], 3, False), ([7, 7, 7], 3, False), ([7, 8, 7], 3, False), ([6, 13, 13], 3, True),
    ([1, 15, 18], 2, False), ([1, 12, 12], 2, False)])
        for one in each(*setting, seed, turns_alone=setting[0] in ([7, 7, 7], [7, 8, 7], [1, 12, 12]))]
EACH += [median(patch, width) for patch, widths in (([7, 8, 9], (2, 3, 6)), ([1, 12, 13], (2, 5)), ([3, 9, 10], (7,)))
         for width in widths]

# Operators of masks: skimage's, whose erosion of elements of even length is not the one of batchgeneratorsv2.
OPERATORS = []
for radius in (1.0, 2.6, 4.7):
    for operator in ('dilation', 'erosion', 'closing', 'opening'):
        v = labels((14, 15, 16), 3) == 1
        o = getattr(cascade_transforms, 'binary_%s' % operator)(v, cascade_transforms.ball(radius))
        OPERATORS.append({'size': [14, 15, 16], 'radius': radius, 'operator': operator, 'out': ints(np.packbits(o, bitorder='little'))})

INITIAL = []
for ps, deg in (((128, 128, 128), 30), ((40, 56, 40), 30), ((10, 256, 224), 180), ((96, 160, 64), 30),
                ((512, 512), 180), ((56, 40), 180), ((160, 96), 15)):
    r = (-deg / 360 * 2 * np.pi, deg / 360 * 2 * np.pi)
    init = [int(i) for i in get_patch_size(ps, r, r, r, (0.7, 1.43))]
    if len(ps) == 3 and deg == 180:
        init[0] = ps[0]
    INITIAL.append({'patch': ps, 'degrees': deg, 'loaded': init})


# ---------------------------------------------------------------- all of them in order
def whole(name, trainer, loaded, patch, dims, degrees, dummy2d, channels, cascade=None, mask=None, seed=0):
    np.random.seed(seed)
    random.seed(seed)
    here = patch[3 - dims:]
    batch = batch_of(loaded, channels, cascade is not None, dims)
    out = {'name': name, 'loaded': loaded, 'patch': patch, 'dimensions': dims, 'planar': dims == 2 or dummy2d, 'channels': channels,
           'cascade': cascade, 'masked': [i for i, m in enumerate(mask or []) if m], 'steps': [], 'cascadeSteps': [],
           'nearestImage': trainer is da5.nnUNetTrainerDA5ord0, 'nearestLabels': trainer is not da5.nnUNetTrainerDA5}
    for t in pipeline(trainer, here, dims, degrees, dummy2d, channels, cascade, mask):
        kind = type(t).__name__
        if kind in ('GaussianNoiseTransform', 'RemoveRandomConnectedComponentFromOneHotEncodingTransform'):
            continue
        if kind == 'BrightnessGradientAdditiveTransform':
            t.p_per_channel = 0.7  # not everything at once
        if kind not in ('MirrorTransform', 'BrightnessGradientAdditiveTransform', 'BlankRectangleTransform'):
            certain(t)
        elif kind != 'MirrorTransform':
            t.p_per_sample = 1
        batch, log = LISTENER.during(lambda: t(**batch))
        if kind == 'SpatialTransform':
            out['spatial'] = spatial_of(t, log, 2 if dummy2d else dims)
        elif kind == 'ApplyRandomBinaryOperatorTransform':
            out['cascadeSteps'] = cascade_of(t, log, len(cascade))
        else:
            out['steps'] += steps_of(t, log, here, channels) or []
    return {**out, 'outImage': floats(batch['data'].numpy()), 'outLabels': ints(batch['target'].numpy())}


T = da5.nnUNetTrainerDA5
WHOLE = [
    whole('3-D', T, [21, 24, 24], [8, 10, 10], 3, 30, False, 2, mask=[True, False]),
    whole('3-D, previous stage', T, [21, 24, 26], [8, 10, 12], 3, 30, False, 1, cascade=[1, 2, 4], seed=1),
    whole('thick slices', T, [6, 30, 30], [6, 14, 14], 3, 180, True, 2, mask=[False, True], seed=2),
    whole('2-D', T, [1, 40, 44], [1, 20, 24], 2, 180, False, 2, mask=[True, True], seed=3),
    whole('order 0', da5.nnUNetTrainerDA5ord0, [21, 24, 26], [8, 10, 12], 3, 30, False, 1, seed=4),
    whole('labels of order 0', da5.nnUNetTrainerDA5Segord0, [21, 24, 26], [8, 10, 12], 3, 30, False, 1, seed=5),
]


# ---------------------------------------------------------------- distributions
def values_of(step, spatial_dims):
    """The parameters of a step by name, as da5_draws_test.ts has them."""
    kind = step['kind']
    if kind in ('brightnessGradient', 'localGamma'):
        k = step['kernel']
        axes = range(3 - spatial_dims, 3)
        yield from (('%s %d' % (word, axis), k[word][axis]) for word in ('centre', 'deviation') for axis in axes)
    if kind == 'blank':
        yield from (('%s %d' % (word, axis), step[word][axis]) for word in ('start', 'size') for axis in range(3 - spatial_dims, 3))
    for word in ('sigma', 'offset', 'factor', 'scale', 'gamma', 'strength', 'width'):
        if word in step:
            yield '%s %s' % (kind, word), step[word]
    if kind == 'reorient':
        yield 'reorient ' + ''.join(map(str, step['order'])) + ' ' + ''.join(map(str, step['flips'])), 0


def collect(name, patch, dims, degrees, dummy2d, channels, samples):
    """Of `samples` samples: in how many a kind of step is done how often, and the values of each parameter."""
    np.random.seed(1)
    random.seed(1)
    transforms = pipeline(T, patch, dims, degrees, dummy2d, channels)
    counts, values = {}, {}
    add = lambda key, n: counts.setdefault(key, {}).__setitem__(str(n), counts[key].get(str(n), 0) + 1)
    for _ in range(samples):
        batch = {'data': np.zeros((1, channels, *patch), np.float32), 'target': np.zeros((1, 1, *patch), np.float32)}
        done = {}
        for t in transforms:
            kind = type(t).__name__
            if kind == 'SpatialTransform':
                cheap = {'data': np.zeros((1, 1, *[4] * len(t.patch_size)), np.float32), 'seg': None}
                size, t.patch_size = t.patch_size, [2] * len(t.patch_size)
                _, log = LISTENER.during(lambda: t(**cheap))
                t.patch_size = size
                s = spatial_of(t, log, len(size))
                add('resampled', int(LISTENER.resampled > 0))
                add('turned axes', sum(a != 0 for a in s['angles']))
                add('scaled axes', sum(a != 1 for a in s['scale']))
                values.setdefault('angle', []).extend(a for a in s['angles'] if a != 0)
                values.setdefault('scale', []).extend(a for a in s['scale'] if a != 1)
                continue
            if kind in NO_STEPS and kind != 'RenameTransform':
                continue
            with pixels_left_alone():
                batch, log = LISTENER.during(lambda: t(**batch))
            for step in steps_of(t, log, patch, channels) or []:
                name_of = step['kind'] + (' unbounded' if step.get('unbounded') else '')
                done[name_of] = done.get(name_of, 0) + 1
                for key, value in values_of(step, dims):
                    values.setdefault(key, []).append(value)
                if step['kind'] == 'mirror':
                    for axis in step['axes']:
                        done['mirror %d' % axis] = 1
        for kind in ('median', 'gaussian', 'noise', 'addBrightness', 'contrast', 'contrast unbounded', 'splineLowResolution', 'gamma',
                     'blank', 'brightnessGradient', 'localGamma', 'sharpen', 'reorient', 'mirror 0', 'mirror 1', 'mirror 2'):
            add(kind, done.get(kind, 0))
    reorients = {k: len(v) for k, v in values.items() if k.startswith('reorient')}
    few = [k for k, v in values.items() if len(v) < 1500 and k not in reorients]
    assert not few, few
    return {'name': name, 'patch': patch, 'dimensions': dims, 'channels': channels, 'samples': samples, 'counts': counts,
            'reorients': reorients,
            'values': {k: distribution(k, v) for k, v in sorted(values.items()) if k not in reorients}}


def distribution(key, values):
    """How often each whole number was drawn, or 101 quantiles."""
    if key.split()[0] in ('start', 'size') or key == 'median width':
        return {'draws': len(values), 'counts': {str(v): values.count(v) for v in sorted(set(values))}}
    v = np.sort(np.array(values, np.float64))
    return {'draws': len(v), 'quantiles': [float('%.5g' % q) for q in v[(np.arange(101) * (len(v) - 1)) // 100]]}


@contextlib.contextmanager
def pixels_left_alone():
    """Filters that return their input: only draws are wanted."""
    from batchgenerators.augmentations import noise_augmentations, resample_augmentations
    from batchgenerators.transforms import noise_transforms
    kept = []
    for module, name in ((noise_transforms, 'median_filter'), (noise_transforms, 'convolve'), (noise_augmentations, 'gaussian_filter'),
                         (resample_augmentations, 'resize')):
        kept.append((module, name, getattr(module, name)))
        setattr(module, name, (lambda a, shape, **k: np.zeros(shape)) if name == 'resize' else (lambda a, *b, **k: a))
    try:
        yield
    finally:
        for module, name, original in kept:
            setattr(module, name, original)


write('da5.json', {'step': STEP, 'spatial': SPATIAL, 'each': EACH, 'operators': OPERATORS, 'initialPatch': INITIAL, 'whole': WHOLE})
write('da5_draws.json', {'draws': [
    collect('3-D', [24, 24, 24], 3, 30, False, 2, 20000),
    collect('thick slices', [8, 30, 30], 3, 180, True, 2, 20000),
    collect('2-D', [30, 24], 2, 180, False, 3, 20000),
]})
