#!/usr/bin/env python3
"""What nnU-Net's augmentation makes of given samples with given parameters, and how its parameters and patches are distributed.

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 python make_augmentation_golden.py

with nnunetv2 2.5.1, batchgeneratorsv2 0.3.6 and torch installed; writes transforms.json and draws.json beside itself.
Inputs are formulas (golden_inputs.py; inputs.ts has the same). Images are stored as base64 of float32, every STEP-th
value; label maps as base64 of int8, every value. Distributions are stored as quantiles of 10,000 draws, or as counts.
"""
import base64
from types import SimpleNamespace

import numpy as np
import torch

torch.set_num_threads(1)

from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.nnunet import random_binary_operator as rbo
from batchgeneratorsv2.transforms.nnunet.remove_connected_components import \
    RemoveRandomConnectedComponentFromOneHotEncodingTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial import spatial as sp
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.base_data_loader import nnUNetDataLoaderBase
from nnunetv2.training.dataloading.data_loader_2d import nnUNetDataLoader2D
from nnunetv2.training.dataloading.data_loader_3d import nnUNetDataLoader3D
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from golden_inputs import DRAWS, STEP, floats, image, ints, labels, quantiles, tensor, write


# ---------------------------------------------------------------- transforms, parameters given
def spatial(name, loaded, patch, angles, scale, num, off, planar=False, mode_seg='bilinear'):
    """loaded and patch have three axes; planar ones are transformed slice by slice."""
    rot = any(angles)
    t = sp.SpatialTransform(tuple(patch[1:] if planar else patch), 0, False, p_elastic_deform=0,
                            p_rotation=1.0 if rot else 0.0, rotation=lambda image, dim: angles[dim],
                            p_scaling=1.0 if scale != 1 else 0.0, scaling=float(scale),
                            p_synchronize_scaling_across_axes=1, bg_style_seg_sampling=False, mode_seg=mode_seg)
    d = {'image': tensor(image((2, *loaded))), 'segmentation': tensor(labels(loaded, num, off)[None])}
    with torch.no_grad():
        if planar:
            d = Convert3DTo2DTransform()(**d)
        d = t(**d)
        if planar:
            d = Convert2DTo3DTransform()(**d)
    # In planar transforms upstream uses the last of two angles; here it is the one about axis 0.
    return {'name': name, 'loaded': loaded, 'patch': patch, 'planar': planar, 'nearest': mode_seg == 'nearest',
            'angles': [angles[1], 0, 0] if planar else angles, 'scale': scale, 'crop': not rot and scale == 1,
            'labels': [num, off], 'outImage': floats(d['image'].numpy()), 'outLabels': ints(d['segmentation'].numpy())}


SPATIAL = [
    spatial('crop, even', [20, 22, 24], [12, 14, 16], [0, 0, 0], 1, 4, 0),
    spatial('crop, odd', [19, 22, 25], [12, 13, 16], [0, 0, 0], 1, 4, 0),
    spatial('rotation inside', [24, 26, 28], [12, 14, 16], [0.3, -0.2, 0.45], 1, 4, 0),
    spatial('rotation about one axis', [21, 26, 28], [12, 14, 16], [0.4, 0, 0], 1, 4, 0),
    spatial('rotation and scaling', [24, 26, 28], [12, 14, 16], [-0.5, 0.25, 0.1], 0.77, 4, 0),
    spatial('rotation and scaling, outside', [15, 17, 20], [12, 14, 16], [0.5, 0.4, -0.3], 1.37, 4, 1),
    spatial('scaling', [15, 17, 20], [12, 14, 16], [0, 0, 0], 1.25, 3, -1),
    spatial('two labels, outside', [14, 15, 16], [12, 14, 16], [0.2, 0.1, -0.3], 1.3, 2, 0),
    spatial('-1 present, outside', [14, 15, 16], [12, 14, 16], [0.2, 0.1, -0.3], 1.3, 3, -1),
    spatial('one label, outside', [14, 15, 16], [12, 14, 16], [0.2, 0.1, -0.3], 1.3, 1, 2),
    spatial('exact ties between voxels', [16, 16, 8], [11, 12, 5], [0, 0, 1e-30], 1, 4, 0),
    spatial('nearest labels', [24, 26, 28], [12, 14, 16], [0.3, -0.2, 0.45], 1.3, 4, -1, mode_seg='nearest'),
    spatial('2-D', [1, 30, 33], [1, 20, 24], [9.9, 0.7], 1.2, 4, 0, planar=True),
    spatial('2-D, 180 degrees', [1, 30, 34], [1, 20, 24], [9.9, 3.0], 1, 5, -1, planar=True),
    spatial('thick slices', [4, 26, 28], [4, 16, 20], [9.9, -2.2], 0.9, 4, 0, planar=True),
    spatial('thick slices, outside, nearest', [4, 17, 20], [4, 16, 20], [9.9, 0.8], 1.3, 4, -1, True, 'nearest'),
]

BLUR = []
for shape, sigmas in (((8, 9, 10), [0.5, 0.8, 1.0]), ((8, 9, 10), [0.95, 0.6, 0.55]), ((1, 12, 13), [0.55, 0.97]),
                      ((1, 12, 13), [0.7, 0.7]), ((4, 5, 6), [1.0, 0.99, 0.98])):
    dims = len(sigmas)
    x = image(shape, 0.5)
    t = GaussianBlurTransform((0.5, 1.), False, False, 0.5, benchmark=False)
    o = t._apply_to_image(tensor(x.reshape(1, *shape[-dims:])), apply_to_channel=torch.tensor([True]), sigmas=[sigmas])
    BLUR.append({'size': shape, 'sigmas': [0] * (3 - dims) + sigmas, 'out': floats(o.numpy())})

SIZE = (5, 6, 7)
INTENSITY = []
for k, (f, g) in enumerate(((0.8, 0.72), (1.2, 1.4))):
    def run(transform, **parameters):
        return floats(transform._apply_to_image(tensor(image(SIZE, k)[None]), apply_to_channel=torch.tensor([0]),
                                                **parameters).numpy())

    gammas = [run(GammaTransform(BGContrast((0.7, 1.5)), float(inv), False, 1, 1), retain_stats=torch.tensor([True]),
                  invert_image=torch.tensor([inv]), gamma=torch.tensor([g])) for inv in (False, True)]
    INTENSITY.append({
        'phase': k, 'factor': f, 'gamma': g, 'outGamma': gammas[0], 'outGammaInverted': gammas[1],
        'outBrightness': run(MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), False),
                             multipliers=torch.tensor([f])),
        'outContrast': run(ContrastTransform(BGContrast((0.75, 1.25)), True, False), multipliers=torch.tensor([f]))})

LOW_RESOLUTION = []
for shape, scale, keep_z in (((9, 11, 14), .5, False), ((9, 11, 14), .73, False), ((4, 11, 14), .6, True),
                             ((4, 11, 14), .9, True), ((1, 13, 16), .55, True), ((1, 13, 16), .81, True),
                             ((30, 35, 24), 0.7143, False), ((30, 35, 24), 0.999, False)):
    dims = 2 if shape[0] == 1 else 3
    s = [scale] * dims
    if keep_z and dims == 3:
        s[0] = 1
    t = SimulateLowResolutionTransform((0.5, 1), False, True, None, None, 0.5)
    o = t._apply_to_image(tensor(image(shape, 2.0).reshape(1, *shape[-dims:])), apply_to_channel=torch.tensor([0]),
                          scales=torch.Tensor([s]))
    LOW_RESOLUTION.append({'size': shape, 'scale': scale, 'keepZ': keep_z, 'out': floats(o.numpy())})

OPERATORS = []
for shape in ((14, 15, 16), (9, 10, 40), (1, 22, 25)):
    dims = 2 if shape[0] == 1 else 3
    v = (labels(shape, 3) == 1).reshape(shape[-dims:])
    for radius in (1.0, 2.3, 4.7, 7.9):
        k = torch.from_numpy((rbo.disk if dims == 2 else rbo.ball)(radius, dtype=bool))
        for name in ('dilation', 'erosion', 'closing', 'opening'):
            o = getattr(rbo, 'binary_%s_torch' % name)(tensor(v), k).numpy()
            OPERATORS.append({'size': shape, 'radius': radius, 'operator': name,
                              'out': base64.b64encode(np.packbits(o, bitorder='little').tobytes()).decode()})
masks = np.stack([labels((14, 15, 16), 4) == l for l in (1, 2, 3)]).astype(np.float32)
t = rbo.ApplyRandomBinaryOperatorTransform([-3, -2, -1], strel_size=(1, 8))
o = t._apply_to_image(tensor(masks), apply_to_channels=[-1, -3], strel_size=[2.3, 1.6],
                      operators=[rbo.binary_dilation_torch, rbo.binary_closing_torch]).numpy()
OPERATOR_SEQUENCE = {'size': (14, 15, 16), 'out': ints(o),
                     'steps': [[2, 'dilation', 2.3], [0, 'closing', 1.6]]}

# Every choice among the components: the set of results is what can come out.
block = np.zeros((10, 11, 12), np.float32)
block[0, 0, :] = 1                                    # a line
block[2:9, 2:9, 2:7] = 1                              # 245 of 1320 voxels: too large
block[9, 9, 7] = block[9, 10, 8] = 1                  # touches the block at a corner
block[0:2, 9, 10] = block[2, 10, 11] = 1              # corner-connected
block[5:10, 4:8, 9:12] = 1                            # 60 voxels
block[7, 5, 10] = 0                                   # with a hole
np.random.seed(0)
t = RemoveRandomConnectedComponentFromOneHotEncodingTransform([-1], 0, 0.15, 1)
COMPONENTS = {'size': block.shape, 'mask': ints(block),
              'results': sorted({ints(t(image=tensor(block[None]))['image'].numpy()) for _ in range(200)})}

INITIAL = []
for ps, deg in (((128, 128, 128), 30), ((40, 56, 40), 30), ((10, 256, 224), 180), ((96, 160, 64), 30),
                ((512, 512), 180), ((56, 40), 180), ((160, 96), 15), ((20, 61, 60), 180), ((20, 60, 60), 30)):
    r = (-deg / 360 * 2 * np.pi, deg / 360 * 2 * np.pi)
    init = [int(i) for i in get_patch_size(ps, r, r, r, (0.85, 1.25))]
    if len(ps) == 3 and deg == 180:
        init[0] = ps[0]
    INITIAL.append({'patch': ps, 'degrees': deg, 'loaded': init})


# ---------------------------------------------------------------- the whole pipeline, parameters as upstream drew them
class Recorder:
    """Notes the parameters that upstream's transforms draw, in the form that drawAugmentation has them."""

    def __init__(self):
        self.spatial = None
        for name in ('create_affine_matrix_3d', 'create_affine_matrix_2d'):
            setattr(sp, name, self.noting(getattr(sp, name)))

    def noting(self, original):
        def call(angles, scales):
            self.spatial = (angles, scales)
            return original(angles, scales)
        return call


RECORDER = Recorder()


def pipeline(patch, dims, degrees, dummy2d, channels, cascade=None, mask=None):
    r = (-degrees / 360 * 2 * np.pi, degrees / 360 * 2 * np.pi)
    return nnUNetTrainer.get_training_transforms(
        np.array(patch), r, None, tuple(range(dims)), dummy2d, use_mask_for_norm=mask or [False] * channels,
        is_cascaded=cascade is not None, foreground_labels=cascade, regions=None, ignore_label=None)


def whole(name, loaded, patch, dims, degrees, dummy2d, channels, cascade=None, mask=None, seed=0):
    """A sample through all of upstream's transforms but noise and component removal, each applied, with the parameters they drew."""
    np.random.seed(seed)
    torch.manual_seed(seed)
    d = {'image': tensor(image((channels, *loaded), 0.3)), 'segmentation': tensor(labels(loaded, 4, -1)[None])}
    if cascade:
        d['segmentation'] = torch.cat((d['segmentation'], tensor(labels(loaded, 5, 0)[None])))
    if dims == 2:
        d = {k: v[:, 0] for k, v in d.items()}
    out = {'name': name, 'loaded': loaded, 'patch': patch, 'dimensions': dims, 'channels': channels, 'cascade': cascade,
           'masked': [i for i, m in enumerate(mask or []) if m], 'steps': [], 'cascadeSteps': []}
    for t in pipeline(patch[-dims:], dims, degrees, dummy2d, channels, cascade, mask).transforms:
        inner = t.transform if isinstance(t, RandomTransform) else t
        kind = type(inner).__name__
        if kind in ('GaussianNoiseTransform', 'RemoveRandomConnectedComponentFromOneHotEncodingTransform'):
            continue
        if kind == 'SpatialTransform':
            inner.p_rotation = inner.p_scaling = 1
            RECORDER.spatial = None
        p = inner.get_parameters(**d)
        steps = out['steps']
        if kind == 'SpatialTransform':
            angles, scales = RECORDER.spatial
            out['spatial'] = {'angles': list(angles) if isinstance(angles, list) else [angles, 0, 0], 'scale': scales[0]}
        elif kind == 'GaussianBlurTransform':
            inner.benchmark = False
            for c, sigmas in zip(np.where(p['apply_to_channel'])[0], p['sigmas']):
                steps.append({'kind': 'blur', 'channel': int(c), 'sigmas': [0] * (3 - dims) + sigmas})
        elif kind in ('MultiplicativeBrightnessTransform', 'ContrastTransform'):
            word = 'contrast' if kind[0] == 'C' else 'brightness'
            for c, f in zip(p['apply_to_channel'], p['multipliers']):
                steps.append({'kind': word, 'channel': int(c), 'factor': f.item()})
        elif kind == 'SimulateLowResolutionTransform':
            for c, k in zip(p['apply_to_channel'], p['scales']):
                steps.append({'kind': 'lowResolution', 'channel': int(c), 'scale': k[-1].item()})
        elif kind == 'GammaTransform':
            for c, g, i in zip(p['apply_to_channel'], p['gamma'], p['invert_image']):
                steps.append({'kind': 'gamma', 'channel': int(c), 'gamma': g.item(), 'inverted': bool(i)})
        elif kind == 'MirrorTransform':
            steps.append({'kind': 'mirror', 'axes': [a + 3 - dims for a in p['axes']]})
        elif kind == 'ApplyRandomBinaryOperatorTransform':
            for c, o, r in zip(p['apply_to_channels'], p['operators'], p['strel_size']):
                out['cascadeSteps'].append({'kind': 'operator', 'mask': c + len(cascade),
                                            'operator': o.__name__.split('_')[1], 'radius': r})
        d = inner.apply(d, **p)
    return {**out, 'outImage': floats(d['image'].numpy()), 'outLabels': ints(d['segmentation'].numpy())}


WHOLE = [
    whole('3-D', [15, 20, 22], [12, 14, 16], 3, 30, False, 3, mask=[True, False, True]),
    whole('3-D, previous stage', [15, 20, 22], [12, 14, 16], 3, 30, False, 2, cascade=[1, 2, 4], seed=1),
    whole('thick slices', [4, 26, 28], [4, 16, 20], 3, 180, True, 2, mask=[False, True], seed=2),
    whole('2-D', [1, 30, 33], [1, 20, 24], 2, 180, False, 2, mask=[True, True], seed=3),
]


def collect(name, patch, dims, degrees, dummy2d, channels, cascade=None):
    """Draws of each transform: how often it is applied in DRAWS samples, and DRAWS values of each of its parameters."""
    np.random.seed(1)
    torch.manual_seed(1)
    im = {'image': torch.zeros((channels, *([4] * dims))), 'segmentation': torch.zeros((1, *([4] * dims)))}
    out, values = {'samples': DRAWS, 'applied': {}}, {}

    def fill(key, draw):
        got = values.setdefault(key, [])
        while len(got) < DRAWS:
            got.extend(draw())

    for t in pipeline(patch, dims, degrees, dummy2d, channels, cascade).transforms:
        kind = type(t.transform if isinstance(t, RandomTransform) else t).__name__
        inner = t.transform if isinstance(t, RandomTransform) else t
        if isinstance(t, RandomTransform):
            if kind == 'GammaTransform':
                kind += 'Inverted' if inner.p_invert_image == 1 else ''
            out['applied'][kind] = sum(t.get_parameters(**im)['apply_transform'] for _ in range(DRAWS))
        if kind == 'SpatialTransform':
            d = {'image': im['image'][:, 0] if dummy2d else im['image']}
            counts = [0, 0, 0, 0]
            inner.patch_size = [2] * (2 if dummy2d else dims)
            angles, scales = [], []
            while len(angles) < DRAWS or len(scales) < DRAWS or sum(counts) < DRAWS:
                RECORDER.spatial = None
                inner.get_parameters(**d)
                a, s = RECORDER.spatial or ([0], [1])
                a = a if isinstance(a, (list, tuple)) else [a]
                if sum(counts) < DRAWS:
                    counts[2 * any(a) + (s[0] != 1)] += 1
                if any(a):
                    angles.extend(a)
                if s[0] != 1:
                    scales.append(s[0])
            out['spatial'] = counts  # neither, scaled, rotated, both
            values.update(angle=angles, scale=scales)
        elif kind == 'GaussianNoiseTransform':
            fill('noise', lambda: [inner.get_parameters(**im)['sigmas']])
        elif kind == 'GaussianBlurTransform':
            fill('blur', lambda: [s for c in inner.get_parameters(**im)['sigmas'] for s in c])
            out['blurredChannels'] = sum(int(inner.get_parameters(**im)['apply_to_channel'].sum()) for _ in range(DRAWS))
        elif kind == 'MultiplicativeBrightnessTransform':
            fill('brightness', lambda: inner.get_parameters(**im)['multipliers'].tolist())
        elif kind == 'ContrastTransform':
            fill('contrast', lambda: inner.get_parameters(**im)['multipliers'].tolist())
        elif kind == 'SimulateLowResolutionTransform':
            # The last axis: axis 0 is 1 with thick slices.
            fill('lowResolution', lambda: [s[-1].item() for s in inner.get_parameters(**im)['scales']])
            out['reducedChannels'] = sum(len(inner.get_parameters(**im)['apply_to_channel']) for _ in range(DRAWS))
        elif kind == 'GammaTransformInverted':
            fill('gammaInverted', lambda: inner.get_parameters(**im)['gamma'].tolist())
        elif kind == 'GammaTransform':
            fill('gamma', lambda: inner.get_parameters(**im)['gamma'].tolist())
        elif kind == 'MirrorTransform':
            drawn = [inner.get_parameters(**im)['axes'] for _ in range(DRAWS)]
            out['mirrored'] = {str(a + 3 - dims): sum(a in d for d in drawn) for a in range(dims)}
        elif kind == 'ApplyRandomBinaryOperatorTransform':
            counts, first = {}, {}
            radii = values.setdefault('radius', [])
            while len(radii) < DRAWS:
                p = inner.get_parameters(**im)
                radii.extend(p['strel_size'])
                for o in p['operators']:
                    key = o.__name__.split('_')[1]
                    counts[key] = counts.get(key, 0) + 1
                key = str(p['apply_to_channels'][0] + len(cascade))
                first[key] = first.get(key, 0) + 1
            out['operators'], out['firstMask'] = counts, first
    out['quantiles'] = {}
    for key, v in values.items():
        out['quantiles'][key] = quantiles(v)
    return {'name': name, 'patch': patch, 'dimensions': dims, 'channels': channels, 'cascade': cascade, **out}


# ---------------------------------------------------------------- patches
def blobs(shape):
    """1: a block, 2: a single voxel in the far corner, 3: a slab."""
    a = np.zeros(shape, np.int16)
    z, y, x = shape
    a[:, y // 2:y // 2 + 3, 2:6] = 1
    a[z - 1, y - 1, x - 1] = 2
    a[z // 2:, 0:2, :] = 3
    return a


class Cases:
    """A dataset of one case whose image holds its coordinates."""

    def __init__(self, seg, ignore):
        self.seg = seg[None]
        self.data = np.stack(np.meshgrid(*[np.arange(1, s + 1) for s in seg.shape], indexing='ij')).astype(np.float32)
        where = lambda keep: np.pad(np.argwhere(keep), ((0, 0), (1, 0)))
        annotated = [l for l in (0, 1, 2, 3) if l != ignore]
        self.locations = {l: where(seg == l) for l in annotated if l != 0}
        self.locations[4] = np.zeros((0, 4), int)  # a class that the case does not have
        if ignore is not None:
            self.locations[tuple(annotated)] = where(seg != ignore)

    def keys(self):
        return ['case']

    def load_case(self, key):
        return self.data, self.seg, {'class_locations': self.locations}


def patches(name, shape, patch, loaded, dims, forced, ignore):
    np.random.seed(2)
    seg = blobs(shape)
    data = Cases(seg, ignore)
    manager = SimpleNamespace(all_labels=[l for l in (0, 1, 2, 3) if l != ignore], has_ignore_label=ignore is not None)
    loader = (nnUNetDataLoader2D if dims == 2 else nnUNetDataLoader3D)(
        data, 100, loaded[-dims:], patch[-dims:], manager, oversample_foreground_percent=1.0 if forced else 0.0)
    starts, foreground = [{}, {}, {}], 0
    for _ in range(DRAWS // 100):
        batch = loader.generate_train_batch()
        for im, sg in zip(batch['data'], batch['target']):
            inside = np.argwhere(im[0] > 0)[0]
            corner = im[(slice(None), *inside)] - 1
            origin = [int(corner[0]) if dims == 2 else int(corner[0] - inside[0]),
                      int(corner[1] - inside[-2]), int(corner[2] - inside[-1])]
            for axis in range(3):
                starts[axis][origin[axis]] = starts[axis].get(origin[axis], 0) + 1
            foreground += bool((sg[0] > 0).any())
    return {'name': name, 'size': shape, 'patch': patch, 'loaded': loaded, 'dimensions': dims, 'forced': forced,
            'ignore': ignore, 'starts': [{str(k): v for k, v in sorted(s.items())} for s in starts], 'foreground': foreground}


PATCHES = []
for dims, shape, patch, loaded in ((3, (30, 24, 20), (12, 14, 10), (19, 23, 17)), (3, (9, 24, 60), (12, 14, 10), (19, 23, 17)),
                                   (3, (20, 24, 22), (12, 14, 10), (12, 14, 10)), (2, (7, 40, 31), (1, 20, 28), (1, 40, 37)),
                                   (2, (7, 40, 31), (1, 20, 28), (1, 20, 28))):
    for forced in (False, True):
        for ignore in (None, 3):
            PATCHES.append(patches('%dD %s in %s, %s%s' % (dims, loaded, shape, 'foreground' if forced else 'anywhere',
                                                          ', ignore label' if ignore else ''),
                                   shape, patch, loaded, dims, forced, ignore))

FORCED = []
for batch in (1, 2, 3, 4, 5, 7, 12, 49):
    label = SimpleNamespace(batch_size=batch, oversample_foreground_percent=0.33)
    FORCED.append({'batch': batch, 'forced': [nnUNetDataLoaderBase._oversample_last_XX_percent(label, i) for i in range(batch)]})


write('transforms.json', {'step': STEP, 'spatial': SPATIAL, 'blur': BLUR, 'intensity': INTENSITY, 'lowResolution': LOW_RESOLUTION,
                          'operators': OPERATORS, 'operatorSequence': OPERATOR_SEQUENCE, 'components': COMPONENTS,
                          'initialPatch': INITIAL, 'whole': WHOLE})
write('draws.json', {'draws': [
    collect('3-D', (40, 56, 40), 3, 30, False, 2, cascade=[1, 2, 3]),
    collect('thick slices', (10, 64, 56), 3, 180, True, 1),
    collect('2-D', (56, 40), 2, 180, False, 3),
    collect('2-D, long', (160, 96), 2, 15, False, 1),
], 'patches': PATCHES, 'forced': FORCED})
