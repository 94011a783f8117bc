"""Uses examples/nnunet_client.py as its users would. usage: client_check.py GOLDEN_MODELS FOLDER PROGRAM_AS_JSON"""
import json
import os
import sys

import numpy as np

golden, folder, program = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../examples'))
from nnunet_client import PredictionError, nnUNetPredictor, read_nifti  # noqa: E402


def check(isSo, what):
    if not isSo:
        sys.exit(f'not so: {what}')


name = 'iso_ct_two_folds'
model, images, expected = (os.path.join(golden, kind, name) for kind in ('models', 'images', 'expected'))
image_file = os.path.join(images, 'test_000_0000.nii.gz')
truth = read_nifti(os.path.join(expected, 'test_000.nii.gz'))
same = lambda labels: labels.shape == truth.shape and (labels != truth).mean() < 1e-3

# Of the image, what SimpleITKIO gives: (channels, z, y, x) and the spacing in that order.
import gzip  # noqa: E402
import struct  # noqa: E402
with gzip.open(image_file) as file:
    header = file.read(352)
spacing = struct.unpack_from('<8f', header, 76)[1:4][::-1]
slope, intercept = struct.unpack_from('<2f', header, 112)
image = read_nifti(image_file)[None].astype(np.float32)
if slope not in (0, 1) or intercept != 0:
    image = image * (slope or 1) + intercept

told = []
with nnUNetPredictor(program=program, device='cpu', on_progress=lambda done, of, left: told.append((done, of))) as predictor:
    predictor.initialize_from_trained_model_folder(model, use_folds=(0, 1))
    check(predictor.dataset_json['file_ending'] == '.nii.gz', 'dataset.json is there')

    predictor.predict_from_files(images, os.path.join(folder, 'files'))
    check(told[-1][0] == told[-1][1] > 0, 'progress is told up to its end')
    labels, = predictor.predict_from_files([[image_file]], None)
    check(same(labels), 'labels of a file come back as an array')
    before = os.stat(os.path.join(folder, 'files', 'test_000.nii.gz')).st_mtime_ns
    predictor.predict_from_files(images, os.path.join(folder, 'files'), overwrite=False)
    check(os.stat(os.path.join(folder, 'files', 'test_000.nii.gz')).st_mtime_ns == before, 'what is there is left')

    labels, probabilities = predictor.predict_single_npy_array(image, {'spacing': spacing}, None, None, True)
    check(same(labels), 'labels of an array')
    with np.load(os.path.join(expected, 'test_000.npz')) as npz:
        reference = npz['probabilities'].astype(np.float32)
    check(probabilities.shape == reference.shape, f'probabilities have the shape {reference.shape}')
    check(np.abs(probabilities - reference).max() < 0.02, 'probabilities of an array')

    several = predictor.predict_from_list_of_npy_arrays([image, image], None, {'spacing': spacing}, None, 1)
    check(len(several) == 2 and all(same(one) for one in several), 'labels of several arrays')
    item = {'data': image, 'data_properties': {'spacing': spacing}, 'ofile': os.path.join(folder, 'by_iterator')}
    check(predictor.predict_from_data_iterator(iter([item])) == [None], 'a result that goes to a file')
    check(same(read_nifti(os.path.join(folder, 'by_iterator.nii.gz'))), 'labels of an iterator')

    # What nnU-Net's own iterator gave of the image.
    with np.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'client_preprocessed.npz')) as made:
        data, properties = made['data'], json.loads(str(made['data_properties']))
    array_file = os.path.join(folder, 'preprocessed.npy')
    np.save(array_file, data)
    items = [{'data': data, 'data_properties': properties, 'ofile': None},
             {'data': array_file, 'data_properties': properties, 'ofile': os.path.join(folder, 'preprocessed')},
             {'data': data, 'data_properties': {name: value for name, value in properties.items() if name != 'sitk_stuff'}, 'ofile': None}]
    (labels, probabilities), none, (placeless, _) = predictor.predict_from_data_iterator(iter(items), True)
    check(same(labels) and same(placeless) and none is None, 'labels of what is preprocessed')
    check(np.abs(probabilities - reference).max() < 0.02, 'probabilities of what is preprocessed')
    check(same(read_nifti(os.path.join(folder, 'preprocessed.nii.gz'))) and not os.path.exists(array_file), 'a file of what is preprocessed')
    try:
        predictor.predict_from_data_iterator([{**items[0], 'data': np.concatenate([data, data])}])
        check(False, 'two channels are refused')
    except PredictionError as error:
        check('2 channels' in str(error), str(error))

    predictor.output_formats = ['nrrd']
    predictor.predict_from_files([[image_file]], [os.path.join(folder, 'formats')])
    check(os.path.getsize(os.path.join(folder, 'formats.nrrd')) > 0, 'another format beside')
    predictor.output_formats = []

    for wrong, words in [([[image_file, image_file]], 'named for two channels'), ([['none.nii.gz']], 'no such file')]:
        try:
            predictor.predict_from_files(wrong, None)
            check(False, f'{wrong} is refused')
        except PredictionError as error:
            check(words in str(error) and 'problem' in error.parts, str(error))
    check(same(predictor.predict_single_npy_array(image, {'spacing': spacing})), 'it goes on after errors')

with nnUNetPredictor(program=program) as predictor:
    predictor.initialize_from_trained_model_folder(os.path.join(folder, 'second'), 0, first_stage_dir=os.path.join(folder, 'first'))
    cascaded, = predictor.predict_from_files([[os.path.join(golden, 'images', 'cascade', 'test_000_0000.nii.gz')]])
    check(set(np.unique(cascaded)) == {0, 1, 2}, 'a cascade with its first stage')

name = 'cascade'
with nnUNetPredictor(program=program) as predictor:
    predictor.initialize_from_trained_model_folder(os.path.join(golden, 'models', name), 0)
    file = os.path.join(golden, 'images', name, 'test_000_0000.nii.gz')
    previous, truth = os.path.join(golden, 'prev', name), read_nifti(os.path.join(golden, 'expected', name, 'test_000.nii.gz'))
    labels, = predictor.predict_from_files([[file]], None, folder_with_segs_from_prev_stage=previous)
    check(same(labels), 'a second stage with the first one\'s segmentation')
    with gzip.open(file) as opened:
        spacing = struct.unpack_from('<8f', opened.read(352), 76)[1:4][::-1]
    image, before = read_nifti(file)[None].astype(np.float32), read_nifti(os.path.join(previous, 'test_000.nii.gz'))[None]
    check(same(predictor.predict_single_npy_array(image, {'spacing': spacing}, before)), 'the same with arrays')
    several = predictor.predict_from_list_of_npy_arrays([image, image], [before, before], {'spacing': spacing})
    check(all(same(one) for one in several), 'the same with lists of arrays')
    try:
        predictor.predict_from_files([[file]])
        check(False, 'a second stage alone is refused')
    except PredictionError as error:
        check('second stage' in str(error), str(error))

try:
    nnUNetPredictor(program=program).initialize_from_trained_model_folder(model, use_folds=(4,))
    check(False, 'a fold that is not there is refused')
except PredictionError as error:
    check('fold 4' in str(error), str(error))
print('all checks passed')
