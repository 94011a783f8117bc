"""augmentation_upstream.py for nnUNetTrainerDA5: the same requests and answers, with the transforms of batchgenerators 0.25.5.

They draw while they transform: numpy's draws give the low end of their ranges here, and ranges are the parameters. Parameters that no
time depends on may differ: scales of the axes (one for all), the order of exchanged axes, where a blank box is.
"""
import numpy as np

from batchgenerators.transforms.color_transforms import BrightnessTransform, ContrastAugmentationTransform, GammaTransform
from batchgenerators.transforms.local_transforms import BrightnessGradientAdditiveTransform, LocalGammaTransform
from batchgenerators.transforms.noise_transforms import BlankRectangleTransform, GaussianBlurTransform, GaussianNoiseTransform, \
    MedianFilterTransform, SharpeningTransform
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform, Rot90Transform, SpatialTransform, \
    TransposeAxesTransform
from batchgenerators.transforms.utility_transforms import RemoveLabelTransform
from nnunetv2.training.data_augmentation.custom_transforms.transforms_for_dummy_2d import Convert2DTo3DTransform, \
    Convert3DTo2DTransform

from augmentation_upstream import answer, phantom

np.random.uniform = lambda low=0.0, high=1.0, size=None: low
np.random.random = lambda size=None: 0.0


def batch(spec):
    sample = phantom(spec)
    return {'data': sample['image'].numpy()[None], 'seg': sample['segmentation'].numpy()[None]}


def prepared(spec):
    """A function of a batch and its parameters."""
    dims = spec['dimensions']
    dummy2d = spec['planar'] and dims == 3
    patch = spec['patch'][1:] if spec['planar'] else spec['patch']
    remove = RemoveLabelTransform(-1, 0)

    def run(d, parameters):
        if dummy2d:
            d = Convert3DTo2DTransform()(**d)
        d = spatial(patch, parameters.get('spatial'))(**d)
        if dummy2d:
            d = Convert2DTo3DTransform()(**d)
        for s in parameters['steps']:
            d = transform(s, dims, dummy2d)(**d)
        return remove(**d)
    return run


def spatial(patch, parameters):
    p = 0 if parameters is None else 1
    x, y, z = [-a for a in parameters['angles']] if p else (0, 0, 0)
    scale = parameters['scale'] if p else 1
    k = scale if np.isscalar(scale) else max(scale, key=lambda one: abs(one - 1))
    return SpatialTransform(
        patch, patch_center_dist_from_border=None, do_elastic_deform=False, do_rotation=True, angle_x=(x, x), angle_y=(y, y),
        angle_z=(z, z), p_rot_per_axis=1, do_scale=True, scale=(k, k), border_mode_data='constant', border_cval_data=0, order_data=3,
        border_mode_seg='constant', border_cval_seg=-1, order_seg=1, random_crop=False, p_el_per_sample=0, p_scale_per_sample=p,
        p_rot_per_sample=p, independent_scale_for_each_axis=True)


def transform(s, dims, dummy2d):
    kind = s['kind']
    if kind == 'reorient':
        moved = tuple(i - 3 + dims for i, o in enumerate(s['order']) if o != i)
        flips = [a - 3 + dims for a in s['flips']]
        if not flips:
            return TransposeAxesTransform(moved, p_per_sample=1) if moved else (lambda **d: d)
        return Rot90Transform((1,) if moved else (2,), axes=moved or flips, p_per_sample=1)
    if kind == 'mirror':
        return MirrorTransform(tuple(a - 3 + dims for a in s['axes']))
    if kind == 'noise':
        return GaussianNoiseTransform((s['sigma'], s['sigma']))
    if kind == 'median':
        return MedianFilterTransform((s['width'], s['width'] + 1))
    if kind == 'gaussian':
        return GaussianBlurTransform((s['sigma'], s['sigma']))
    if kind == 'addBrightness':
        return BrightnessTransform(s['offset'], 0)
    if kind == 'contrast':
        return ContrastAugmentationTransform((s['factor'], s['factor']), preserve_range=not s.get('unbounded'))
    if kind == 'splineLowResolution':
        return SimulateLowResolutionTransform((s['scale'], s['scale']), per_channel=True, order_downsample=0, order_upsample=3,
                                              ignore_axes=(0,) if dummy2d else None)
    if kind == 'gamma':
        return GammaTransform((s['gamma'], s['gamma']), invert_image=True, per_channel=True, retain_stats=True)
    if kind == 'blank':
        return BlankRectangleTransform(s['size'][3 - dims:], np.mean, 1)
    if kind == 'sharpen':
        return SharpeningTransform((s['strength'], s['strength']))
    centre, deviation = s['kernel']['centre'][3 - dims:], s['kernel']['deviation'][3 - dims:]
    place = (lambda size, axis: deviation[axis]), (lambda size, axis: centre[axis] / size[axis])
    if kind == 'brightnessGradient':
        return BrightnessGradientAdditiveTransform(*place, max_strength=lambda *_: s['strength'], mean_centered=False,
                                                   same_for_all_channels=False)
    return LocalGammaTransform(*place, lambda: s['gamma'], same_for_all_channels=False)


answer(batch, prepared)
