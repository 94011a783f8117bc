#!/usr/bin/env python3
"""nnunet from Python: what users of nnU-Net's nnUNetPredictor have, with the standard library and numpy alone.

    from nnunet_client import nnUNetPredictor
    with nnUNetPredictor(use_mirroring=False) as predictor:
        predictor.initialize_from_trained_model_folder('MODEL_FOLDER', use_folds=(0, 1))
        predictor.predict_from_files('images', 'segmentations', save_probabilities=True)
        labels = predictor.predict_single_npy_array(image, {'spacing': (3.0, 0.8, 0.8)})   # image: (channels, z, y, x)

A program of its own (`nnunet serve --stdio`) keeps the model loaded; it is found as `nnunet` in PATH, by the environment variable NNUNET, or
by the argument `program` (a list of words: ['deno', 'task', '-q', 'nnunet']). No network is used. Arrays have the axes and spacing that
nnU-Net's readers give them, (channels, z, y, x); they travel as NIfTI files of 32-bit floats, so that the model has to read .nii.gz or .nii.
Iterators give raw images or what nnU-Net's own preprocessing made. What differs from nnUNetPredictor: use_gaussian=False is refused, and so are preprocessed
cases of a cascade; arguments about processes and devices of Python's are taken and mean nothing.
"""
import gzip
import itertools
import json
import os
import pickle
import struct
import subprocess
import tempfile

import numpy as np

NIFTI_TYPES = {2: 'u1', 4: 'i2', 8: 'i4', 16: 'f4', 64: 'f8', 256: 'i1', 512: 'u2', 768: 'u4'}


class PredictionError(RuntimeError):
    """A case that could not be predicted; `parts` has doing, problem, remedy, file and case where they are known."""

    def __init__(self, answer):
        super().__init__(answer.get('message', 'the program has ended'))
        self.parts = {key: answer[key] for key in ('doing', 'problem', 'remedy', 'file', 'case') if key in answer}


class nnUNetPredictor:
    def __init__(self, tile_step_size=0.5, use_gaussian=True, use_mirroring=True, perform_everything_on_device=True, device=None,
                 verbose=False, verbose_preprocessing=False, allow_tqdm=True, program=None, arguments=(), on_progress=None,
                 output_formats=()):
        """`program`: words that start nnunet. `arguments`: flags of `nnunet serve` (['--max-memory', '4G']).
        `on_progress(done, of, seconds_left)` is called while a case is predicted. `output_formats`: written beside each file;
        'nifti', 'nrrd', 'mha', and of DICOM images 'dicom-seg', 'rtstruct'."""
        if not use_gaussian:
            raise ValueError('use_gaussian=False: nnunet always weighs tiles by their importance, as nnU-Net does by default')
        self.tile_step_size, self.use_mirroring, self.verbose, self.on_progress = tile_step_size, use_mirroring, verbose, on_progress
        self.output_formats = list(output_formats)
        self.program = list(program) if program is not None else [os.environ.get('NNUNET', 'nnunet')]
        self.arguments = list(arguments) + (['-device', _device(device)] if device is not None else [])
        self.dataset_json = self.plans = self.file_ending = self._process = None
        self._ids = itertools.count()

    # --- the model ---

    def initialize_from_trained_model_folder(self, model_training_output_dir, use_folds=None, checkpoint_name='checkpoint_final.pth',
                                             first_stage_dir=None):
        """`first_stage_dir`: of a cascade's second stage, the folder of the first one's model, which is then run before it."""
        self.close()
        with open(os.path.join(model_training_output_dir, 'dataset.json')) as file:
            self.dataset_json = json.load(file)
        with open(os.path.join(model_training_output_dir, 'plans.json')) as file:
            self.plans = json.load(file)
        folds = [use_folds] if isinstance(use_folds, (str, int)) else use_folds
        models = [model_training_output_dir] if first_stage_dir is None else [model_training_output_dir, first_stage_dir]
        words = [*self.program, 'serve', '--stdio', '-m', *map(os.path.abspath, models), '-chk', checkpoint_name, *self.arguments]
        if folds is not None:
            words += ['-f', *[str(fold) for fold in folds]]
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding='utf-8',
                                         stderr=None if self.verbose else self._errors)
        ready = self._read()
        self.file_ending = ready['models'][0]['file_ending']
        self._model = ready['models'][0]['name']

    def close(self):
        """Ends the program; the model's memory is free then."""
        process, self._process = self._process, None
        if process is None:
            return
        process.stdin.close()
        process.stdout.close()
        process.wait()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- predictions ---

    def predict_from_files(self, list_of_lists_or_source_folder, output_folder_or_list_of_truncated_output_files=None,
                           save_probabilities=False, overwrite=True, num_processes_preprocessing=2,
                           num_processes_segmentation_export=2, folder_with_segs_from_prev_stage=None, num_parts=1, part_id=0):
        """Predicts a folder of CASE_0000.ENDING, ..., or lists of each case's files, or of its folders of DICOM.
        Outputs: a folder, or names without ending.
        Without outputs the segmentations come back as arrays (with save_probabilities: tuples with the probabilities)."""
        if isinstance(list_of_lists_or_source_folder, str):
            cases = self._cases_of_folder(list_of_lists_or_source_folder)
        else:
            cases = [[files] if isinstance(files, str) else list(files) for files in list_of_lists_or_source_folder]
        cases = cases[part_id::num_parts]
        outputs = output_folder_or_list_of_truncated_output_files
        if isinstance(outputs, str):
            outputs = [os.path.join(outputs, self._case_name(files[0])) for files in cases]
        elif outputs is not None:
            outputs = outputs[part_id::num_parts]
        results, failures = [], []
        for i, files in enumerate(cases):
            output = None if outputs is None else outputs[i]
            if output is not None and not overwrite and os.path.isfile(output + self.file_ending):
                results.append(None)
                continue
            try:
                previous = folder_with_segs_from_prev_stage
                if previous is not None:
                    previous = os.path.join(previous, self._case_name(files[0]) + self.file_ending)
                results.append(self._predict(files, output, save_probabilities, previous))
            except PredictionError as error:
                # The others are done first.
                failures.append(error)
                results.append(None)
        if failures:
            raise failures[0]
        return results

    def predict_single_npy_array(self, input_image, image_properties, segmentation_previous_stage=None, output_file_truncated=None,
                                 save_or_return_probabilities=False):
        """`input_image`: (channels, z, y, x). `image_properties`: 'spacing' (z, y, x), and 'sitk_stuff' as SimpleITKIO gives it, where the
        written file is to lie where the image did. Gives the labels (z, y, x), or labels and probabilities (classes, z, y, x)."""
        if self.file_ending not in ('.nii.gz', '.nii'):
            raise ValueError(f'the model reads {self.file_ending} files; arrays travel as NIfTI: use predict_from_files')
        image = np.asarray(input_image)
        if image.ndim != 4:
            raise ValueError(f'the image has {image.ndim} axes; four are needed: channels, z, y, x')
        with tempfile.TemporaryDirectory(prefix='nnunet_') as folder:
            files = [os.path.join(folder, f'array_{i:04d}{self.file_ending}') for i in range(len(image))]
            for channel, file in zip(image, files):
                write_nifti(file, channel, image_properties)
            previous = None
            if segmentation_previous_stage is not None:
                previous = os.path.join(folder, f'previous{self.file_ending}')
                labels = np.asarray(segmentation_previous_stage)
                # As readers give it, (1, z, y, x), or without its first axis.
                write_nifti(previous, labels[0] if labels.ndim == 4 else labels, image_properties)
            return self._predict(files, output_file_truncated, save_or_return_probabilities, previous)

    def predict_from_list_of_npy_arrays(self, image_or_list_of_images, segs_from_prev_stage_or_list_of_segs_from_prev_stage=None,
                                        properties_or_list_of_properties=None, truncated_ofname=None, num_processes=3,
                                        save_probabilities=False, num_processes_segmentation_export=3):
        iterator = self.get_data_iterator_from_raw_npy_data(image_or_list_of_images, segs_from_prev_stage_or_list_of_segs_from_prev_stage,
                                                            properties_or_list_of_properties, truncated_ofname, num_processes)
        return self.predict_from_data_iterator(iterator, save_probabilities, num_processes_segmentation_export)

    def get_data_iterator_from_raw_npy_data(self, image_or_list_of_images, segs_from_prev_stage_or_list_of_segs_from_prev_stage,
                                            properties_or_list_of_properties, truncated_ofname, num_processes=3):
        images, properties = image_or_list_of_images, properties_or_list_of_properties
        if not isinstance(images, (list, tuple)):
            images = [images]
        previous = segs_from_prev_stage_or_list_of_segs_from_prev_stage
        previous = list(previous) if isinstance(previous, (list, tuple)) else [previous] * len(images)
        properties = [properties] * len(images) if isinstance(properties, dict) else list(properties)
        names = [truncated_ofname] if truncated_ofname is None or isinstance(truncated_ofname, str) else list(truncated_ofname)
        if names == [None]:
            names = [None] * len(images)
        if not len(images) == len(properties) == len(names) == len(previous):
            raise ValueError(f'{len(images)} images, {len(properties)} properties, {len(names)} output names, {len(previous)} segmentations '
                             'of the previous stage: as many of each are needed')
        for image, known, name, labels in zip(images, properties, names, previous):
            yield {'data': image, 'data_properties': known, 'ofile': name, 'segmentation_previous_stage': labels}

    def predict_from_data_iterator(self, data_iterator, save_probabilities=False, num_processes_segmentation_export=3):
        """Each item: {'data': (channels, z, y, x), 'data_properties': {'spacing': ...}, 'ofile': name without ending, or None}. The data are a
        raw image; or, with 'bbox_used_for_cropping' among the properties, what nnU-Net's preprocessing made of one: an array, a tensor, or
        the path of a .npy file, which is removed as nnU-Net does."""
        results = []
        for item in data_iterator:
            data, properties, ofile = item['data'], item['data_properties'], item['ofile']
            if 'bbox_used_for_cropping' in properties:
                results.append(self._predict_preprocessed(data, properties, ofile, save_probabilities))
            else:
                previous = item.get('segmentation_previous_stage')
                results.append(self.predict_single_npy_array(data, properties, previous, ofile, save_probabilities))
        return results

    # --- inside ---

    def _cases_of_folder(self, folder):
        cases = {}
        for name in sorted(os.listdir(folder)):
            stem = name[:-len(self.file_ending)]
            if name.endswith(self.file_ending) and len(stem) > 5 and stem[-5] == '_' and stem[-4:].isdigit():
                cases.setdefault(stem[:-5], []).append(os.path.join(folder, name))
        if not cases:
            raise ValueError(f'{folder}: there is no image named CASE_0000{self.file_ending}')
        return list(cases.values())

    def _case_name(self, file):
        name = os.path.basename(os.path.normpath(file))
        stem = name[:-len(self.file_ending)] if name.endswith(self.file_ending) else name
        return stem[:-5] if len(stem) > 5 and stem[-5] == '_' and stem[-4:].isdigit() else stem

    def _predict_preprocessed(self, data, properties, ofile, save_probabilities):
        if isinstance(data, str):
            path, data = data, np.load(data)
            os.remove(path)
        data = np.ascontiguousarray(data, dtype='<f4')
        if data.ndim != 4:
            raise ValueError(f'the preprocessed image has {data.ndim} axes; four are needed: channels, z, y, x')
        known = {name: properties[name] for name in ('spacing', 'shape_before_cropping', 'bbox_used_for_cropping',
                                                     'shape_after_cropping_and_before_resampling')}
        sizes = [float(size) for size in known['spacing']]
        known['spacing'] = sizes
        # Without a place in the patient the segmentation is put at the origin.
        known['sitk_stuff'] = {'spacing': tuple(sizes[::-1]), 'origin': (0.0, 0.0, 0.0), 'direction': tuple(np.eye(3).ravel().tolist()),
                               **properties.get('sitk_stuff', {})}
        known['nibabel_stuff'] = properties.get('nibabel_stuff', {'original_affine': np.diag([*sizes[::-1], 1.0])})
        with tempfile.TemporaryDirectory(prefix='nnunet_') as folder:
            stem = os.path.join(folder, 'array')
            np.save(stem + '.npy', data)
            np.save(stem + '_seg.npy', np.zeros((1, *data.shape[1:]), np.int8))
            with open(stem + '.pkl', 'wb') as file:
                pickle.dump({**known, 'class_locations': {}}, file, protocol=4)
            return self._predict(stem, ofile, save_probabilities)

    def _predict(self, files, output, save_probabilities, previous=None):
        """`files`: of a preprocessed case the path without endings."""
        if self._process is None:
            raise RuntimeError('call initialize_from_trained_model_folder first')
        if output is not None:
            self._ask(files, os.path.abspath(output) + self.file_ending, save_probabilities, self.output_formats, previous)
            return None
        with tempfile.TemporaryDirectory(prefix='nnunet_') as folder:
            answer = self._ask(files, os.path.join(folder, 'labels' + self.file_ending), save_probabilities, (), previous)
            if self.file_ending not in ('.nii.gz', '.nii'):
                raise ValueError(f'{self.file_ending} files are not read into arrays; name outputs')
            labels = read_nifti(answer['output'])
            if not save_probabilities:
                return labels
            with np.load(answer['probabilities']) as npz:
                return labels, npz['probabilities']

    def _ask(self, files, output, save_probabilities, formats, previous):
        id = next(self._ids)
        images = {'preprocessed': files} if isinstance(files, str) else {'files': [os.path.abspath(file) for file in files]}
        if previous is not None:
            images['previous_stage'] = os.path.abspath(previous)
        request = {'id': id, 'model': self._model, **images, 'output': output,
                   'options': {'step_size': self.tile_step_size, 'disable_tta': not self.use_mirroring,
                               'save_probabilities': bool(save_probabilities), **({'output_format': list(formats)} if formats else {})}}
        self._process.stdin.write(json.dumps(request) + '\n')
        self._process.stdin.flush()
        while True:
            answer = self._read()
            if answer['type'] == 'progress' and self.on_progress is not None:
                self.on_progress(answer['done'], answer['of'], answer['seconds_left'])
            if answer['type'] == 'error' and answer['id'] in (id, None):
                raise PredictionError(answer)
            if answer['type'] == 'result' and answer['id'] == id:
                return answer

    def _read(self):
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        process, self._process = self._process, None
        process.wait()
        words = ''
        if not self.verbose:
            self._errors.seek(0)
            words = self._errors.read().decode(errors='replace').strip()
        raise PredictionError({'message': f'nnunet has ended with exit code {process.returncode}: {words}'})


def _device(device):
    """Of torch's devices the kind."""
    return str(getattr(device, 'type', device))


def write_nifti(path, array, properties):
    """Writes (z, y, x) as 32-bit floats."""
    volume = np.ascontiguousarray(array, dtype='<f4')
    spacing = [float(size) for size in properties['spacing']]
    known = properties.get('sitk_stuff', {})
    direction = np.array(known.get('direction', np.eye(3).ravel()), float).reshape(3, 3)
    origin = np.array(known.get('origin', (0, 0, 0)), float)
    # SimpleITK's axes are LPS, NIfTI's RAS.
    affine = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([direction * spacing[::-1], origin])
    header = bytearray(352)
    struct.pack_into('<i', header, 0, 348)
    struct.pack_into('<8h', header, 40, 3, *volume.shape[::-1], 1, 1, 1, 1)
    struct.pack_into('<2h', header, 70, 16, 32)
    struct.pack_into('<8f', header, 76, 1, *spacing[::-1], 0, 0, 0, 0)
    struct.pack_into('<3f', header, 108, 352, 1, 0)
    header[123] = 2  # millimetres
    struct.pack_into('<2h', header, 252, 0, 2)
    struct.pack_into('<12f', header, 280, *affine.ravel())
    header[344:348] = b'n+1\0'
    opened = gzip.open(path, 'wb', compresslevel=1) if path.endswith('.gz') else open(path, 'wb')
    with opened as file:
        file.write(header)
        file.write(volume.tobytes())


def read_nifti(path):
    """Labels as (z, y, x), as nnunet writes them: NIfTI-1, unscaled."""
    with gzip.open(path, 'rb') if path.endswith('.gz') else open(path, 'rb') as file:
        data = file.read()
    if struct.unpack_from('<i', data, 0)[0] != 348:
        raise ValueError(f'{path}: this is no little-endian NIfTI-1 file')
    dimensions, *sizes = struct.unpack_from('<8h', data, 40)
    kind, = struct.unpack_from('<h', data, 70)
    start, = struct.unpack_from('<f', data, 108)
    shape = sizes[:min(dimensions, 3)][::-1]
    return np.frombuffer(data, '<' + NIFTI_TYPES[kind], int(np.prod(shape)), int(start)).reshape(shape).copy()
