"""What the real nnU-Net 2.5.1 packs into a zip, and whether it installs ours.

    python make_share.py                  writes results.json (a results folder, as a list), exports.json and upstream.zip
    python make_share.py check ZIP        installs a zip with the real nnU-Net, and prints what it unpacked: path and SHA-256

The results folder is made of models of ../models and short texts, so that a test can make the same one.
exports.json: for each call the flags, the printed lines and the entries with the CRC-32 of their contents.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, '..', 'models', 'models')
D = 'Dataset900_Shared'
T = 'nnUNetTrainer__nnUNetPlans__'
PAIR = f'ensemble___{T}2d___{T}3d_fullres___0_1'
OTHER = f'ensemble___{T}2d___{T}3d_lowres___0_1'

CALLS = {
    'both': '-c 2d 3d_fullres -f 0 1',
    'predictions': '-c 2d 3d_fullres -f 0 1 --exp_cv_preds',
    'one': '-c 2d -f 0',
    'all_four': '-f 0 1',
}


def results_folder():
    """path -> {"model": file of ../models/models} or {"text": content}"""
    files = {}
    for configuration, model, folds in (('2d', 'slices_2d', (0, 0)), ('3d_fullres', 'iso_ct_two_folds', (0, 1))):
        top = f'{D}/{T}{configuration}'
        for name in ('plans.json', 'dataset.json'):
            files[f'{top}/{name}'] = {'model': f'{model}/{name}'}
        files[f'{top}/dataset_fingerprint.json'] = {'text': '{"fingerprint": "of %s"}' % configuration}
        for fold, source in enumerate(folds):
            at = f'{top}/fold_{fold}'
            files[f'{at}/checkpoint_final.pth'] = {'model': f'{model}/fold_{source}/checkpoint_final.pth'}
            files[f'{at}/checkpoint_best.pth'] = {'text': 'another checkpoint'}
            files[f'{at}/training_log_2024.txt'] = {'text': 'a log'}
            files[f'{at}/progress.png'] = {'text': f'curves of fold {fold}'}
            files[f'{at}/validation/summary.json'] = {'text': '{"foreground_mean": {"Dice": 0.%d}}' % (fold + 5)}
            for name in ('case_1.nii.gz', 'case_1.npz', 'case_1.pkl'):
                files[f'{at}/validation/{name}'] = {'text': f'{name} of fold {fold} of {configuration}'}
        files[f'{top}/fold_0/debug.json'] = {'text': '{}'}
        for name in ('summary.json', 'postprocessing.json', 'postprocessing.pkl', 'plans.json', 'dataset.json', 'case_1.nii.gz'):
            files[f'{top}/crossval_results_folds_0_1/{name}'] = {'text': f'{name} of {configuration}'}
    for ensemble in (PAIR, OTHER):
        for name in ('summary.json', 'postprocessing.json', 'postprocessing.pkl', 'plans.json', 'dataset.json', 'case_1.nii.gz'):
            files[f'{D}/ensembles/{ensemble}/{name}'] = {'text': f'{name} of {ensemble}'}
    files[f'{D}/inference_information.json'] = {'text': '{"best": "2d"}'}
    files[f'{D}/inference_instructions.txt'] = {'text': 'predict with 2d'}
    return files


def write(root, files):
    for path, source in files.items():
        target = os.path.join(root, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if 'model' in source:
            shutil.copy(os.path.join(MODELS, source['model']), target)
        else:
            with open(target, 'w') as f:
                f.write(source['text'])


def upstream(results, entry, *args):
    code = f'from nnunetv2.model_sharing.entry_points import {entry}; {entry}()'
    env = dict(os.environ, nnUNet_results=results, nnUNet_raw=results, nnUNet_preprocessed=results)
    return subprocess.run([sys.executable, '-c', code, *args], env=env, capture_output=True, text=True)


def make():
    files = results_folder()
    with open(f'{HERE}/results.json', 'w') as f:
        json.dump(files, f, indent=1)
    exports = {}
    with tempfile.TemporaryDirectory() as temp:
        results = f'{temp}/results'
        write(results, files)
        for name, flags in CALLS.items():
            out = f'{temp}/{name}.zip'
            done = upstream(results, 'export_pretrained_model_entry', '-d', '900', '-o', out, *flags.split())
            exports[name] = {'flags': flags, 'code': done.returncode, 'lines': done.stdout.splitlines()}
            if done.returncode == 0:
                with zipfile.ZipFile(out) as z:
                    exports[name]['entries'] = {i.filename: [i.file_size, i.CRC] for i in z.infolist()}
                if name == 'both':
                    shutil.copy(out, f'{HERE}/upstream.zip')
    with open(f'{HERE}/exports.json', 'w') as f:
        json.dump(exports, f, indent=1)


def check(path):
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None
    with tempfile.TemporaryDirectory() as results:
        done = upstream(results, 'install_from_zip_entry_point', path)
        assert done.returncode == 0, done.stderr
        for folder, _, names in sorted(os.walk(results)):
            for name in sorted(names):
                with open(os.path.join(folder, name), 'rb') as f:
                    print(os.path.relpath(os.path.join(folder, name), results), hashlib.sha256(f.read()).hexdigest())


if __name__ == '__main__':
    check(sys.argv[2]) if sys.argv[1:2] == ['check'] else make()
