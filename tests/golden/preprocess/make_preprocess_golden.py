"""Runs nnU-Net's own preprocessing on small random arrays and stores what comes out, for preprocess_golden_test.ts.

Needs nnunetv2 2.5.1 with batchgenerators 0.25.5, scikit-image 0.26, scipy, torch:  python make_preprocess_golden.py
Writes preprocess_golden.json (the cases) and preprocess_golden.bin (their arrays, little-endian, one after the other).
Inputs are integers times a power of two, so that two bytes hold them exactly.
"""
import copy
import json
import os

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter

from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling import resample_torch
from nnunetv2.preprocessing.resampling.default_resampling import (determine_do_sep_z_and_axis,
                                                                  resample_data_or_seg_to_shape)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

HERE = os.path.dirname(os.path.abspath(__file__))


# nnU-Net 2.5.1 calls len() on the separate axis, which is an int, and stops; 2.7.0 wraps it in a tuple. This is that fix.
def axis_in_a_tuple(*args):
    separate, axis = determine_do_sep_z_and_axis(*args)
    return separate, (axis,)


resample_torch.determine_do_sep_z_and_axis = axis_in_a_tuple

SPLINE = 'resample_data_or_seg_to_shape'
TORCH = 'resample_torch_fornnunet'
DATA = dict(is_seg=False, order=3, order_z=0, force_separate_z=None)
SEG = dict(is_seg=True, order=1, order_z=0, force_separate_z=None)
PROBABILITIES = dict(is_seg=False, order=1, order_z=0, force_separate_z=None)
TORCH_DATA = dict(is_seg=False, force_separate_z=None, memefficient_seg_resampling=False)
TORCH_SEG = dict(is_seg=True, force_separate_z=None, memefficient_seg_resampling=False)

rng = np.random.default_rng(20240817)
arrays = []
offset = 0
cases = []


def store(array, dtype):
    """Appends an array to the .bin; returns where it is."""
    global offset
    array = np.ascontiguousarray(array).astype(dtype)
    raw = array.tobytes()
    raw += b'\0' * (-len(raw) % 4)
    entry = dict(offset=offset, dtype=np.dtype(dtype).name, shape=list(array.shape))
    arrays.append(raw)
    offset += len(raw)
    return entry


def noise(shape, low=-800, high=800):
    return rng.integers(low, high, shape).astype(np.int16)


def smooth(shape, sigma=1.5, amplitude=1000):
    field = gaussian_filter(rng.standard_normal(shape), [0] + [sigma] * 3)
    return np.round(field / np.abs(field).max() * amplitude).astype(np.int16)


def label_map(shape, labels=(0, 1, 2, 3)):
    """Blobs of labels: the largest of smoothed noises, so that three and four labels meet."""
    scores = gaussian_filter(rng.standard_normal((len(labels), *shape)), (0, 1.2, 1.2, 1.2))
    return np.array(labels, np.int16)[scores.argmax(0)]


def inside(image, holes=True):
    """Zero outside an ellipsoid, and in a hole within it."""
    c, *shape = image.shape
    grid = np.meshgrid(*[np.linspace(-1.25, 1.25, n) if n > 1 else np.zeros(1) for n in shape], indexing='ij')
    radius = sum(g ** 2 for g in grid)
    image = image.copy()
    image[image == 0] = 1
    image[:, radius > 1] = 0
    if holes:
        image[:, radius < 0.12] = 0
    return image


def preprocess(name, image, scale, spacing, target, schemes, transpose=(0, 1, 2), mask=None, seg=None, data=DATA, seg_kwargs=SEG,
               fn=SPLINE, intensities=None):
    """One run of DefaultPreprocessor.run_case_npy; spacing in file order, target transposed (2 numbers: a 2-D configuration)."""
    channels = image.shape[0]
    mask = mask or [False] * channels
    intensities = intensities or dict(max=0., mean=0., median=0., min=0., percentile_00_5=0., percentile_99_5=0., std=1.)
    configuration = dict(
        data_identifier='x', preprocessor_name='DefaultPreprocessor', batch_size=2, patch_size=[8] * len(target),
        median_image_size_in_voxels=[8] * len(target), spacing=list(target), normalization_schemes=schemes, use_mask_for_norm=mask,
        resampling_fn_data=fn, resampling_fn_seg=fn, resampling_fn_probabilities=fn, resampling_fn_data_kwargs=data,
        resampling_fn_seg_kwargs=seg_kwargs, resampling_fn_probabilities_kwargs=data, batch_dice=False,
        architecture=dict(network_class_name='x', arch_kwargs={}, _kw_requires_import=[]))
    backward = [list(transpose).index(i) for i in range(3)]
    plans = dict(dataset_name='Dataset001_x', plans_name='x', image_reader_writer='SimpleITKIO', transpose_forward=list(transpose),
                 transpose_backward=backward, configurations=dict(c=configuration), label_manager='LabelManager',
                 foreground_intensity_properties_per_channel={str(c): intensities for c in range(channels)})
    manager = PlansManager(copy.deepcopy(plans))
    properties = dict(spacing=list(spacing))
    dataset_json = dict(labels=dict(background=0, **{str(i): i for i in range(1, 4)}), file_ending='.nii.gz',
                        channel_names={str(c): 'x' for c in range(channels)})
    values = image.astype(np.float32) * np.float32(scale)
    out, out_seg = DefaultPreprocessor(verbose=False).run_case_npy(
        values, None if seg is None else seg[None].astype(np.float32), properties, manager, manager.get_configuration('c'), dataset_json)
    cases.append(dict(
        kind='case', name=name, scale=scale, spacing=list(spacing), target=list(target), schemes=schemes, useMask=mask,
        transposeForward=list(transpose), transposeBackward=backward, function=fn, dataKwargs=data, segKwargs=seg_kwargs,
        intensities=intensities, image=store(image, np.int16), **({} if seg is None else dict(
            seg=store(seg, np.int8), expectedSeg=store(out_seg[0], np.int8))),
        expected=store(out, np.float32), boundingBox=[[int(j) for j in i] for i in properties['bbox_used_for_cropping']],
        shapeBeforeCropping=list(properties['shape_before_cropping']),
        shapeAfterCropping=list(properties['shape_after_cropping_and_before_resampling'])))


def resample(name, array, to, current, new, kwargs, fn=SPLINE, scale=1.):
    """One call of a resampling function; (channels, ...) images or one label map."""
    function = resample_data_or_seg_to_shape if fn == SPLINE else resample_torch.resample_torch_fornnunet
    is_seg = kwargs['is_seg']
    values = (array[None] if is_seg else array * np.float32(scale)).astype(np.float32)
    out = function(values, list(to), list(current), list(new), **kwargs)
    cases.append(dict(
        kind='labels' if is_seg else 'image', name=name, scale=scale, function=fn, kwargs=kwargs, current=list(current), new=list(new),
        array=store(array, np.int8 if is_seg else np.int16),
        expected=store(out[0] if is_seg else out, np.int8 if is_seg else np.float32)))


def holes(name, mask):
    cases.append(dict(kind='holes', name=name, mask=store(mask, np.uint8), expected=store(binary_fill_holes(mask), np.uint8)))


Z, CT, NO, RESCALE, RGB = ('ZScoreNormalization', 'CTNormalization', 'NoNormalization', 'RescaleTo01Normalization',
                           'RGBTo01Normalization')
LIVER = dict(max=3000., mean=99.48, median=101., min=-983., percentile_00_5=-15.3, percentile_99_5=197.7, std=37.137)

# whole cases
preprocess('isotropic upsampling', noise((1, 9, 10, 8)), .25, (2., 1.6, 1.9), (1.3, 1.2, 1.25), [Z])
preprocess('isotropic downsampling', smooth((1, 14, 12, 13)), .25, (1., 1.1, .9), (1.7, 1.6, 1.5), [Z])
preprocess('up and down on different axes', smooth((1, 8, 13, 9)), .25, (2., .8, 1.), (1.2, 1.3, 1.), [Z])
preprocess('more planes, smaller planes', smooth((1, 6, 12, 12)), .25, (2., .8, .9), (1.1, 1.3, 1.2), [Z])
preprocess('separate z', noise((1, 7, 11, 10)), .25, (5., 1., 1.), (3.3, .8, .7), [Z], seg=label_map((7, 11, 10)))
preprocess('separate z without a change along z', noise((1, 5, 9, 10)), .25, (5., 1., 1.), (5., .7, 1.4), [Z])
preprocess('separate y', smooth((1, 10, 6, 9)), .25, (1., 5., 1.), (.8, 3.1, 1.2), [Z], seg=label_map((10, 6, 9)))
preprocess('separate x after transposing', smooth((1, 6, 10, 9)), .25, (5., 1., 1.), (1., .8, 3.5), [Z], (1, 2, 0))
preprocess('anisotropic target only', noise((1, 8, 9, 7)), .25, (1.4, 1., 1.), (3.5, 1., .9), [Z])
preprocess('transposed 2 0 1 with a previous stage', inside(noise((1, 11, 9, 10))), .25, (1., 1.5, 2.), (1.4, 1.2, 1.1), [Z], (2, 0, 1),
           seg=label_map((11, 9, 10)))
preprocess('transposed 1 0 2 with mask and previous stage', inside(smooth((2, 9, 12, 8))), .25, (1., 1.5, 1.2), (1.2, 1.2, 1.),
           [Z, Z], (1, 0, 2), [True, False], seg=label_map((9, 12, 8)))
preprocess('mask normalisation with holes', inside(noise((2, 12, 11, 10))), .25, (1.,) * 3, (1.,) * 3, [Z, Z], (2, 1, 0), [True, True])
preprocess('mask normalisation, resampled', inside(smooth((1, 12, 11, 10))), .25, (1.,) * 3, (1.3, .8, 1.), [Z], mask=[True])
preprocess('2d configuration', smooth((1, 6, 12, 11)), .25, (4., 1.2, 1.), (.9, .8), [Z], seg=label_map((6, 12, 11)))
preprocess('2d image', inside(smooth((3, 1, 17, 15), 2, 255)), 1., (999., 1., 1.), (.7, 1.3), [Z, NO, RESCALE])
preprocess('rgb', np.abs(smooth((3, 1, 16, 18), 2, 255)), 1., (999., 1., 1.), (1., 1.), [RGB] * 3)
preprocess('ct with outliers', noise((1, 9, 8, 10), -2000, 3000), 1., (1.5, .8, .8), (1., 1., 1.), [CT], intensities=LIVER)
preprocess('sizes of one', smooth((1, 1, 9, 1)), .25, (1., 1., 1.), (.5, .7, .3), [NO])
preprocess('zeros only', np.zeros((1, 4, 5, 3), np.int16), 1., (1.,) * 3, (.8,) * 3, [Z], mask=[True])
preprocess('torch', inside(noise((1, 9, 10, 8))), .25, (2., 1.6, 1.9), (1.3, 1.2, 2.5), [Z], data=TORCH_DATA, seg_kwargs=TORCH_SEG,
           fn=TORCH, seg=label_map((9, 10, 8)))
preprocess('torch, separate z', smooth((1, 6, 9, 8)), .25, (5., 1., 1.), (3.3, .8, .7), [RESCALE], data=TORCH_DATA,
           seg_kwargs=TORCH_SEG, fn=TORCH, seg=label_map((6, 9, 8)))

# single functions
ISO = ((1.,) * 3, (1.,) * 3)
COARSE = ((4., 1., 1.), (3., 1., 1.))
for order in range(6):
    resample(f'order {order}', noise((1, 7, 6, 8)), (9, 9, 6), *ISO, dict(DATA, order=order), scale=.25)
for order_z in (1, 3):
    resample(f'separate, order_z {order_z}', noise((1, 5, 6, 7)), (8, 7, 9), *COARSE, dict(DATA, order_z=order_z), scale=.25)
resample('separate along x, order_z 1', noise((1, 6, 7, 5)), (7, 6, 8), (1., 1., 4.), (1., 1., 3.), dict(DATA, order_z=1), scale=.25)
resample('separation forced', noise((1, 6, 7, 6)), (8, 8, 7), (1.5, 1., 1.), (1., 1., 1.), dict(DATA, force_separate_z=True), scale=.25)
resample('separation forced, two coarsest axes', noise((1, 6, 7, 6)), (8, 8, 7), (2., 2., 1.), (1.,) * 3,
         dict(DATA, force_separate_z=True), scale=.25)
resample('separation forbidden', noise((1, 5, 7, 6)), (8, 8, 7), *COARSE, dict(DATA, force_separate_z=False), scale=.25)
resample('logits', smooth((3, 8, 7, 9)), (10, 6, 9), *ISO, PROBABILITIES, scale=2. ** -6)
resample('logits, separate z', smooth((2, 5, 7, 8)), (8, 9, 6), *COARSE, PROBABILITIES, scale=2. ** -6)
resample('logits, fewer slices', smooth((2, 9, 6, 6)), (4, 7, 7), *COARSE, PROBABILITIES, scale=2. ** -6)
resample('logits, separate z, order_z 1', smooth((2, 5, 7, 8)), (8, 9, 6), *COARSE, dict(PROBABILITIES, order_z=1), scale=2. ** -6)
resample('logits, order 0', smooth((2, 5, 7, 8)), (8, 9, 6), *ISO, dict(PROBABILITIES, order=0), scale=2. ** -6)
resample('torch logits', smooth((2, 8, 7, 9)), (11, 5, 13), *ISO, TORCH_DATA, TORCH, scale=2. ** -6)
resample('torch logits, separate y', smooth((2, 7, 5, 8)), (9, 8, 6), (1., 4., 1.), (1., 3., 1.), TORCH_DATA, TORCH, scale=2. ** -6)
resample('torch, separation forbidden', smooth((1, 5, 7, 8)), (8, 9, 6), *COARSE, dict(TORCH_DATA, force_separate_z=False), TORCH)

for name, source, to in (('up', (8, 9, 7), (13, 12, 10)), ('doubled', (7, 6, 8), (14, 12, 16)), ('halved', (14, 12, 10), (7, 6, 5)),
                         ('by 3/2', (8, 10, 6), (12, 15, 9)), ('down', (15, 13, 11), (9, 8, 7)), ('one voxel', (1, 6, 5), (3, 9, 5))):
    for variant, fn, kwargs in (('', SPLINE, SEG), (', torch', TORCH, TORCH_SEG),
                                (', torch, memory efficient', TORCH, dict(TORCH_SEG, memefficient_seg_resampling=True))):
        resample(f'labels {name}{variant}', label_map(source, (-1, 0, 1, 2, 5)), to, *ISO, kwargs, fn)
scattered = rng.integers(-1, 4, (7, 6, 8)).astype(np.int16)
resample('scattered labels', scattered, (13, 12, 15), *ISO, SEG)
resample('scattered labels doubled', scattered, (14, 12, 16), *ISO, SEG)
resample('scattered labels halved', rng.integers(-1, 4, (12, 10, 14)).astype(np.int16), (6, 5, 7), *ISO, SEG)
resample('scattered labels, torch', scattered, (13, 12, 15), *ISO, TORCH_SEG, TORCH)
resample('labels, separate z', label_map((6, 9, 8)), (9, 18, 12), *COARSE, SEG)
resample('labels, separate x', label_map((9, 8, 6)), (13, 12, 10), (1., 1., 4.), (1., 1., 3.), SEG)
resample('labels, separate z, order_z 1', label_map((6, 9, 8)), (12, 13, 12), *COARSE, dict(SEG, order_z=1))
resample('labels, separate z, order_z 1, odd', label_map((6, 9, 8)), (13, 13, 12), *COARSE, dict(SEG, order_z=1))
resample('labels, order 0', label_map((6, 9, 8)), (9, 13, 5), *ISO, dict(SEG, order=0))
resample('labels, torch, separate z', label_map((6, 9, 8)), (9, 18, 12), *COARSE, TORCH_SEG, TORCH)

for density in (.5, .62, .7, .85):
    holes(f'random mask, density {density}', rng.random((9, 11, 10)) < density)
shell = np.zeros((9, 10, 11), bool)
shell[1:8, 1:9, 1:10] = True
shell[2:7, 2:8, 2:9] = False
holes('closed shell', shell)
leaking = shell.copy()
leaking[4, 4, 1] = False
holes('shell with a leak', leaking)
holes('one slice', shell[3:4])
holes('empty', np.zeros((3, 4, 5), bool))

with open(os.path.join(HERE, 'preprocess_golden.json'), 'w') as file:
    file.write('[\n' + ',\n'.join(json.dumps(case) for case in cases) + '\n]\n')
with open(os.path.join(HERE, 'preprocess_golden.bin'), 'wb') as file:
    file.write(b''.join(arrays))
print(len(cases), 'cases,', offset, 'bytes')
