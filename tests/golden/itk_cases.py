"""What is shared by the scripts that make images of SimpleITK's formats: each case is files of a few bytes, what nnU-Net 2.5.1's SimpleITKIO
reads from them (SimpleITK 2.5.7), what DICOMOrient makes of them for SimpleITKIOWithReorient (nnU-Net 2.6.3 and later), and the
segmentation that both write.

sha: the first 16 hex digits of SHA-256 of the float32 array. The segmentation is the voxel's index in the array that was read, modulo 5.
"""
import base64
import hashlib
import json
import os
import re
import signal
import tempfile
import warnings
from pathlib import Path

for name in ('raw', 'preprocessed', 'results'):
    os.environ['nnUNet_' + name] = tempfile.gettempdir()
warnings.filterwarnings('ignore')

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def sha(array):
    one_nan = np.where(np.isnan(array), np.float32('nan'), array).astype(np.float32)
    return hashlib.sha256(np.ascontiguousarray(one_nan).tobytes()).hexdigest()[:16]


def clean(values):
    return [None if not np.isfinite(v) else float(v) for v in values]


def failed(error):
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = lines[-1].strip() if lines else type(error).__name__
    return {'error': re.sub(r'/tmp/\w+/|0x[0-9a-f]+', '', text)[-120:]}


def values_of(dtype, size):
    """Values that fill the type, in the file's order, for `size`, in which 0 counts as 1."""
    n = int(np.prod([max(1, s) for s in size]))
    if dtype.kind == 'f':
        return (np.arange(n) * 1.37 - 20.1).astype(dtype)
    info = np.iinfo(dtype)
    values = [info.min, info.max, 0, 1, info.max // 3] + [i * 7 % 100 for i in range(n - 5)]
    return np.array(values[:n], dtype=dtype)


def labels_for(shape):
    return (np.arange(np.prod(shape)) % 5).reshape(shape).astype(np.uint8)


def base64_of(data):
    return base64.b64encode(data).decode()


def read(path, ending):
    """What SimpleITKIO makes of a file, and what it writes for it."""
    try:
        image, properties = SimpleITKIO().read_images([path])
    except Exception as error:
        return failed(error)
    stuff = properties['sitk_stuff']
    itk = sitk.ReadImage(path)
    result = {'shape': image.shape, 'sha': sha(image), 'first': clean(image.ravel()[:4]), 'spacing': clean(properties['spacing']),
              'sitk': {key: clean(value) for key, value in stuff.items()}, 'type': str(sitk.GetArrayFromImage(itk).dtype),
              'components': itk.GetNumberOfComponentsPerPixel()}
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'seg' + ending)
        try:
            SimpleITKIO().write_seg(labels_for(image.shape[1:]), out, properties)
            result['written'] = base64_of(Path(out).read_bytes())
        except Exception as error:
            result['written'] = failed(error)
    return result


def reoriented(path):
    """As nnU-Net 2.8.1's SimpleITKIOWithReorient reads: turned to RAS."""
    try:
        itk = sitk.ReadImage(path)
        original = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(itk.GetDirection())
        itk = sitk.DICOMOrient(itk, 'RAS')
    except Exception as error:
        return failed(error)
    image = sitk.GetArrayFromImage(itk)[None].astype(np.float32)
    return {'shape': image.shape, 'sha': sha(image), 'sitk': {
        'spacing': clean(itk.GetSpacing()), 'origin': clean(itk.GetOrigin()), 'direction': clean(itk.GetDirection()),
        'original_orientation': original}}


def apart(work):
    """What `work` gives in a process of its own, as some files crash SimpleITK or never end."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os.write(into, json.dumps(work()).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, 'rb') as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else {'error': 'SimpleITK crashed'}


GARBAGE = {'error': 'some voxels are what was in memory before', 'garbage': True}


def write_cases(cases, ending, target, orient=(), garbage=()):
    """
    cases: name -> {file name: bytes}; the first file is read. orient: names of cases that are turned as well. garbage: names of those for
    which SimpleITK leaves voxels as they were in memory, without an error.
    """
    result = {}
    for name, files in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            for file, data in files.items():
                path = os.path.join(folder, file)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                Path(path).write_bytes(data)
            first = os.path.join(folder, next(iter(files)))
            result[name] = {'files': {file: base64_of(data) for file, data in files.items()}, 'read': GARBAGE if name in garbage else apart(lambda: read(first, ending))}
            if name in orient and name not in garbage:
                result[name]['reoriented'] = apart(lambda: reoriented(first))
    Path(target).write_text('{\n' + ',\n'.join(f' {json.dumps(k)}: {json.dumps(v)}' for k, v in result.items()) + '\n}\n')
    refused = sum('error' in one['read'] for one in result.values())
    print(f'{len(result)} cases, {refused} refused')
