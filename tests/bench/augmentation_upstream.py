"""Upstream's augmentation for augmentation_bench.ts, on one thread: reads one line of JSON a request, answers with one.

Request: {"spec": AugmentationSpec, "parameters": [AugmentationParameters, ...]} as core/train/augment has them.
Answer: processor milliseconds of each; the sample's copy is not timed. Needs batchgeneratorsv2 0.3.6.
"""
import copy
import json
import sys
import time

import numpy as np
import torch

from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.nnunet import random_binary_operator as rbo
from batchgeneratorsv2.transforms.nnunet.remove_connected_components import \
    RemoveRandomConnectedComponentFromOneHotEncodingTransform
from batchgeneratorsv2.transforms.nnunet.seg_to_onehot import MoveSegAsOneHotToDataTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform

torch.set_num_threads(1)


def phantom(spec):
    size = spec['loadPatch']
    i = np.arange(int(np.prod(size)), dtype=np.float64)
    image = (np.sin(0.01 * i) + 0.3 * np.sin(0.37 * i)).astype(np.float32).reshape(1, *size)
    at = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in size], indexing='ij')
    distance = lambda place: sum((a - place) ** 2 for a in at)
    labels = np.where(distance(0.4) < 0.03, 1, np.where(distance(0.65) < 0.02, 2, 0)).astype(np.int16)[None]
    if 'cascadeLabels' in spec:
        labels = np.concatenate((labels, labels))
    sample = {'image': torch.from_numpy(image), 'segmentation': torch.from_numpy(labels)}
    return {k: v[:, 0] for k, v in sample.items()} if spec['dimensions'] == 2 else sample


class Pipeline:
    """Upstream's transforms, made once as a worker has them; their parameters are given."""

    def __init__(self, spec):
        dims = spec['dimensions']
        self.dims, self.dummy2d = dims, spec['planar'] and dims == 3
        patch = spec['patch'][1:] if spec['planar'] else spec['patch']
        self.spatial = SpatialTransform(tuple(patch), 0, False, p_elastic_deform=0, p_rotation=1, p_scaling=1,
                                        rotation=lambda image, dim: self.angles[dim], scaling=lambda *a, **k: self.scale,
                                        p_synchronize_scaling_across_axes=1, bg_style_seg_sampling=False)
        self.noise = GaussianNoiseTransform((0, 0.1), 1, True)
        self.blur = GaussianBlurTransform((0.5, 1.), False, False, 0.5, benchmark=True)
        self.brightness = MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), False, 1)
        self.contrast = ContrastTransform(BGContrast((0.75, 1.25)), True, False, 1)
        self.low = SimulateLowResolutionTransform((0.5, 1), False, True, None, None, 0.5)
        self.gamma = GammaTransform(BGContrast((0.7, 1.5)), 0, False, 1, 1)
        self.mirror = MirrorTransform((0, 1, 2))
        self.remove = RemoveLabelTansform(-1, 0)
        self.masks = spec.get('cascadeLabels')
        if self.masks:
            channels = list(range(-len(self.masks), 0))
            self.onehot = MoveSegAsOneHotToDataTransform(1, self.masks, True)
            self.operator = rbo.ApplyRandomBinaryOperatorTransform(channels, strel_size=(1, 8))
            self.component = RemoveRandomConnectedComponentFromOneHotEncodingTransform(channels, 0, 0.15, 1)

    def __call__(self, d, parameters):
        spatial = parameters.get('spatial')
        self.spatial.p_rotation = self.spatial.p_scaling = 0 if spatial is None else 1
        if spatial is not None:
            a = spatial['angles']
            self.angles, self.scale = ([0, a[0]] if self.dims == 2 or self.dummy2d else a), spatial['scale']
        if self.dummy2d:
            d = Convert3DTo2DTransform()(**d)
        d = self.spatial(**d)
        if self.dummy2d:
            d = Convert2DTo3DTransform()(**d)
        for s in parameters['steps']:
            d = self.step(d, s)
        d = self.remove(**d)
        if self.masks:
            d = self.onehot(**d)
            for s in parameters['cascade']:
                channel = [s['mask'] - len(self.masks)]
                if s['kind'] == 'operator':
                    d = self.operator.apply(d, apply_to_channels=channel, strel_size=[s['radius']],
                                            operators=[getattr(rbo, 'binary_%s_torch' % s['operator'])])
                else:
                    d = self.component.apply(d, apply_to_channels=channel)
        return d

    def step(self, d, s):
        kind, dims = s['kind'], self.dims
        if kind == 'noise':
            n = len(d['image'])
            return self.noise.apply(d, apply_idx=torch.arange(n), num_apply=n, sigmas=s['sigma'])
        if kind == 'mirror':
            return self.mirror.apply(d, axes=[a - 3 + dims for a in s['axes']])
        one = torch.tensor([s['channel']])
        if kind == 'blur':
            chosen = torch.arange(len(d['image'])) == s['channel']
            return self.blur.apply(d, apply_to_channel=chosen, sigmas=[s['sigmas'][3 - dims:]])
        if kind == 'lowResolution':
            k = [s['scale']] * dims
            if self.dummy2d:
                k[0] = 1
            return self.low.apply(d, apply_to_channel=one, scales=torch.Tensor([k]))
        if kind == 'gamma':
            return self.gamma.apply(d, apply_to_channel=one, retain_stats=torch.tensor([True]),
                                    invert_image=torch.tensor([s['inverted']]), gamma=torch.tensor([s['gamma']]))
        transform = self.brightness if kind == 'brightness' else self.contrast
        return transform.apply(d, apply_to_channel=one, multipliers=torch.tensor([s['factor']]))


def answer(make_sample, make_pipeline):
    """Answers requests until there are no more: a pipeline of a spec is called with a copy of the spec's sample and parameters."""
    kept = None
    for line in sys.stdin:
        request = json.loads(line)
        if kept is None or kept[0] != request['spec']:
            kept = (request['spec'], make_pipeline(request['spec']), make_sample(request['spec']))
        _, pipeline, sample = kept
        times = []
        with torch.no_grad():
            for parameters in request['parameters']:
                d = {k: copy.deepcopy(v) for k, v in sample.items()}
                start = time.process_time()
                pipeline(d, parameters)
                times.append((time.process_time() - start) * 1e3)
        print(json.dumps(times), flush=True)


if __name__ == '__main__':
    answer(phantom, Pipeline)
