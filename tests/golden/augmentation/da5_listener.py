"""Upstream's nnUNetTrainerDA5 listened to: its transforms draw while they transform, so numpy's random functions are wrapped (Listener),
and what they gave is read as the steps of core/train/augment/steps.ts (steps_of). For make_da5_golden.py.
"""
import random

import numpy as np

from batchgenerators.augmentations import spatial_transformations


class Listener:
    """Notes (function, arguments, result) of every random draw."""

    def __init__(self):
        self.log, self.resampled = [], 0
        for module, names in ((np.random, ('uniform', 'random', 'normal', 'randint', 'random_integers', 'choice', 'shuffle')),
                              (random, ('uniform',))):
            for name in names:
                setattr(module, name, self.listening(name, getattr(module, name)))
        original = spatial_transformations.interpolate_img

        def interpolate(*args, **kwargs):
            self.resampled += 1
            return original(*args, **kwargs)
        spatial_transformations.interpolate_img = interpolate

    def listening(self, name, original):
        def call(*args, **kwargs):
            if name == 'normal' and kwargs.get('size') is not None:
                return original(*args, **kwargs)  # the field of noise
            result = original(*args, **kwargs)
            self.log.append((name, args, list(args[0]) if name == 'shuffle' else result))
            return result
        return call

    def during(self, call):
        self.log.clear()
        self.resampled = 0
        result = call()
        return result, list(self.log)


LISTENER = Listener()
NO_STEPS = ('SpatialTransform', 'Convert3DTo2DTransform', 'Convert2DTo3DTransform', 'RenameTransform', 'RemoveLabelTransform',
            'NumpyToTensor')


class Draws:
    """Reads a log from its start."""

    def __init__(self, log):
        self.log, self.at = log, 0

    def next(self, *names):
        name, args, value = self.log[self.at]
        assert name in names, (name, names, self.log)
        self.at += 1
        return args, value

    def value(self, *names):
        return self.next(*names)[1]

    def done(self):
        return self.at == len(self.log)

    def around_one(self):
        self.value('random')
        return float(self.value('uniform'))


def channels_of(t, draws, channels, read):
    """[read(channel) of each channel that was chosen], of transforms that choose the sample and then each channel."""
    if not draws.value('uniform') < t.p_per_sample:
        return []
    steps = []
    for c in range(channels):
        if draws.value('uniform') < t.p_per_channel:
            steps.append(read(c))
    return steps


def kernel(draws, patch):
    """loc and scale of each axis, in turn."""
    centre, deviation = [0, 0, 0], [0, 0, 0]
    for axis, n in enumerate(patch, 3 - len(patch)):
        centre[axis] = draws.value('uniform') * n
        args, value = draws.next('uniform')
        deviation[axis] = float(np.exp(value))
    return {'centre': centre, 'deviation': deviation}


def steps_of(t, log, patch, channels):
    """What a transform did to a batch of one sample, as AugmentationStep; None if it is none of them."""
    kind, d, dims = type(t).__name__, Draws(log), len(patch)
    padded = lambda v: [0] * (3 - dims) + list(v)
    if kind == 'OneOfTransform':
        chosen = d.value('choice')
        return steps_of(t.list_of_transforms[chosen], log[1:], patch, channels)
    if kind == 'Rot90Transform':
        if not d.value('uniform') < t.p_per_sample:
            return []
        turns, axes = int(d.value('choice')), sorted(int(a) + 3 - dims for a in d.value('choice'))
        order, (a, b) = [0, 1, 2], axes
        if turns % 2:
            order[a], order[b] = b, a
        return [{'kind': 'reorient', 'order': order, 'flips': [[], [a], [a, b], [b]][turns]}]
    if kind == 'TransposeAxesTransform':
        if not d.value('uniform') < t.p_per_sample:
            return []
        order = [0, 1, 2]
        for axis, source in zip(sorted(t.transpose_any_of_these), d.value('shuffle')):
            order[axis + 3 - dims] = int(source) - 1 + 3 - dims
        return [{'kind': 'reorient', 'order': order, 'flips': []}]
    if kind == 'MedianFilterTransform':
        return channels_of(t, d, channels, lambda c: {'kind': 'median', 'channel': c, 'width': int(d.value('randint'))})
    if kind == 'GaussianBlurTransform':
        return channels_of(t, d, channels, lambda c: {'kind': 'gaussian', 'channel': c, 'sigma': float(d.value('uniform'))})
    if kind == 'GaussianNoiseTransform':
        return [{'kind': 'noise', 'sigma': float(d.value('uniform'))}] if d.value('uniform') < t.p_per_sample else []
    if kind == 'BrightnessTransform':
        return channels_of(t, d, channels, lambda c: {'kind': 'addBrightness', 'channel': c, 'offset': float(d.value('normal'))})
    if kind == 'ContrastAugmentationTransform':
        return channels_of(t, d, channels, lambda c: {'kind': 'contrast', 'channel': c, 'factor': d.around_one(),
                                                      'unbounded': not t.preserve_range})
    if kind == 'SimulateLowResolutionTransform':
        return channels_of(t, d, channels, lambda c: {'kind': 'splineLowResolution', 'channel': c,
                                                      'scale': float(d.value('uniform'))})
    if kind == 'GammaTransform':
        return [{'kind': 'gamma', 'channel': c, 'gamma': d.around_one(), 'inverted': t.invert_image}
                for c in range(channels)] if d.value('uniform') < t.p_per_sample else []
    if kind == 'MirrorTransform':
        d.value('uniform')
        axes = [a + 3 - dims for a in t.axes if d.value('uniform') < 0.5]
        return [{'kind': 'mirror', 'axes': axes}] if axes else []
    if kind == 'BlankRectangleTransform':
        def boxes(c):
            def box():
                size = [int(d.value('random_integers')) for _ in patch]
                return {'kind': 'blank', 'channel': c, 'size': [1] * (3 - dims) + size,
                        'start': padded(int(d.value('random_integers')) for _ in patch)}
            return [box() for _ in range(int(d.value('random_integers')))]
        return sum(channels_of(t, d, channels, boxes), [])
    if kind == 'BrightnessGradientAdditiveTransform':
        def gradient(c):
            k = kernel(d, patch)
            d.value('uniform')
            return {'kind': 'brightnessGradient', 'channel': c, 'kernel': k, 'strength': float(d.value('uniform'))}
        return channels_of(t, d, channels, gradient)
    if kind == 'LocalGammaTransform':
        def gamma(c):
            k = kernel(d, patch)
            d.value('uniform')
            return {'kind': 'localGamma', 'channel': c, 'kernel': k, 'gamma': float(d.value('uniform'))}
        return channels_of(t, d, channels, gamma)
    if kind == 'SharpeningTransform':
        return channels_of(t, d, channels, lambda c: {'kind': 'sharpen', 'channel': c, 'strength': float(d.value('uniform'))})
    return None


def spatial_of(t, log, dims):
    """SpatialParameters of a transform that was applied; upstream's angles turn the other way."""
    angles, scales = [0, 0, 0], []
    d = Draws(log)
    if d.value('uniform') < t.p_rot_per_sample:
        for axis in range(3 if dims == 3 else 1):
            if d.value('uniform') <= t.p_rot_per_axis:
                angles[axis] = -float(d.value('uniform'))
    if d.value('uniform') < t.p_scale_per_sample:
        d.value('uniform')
        scales = [d.around_one() for _ in range(dims)]
    assert d.done()
    return {'angles': angles, 'scale': [1] * (3 - dims) + scales if scales else [1, 1, 1]}


def cascade_of(t, log, masks):
    d, steps = Draws(log), []
    if d.value('uniform') < t.p_per_sample:
        for c in d.value('shuffle'):
            d.value('uniform')
            operation = d.value('choice').__name__.split('_')[1]
            steps.append({'kind': 'operator', 'mask': int(c) + masks, 'operator': operation, 'radius': float(d.value('uniform'))})
    return steps


def pipeline(trainer, patch, dims, degrees, dummy2d, channels, cascade=None, mask=None):
    r = (-degrees / 360 * 2 * np.pi, degrees / 360 * 2 * np.pi)
    return trainer.get_training_transforms(
        list(patch), r, None, tuple(range(dims)), dummy2d, use_mask_for_norm=mask or [False] * channels,
        is_cascaded=cascade is not None, foreground_labels=cascade, regions=None, ignore_label=None).transforms


def certain(t):
    """The transform, applied to every sample and channel."""
    for name in ('p_per_sample', 'p_per_channel', 'p_rot_per_sample', 'p_scale_per_sample'):
        if hasattr(t, name):
            setattr(t, name, 1)
    for inner in getattr(t, 'list_of_transforms', ()):
        certain(inner)
    return t
