#!/usr/bin/env python3
"""Makes the tiny models, images and expected predictions of this folder with the real nnU-Net 2.5.1 (CPU).

usage: make_models.py OUT_FOLDER [NAME ...]      (environment: a Python with nnunetv2==2.5.1, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1)

Datasets are synthetic. Fingerprint, plans, preprocessing, networks, checkpoints and predictions are the real ones; plans are edited to
tiny patches and few features, and the training loop is a short Adam loop over the trainer's own network and loss. Every model must
predict every class, else this script fails. Checkpoints are stripped of what prediction does not read (optimizer, logging).
Layout: models/NAME (model folder), images/NAME, expected/NAME (segmentations; float16 probabilities of the first case),
prev/NAME (cascade: previous stage's predictions), NAME.json: {"args": flags of predict_from_modelfolder}.
Segmentations are those of the unmodified predict_from_files, but NibabelIOWithReorient writes them as fixed in 2.5.2. Probabilities come from
the same predictor with its accumulators in float32: in float16, as it has them, the rims of such small patches are rounding noise.
"""
import copy, json, os, shutil, sys, tempfile
WORK = os.environ.get('GOLDEN_WORK') or tempfile.mkdtemp()
for k in ('raw', 'preprocessed', 'results'):
    os.environ[f'nnUNet_{k}'] = os.path.join(WORK, k); os.makedirs(os.environ[f'nnUNet_{k}'], exist_ok=True)
os.environ.setdefault('nnUNet_def_n_proc', '1'); os.environ.setdefault('nnUNet_n_proc_DA', '1')
import nibabel as nib, numpy as np, SimpleITK as sitk, torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset, plan_experiment_dataset, preprocess_dataset
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import nnUNetTrainerNoMirroring
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerBN import nnUNetTrainerBN
torch.set_num_threads(int(os.environ.get('NT', '1')))


def rot(axis, deg):
    a = np.deg2rad(deg); c, s = np.cos(a), np.sin(a)
    return np.array({0: [[1, 0, 0], [0, c, -s], [0, s, c]], 1: [[c, 0, s], [0, 1, 0], [-s, 0, c]], 2: [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis], float)


def orientation(code):
    """LPS direction matrix (columns: array axes x, y, z) of an orientation named by where each axis points, e.g. PIR."""
    v = {'L': (1, 0, 0), 'R': (-1, 0, 0), 'P': (0, 1, 0), 'A': (0, -1, 0), 'S': (0, 0, 1), 'I': (0, 0, -1)}
    return np.array([v[c] for c in code], float).T


DIRECTIONS = {'LPS': orientation('LPS'), 'RAS': orientation('RAS'), 'PIR': orientation('PIR'), 'ASL': orientation('ASL'),
              'oblique': rot(2, 12.0) @ rot(0, -7.5), 'obliquePIR': rot(1, 9.0) @ orientation('PIR')}


def ellipsoid(shape, sp, centre, radii):
    g = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, sp)], indexing='ij')
    return sum(((gi - c) / r) ** 2 for gi, c, r in zip(g, centre, radii)) <= 1


def texture(rng, shape, sigma):
    n = gaussian_filter(rng.standard_normal(shape), sigma); return n / n.std()


def case_arrays(v, rng, shape, sp):
    """Channels and a segmentation: nested ellipsoids, as many as there are labels."""
    ext = np.array(shape) * sp; c = ext * rng.uniform(-.1, .1, 3)
    seg = np.zeros(shape, np.uint8)
    for k in range(1, v['nlabels'] + 1):
        r = ext * (.36 if k == 1 else .24 / (k - 1) ** .5) * rng.uniform(.9, 1.1, 3)
        seg[ellipsoid(shape, sp, c + ext * rng.uniform(-.05, .05, 3), r) & ((seg > 0) | (k == 1))] = k
    chans = []
    for ch in range(len(v['channels'])):
        base = {'CT': 0., 'rgb_to_0_1': 120.}.get(v['channels'][ch], 200.)
        im = base + 12 * texture(rng, shape, (.4 if shape[0] < 14 else 1, 1, 1)) + 4 * rng.standard_normal(shape)
        for k in range(1, v['nlabels'] + 1): im[seg == k] += (60, -45, 80, -60)[(k + ch) % 4]
        im = gaussian_filter(im, (0 if shape[0] < 14 else .5, .5, .5))
        if v.get('zero_background'): im[~ellipsoid(shape, sp, (0, 0, 0), ext * .47)] = 0
        if v['channels'][ch] == 'CT': im[~ellipsoid(shape, sp, (0, 0, 0), ext * .49)] = -1000
        chans.append(im)
    return chans, seg


def write_case(v, folder_im, folder_seg, name, i, rng):
    lo, hi = v['shape']; shape = tuple(int(rng.integers(a, b + 1)) for a, b in zip(lo, hi))
    sp = np.array(v['spacing']) * (1 + rng.uniform(-.06, .06, 3)).round(3)
    chans, seg = case_arrays(v, rng, shape, sp)
    if v.get('ignore') and folder_seg and 'Tr' in folder_seg: seg[: shape[0] // 4] = v['nlabels'] + 1
    os.makedirs(folder_im, exist_ok=True); folder_seg and os.makedirs(folder_seg, exist_ok=True)
    if v['ending'] == '.png':
        if v['rgb']: Image.fromarray(np.clip(np.stack([c[0] for c in chans], -1), 0, 255).astype(np.uint8)).save(f'{folder_im}/{name}_0000.png')
        else: Image.fromarray(np.clip(chans[0][0], 0, 255).astype(np.uint8)).save(f'{folder_im}/{name}_0000.png')
        if folder_seg: Image.fromarray(seg[0]).save(f'{folder_seg}/{name}.png')
        return
    D = DIRECTIONS[v['directions'][i % len(v['directions'])]]; O = (-30.5 + 3.25 * i, 12.0 - 7.5 * i, 110.25 + 11 * i)
    def put(a, path):
        im = sitk.GetImageFromArray(a); im.SetSpacing([float(x) for x in sp[::-1]]); im.SetOrigin(O); im.SetDirection(D.ravel().tolist())
        sitk.WriteImage(im, path, True)
    for ch, im in enumerate(chans): put(np.round(im).astype(np.int16), f'{folder_im}/{name}_{ch:04d}{v["ending"]}')
    if folder_seg: put(seg, f'{folder_seg}/{name}{v["ending"]}')


ISO = dict(shape=((20, 22, 22), (26, 28, 28)), spacing=(1.3, 1., 1.), channels=['MR'], nlabels=2, ending='.nii.gz', directions=['LPS', 'RAS', 'oblique'],
           config='3d_fullres', patch=(16, 20, 20), features=(6, 8, 12), pool=((1, 1, 1), (2, 2, 2), (2, 2, 2)), kernels=((3, 3, 3),) * 3)
ANISO = dict(ISO, shape=((9, 30, 30), (12, 36, 36)), spacing=(5., .9, .9), channels=['T1', 'noNorm'], nlabels=3, zero_background=True, patch=(8, 24, 24),
             pool=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
PNG = dict(ISO, shape=((1, 44, 52), (1, 50, 60)), spacing=(999., 1., 1.), channels=['rgb_to_0_1'] * 3, rgb=True, nlabels=2, ending='.png', config='2d',
           patch=(32, 40), pool=((1, 1), (2, 2), (2, 2)), kernels=((3, 3),) * 3, directions=['LPS'])
VARIANTS = {
    'iso_ct_two_folds': dict(ISO, channels=['CT'], folds=[0, 1]),
    'aniso': ANISO,
    'slices_2d': dict(ANISO, config='2d', iterations=700, patch=(24, 28), pool=((1, 1), (2, 2), (2, 2)), kernels=((3, 3),) * 3),
    'rgb_png': PNG,
    'grey_png': dict(PNG, channels=['rescale_to_0_1'], rgb=False, nlabels=1),
    'resenc_torchres': dict(ISO, resenc=True, torchres=True, nlabels=2),
    'resenc_2d': dict(ANISO, config='2d', resenc=True, patch=(24, 24), pool=((1, 1), (2, 2), (2, 2)), kernels=((3, 3),) * 3),
    'regions_ignore': dict(ISO, channels=['T1', 'T2'], nlabels=3, regions=True, ignore=True),
    'cascade': dict(ISO, shape=((26, 30, 30), (30, 34, 34)), cascade=True, directions=['LPS', 'oblique']),
    'transposed_201_reorient': dict(ISO, transpose=[2, 0, 1], reader='NibabelIOWithReorient', directions=['PIR', 'oblique', 'obliquePIR', 'ASL']),
    'transposed_102_nibabel': dict(ISO, transpose=[1, 0, 2], reader='NibabelIO', directions=['RAS', 'PIR', 'oblique'], ending='.nii'),
    'transposed_sitk': dict(ANISO, transpose=[2, 0, 1], patch=(20, 8, 24), pool=((1, 1, 1), (2, 1, 2), (2, 2, 2)), kernels=((3, 1, 3), (3, 3, 3), (3, 3, 3)),
                            directions=['PIR', 'RAS', 'obliquePIR']),
    'old_plans': dict(ISO, old_plans=True, features=(6, 12, 16)),
    'no_mirroring': dict(ISO, trainer=nnUNetTrainerNoMirroring),
    'batch_norm': dict(ISO, trainer=nnUNetTrainerBN),
    'separate_z_kernels5': dict(ANISO, features=(5, 9, 12), kernels=((1, 5, 5), (3, 3, 3), (3, 3, 3)), channels=['T1'], directions=['PIR', 'LPS'],
                                target=(2.5, .9, .9), patch=(12, 24, 24)),
    'full_width': dict(ISO, features=(32, 64, 128, 256, 320), pool=((1, 1, 1),) + ((2, 2, 2),) * 4, kernels=((3, 3, 3),) * 5, patch=(32, 32, 32), convs=2,
                       shape=((40, 44, 44), (48, 52, 52)), predict_patch=(48, 48, 48)),
}


def edit_plans(v, plans, cfg):
    c = plans['configurations'][cfg]
    nd = len(v['patch']); n = len(v['features'])
    c['patch_size'] = list(v['patch']); c['batch_size'] = 2; c['batch_dice'] = False
    kind = 'ResidualEncoderUNet' if v.get('resenc') else 'PlainConvUNet'
    kw = c['architecture']['arch_kwargs']; c['architecture']['network_class_name'] = 'dynamic_network_architectures.architectures.unet.' + kind
    for k in ('n_conv_per_stage', 'n_blocks_per_stage'): kw.pop(k, None)
    kw.update(n_stages=n, features_per_stage=list(v['features']), kernel_sizes=[list(k) for k in v['kernels']], strides=[list(k) for k in v['pool']],
              n_conv_per_stage_decoder=[v.get('convs', 1)] * (n - 1))
    kw['n_blocks_per_stage' if v.get('resenc') else 'n_conv_per_stage'] = [1, 2, 2][:n] if v.get('resenc') else [v.get('convs', 1)] * n
    if v.get('torchres'):
        for k in ('data', 'seg', 'probabilities'):
            c[f'resampling_fn_{k}'] = 'resample_torch_fornnunet'
            c[f'resampling_fn_{k}_kwargs'] = {'is_seg': k == 'seg', 'force_separate_z': False, 'memefficient_seg_resampling': False}


def to_old(plans):
    """Plans as nnU-Net 2.0-2.3 wrote them: no `architecture`."""
    p = copy.deepcopy(plans); p['foreground_intensity_properties_by_modality'] = p['foreground_intensity_properties_per_channel']
    for c in p['configurations'].values():
        if 'architecture' not in c: continue
        kw = c.pop('architecture')['arch_kwargs']
        c.update(UNet_class_name='PlainConvUNet', UNet_base_num_features=kw['features_per_stage'][0], unet_max_num_features=max(kw['features_per_stage']),
                 n_conv_per_stage_encoder=kw['n_conv_per_stage'], n_conv_per_stage_decoder=kw['n_conv_per_stage_decoder'],
                 num_pool_per_axis=[2, 2, 2], pool_op_kernel_sizes=kw['strides'], conv_kernel_sizes=kw['kernel_sizes'])
    return p


def train(v, plans, cfg, dataset_json, name, fold, iterations, prev=None):
    """A short Adam loop over the trainer's own network and loss; patches half of the time around foreground."""
    trainer = v.get('trainer', nnUNetTrainer)(copy.deepcopy(plans), cfg, fold, dataset_json, device=torch.device('cpu'))
    trainer.enable_deep_supervision = False
    trainer.initialize(); trainer.inference_allowed_mirroring_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[3] \
        if trainer.inference_allowed_mirroring_axes is None else trainer.inference_allowed_mirroring_axes
    if hasattr(trainer.network, 'decoder'): trainer.network.decoder.deep_supervision = False
    lm = trainer.label_manager; folder = trainer.preprocessed_dataset_folder
    cases = []
    for f in sorted(os.listdir(folder)):
        if f.endswith('.npz'):
            z = np.load(os.path.join(folder, f)); cases.append((z['data'], z['seg'][0].astype(np.int16), f[:-4]))
    rng = np.random.default_rng(7 + (fold if isinstance(fold, int) else 0)); torch.manual_seed(3)
    opt = torch.optim.Adam(trainer.network.parameters(), 3e-3); net = trainer.network.train(); patch = np.array(v['patch'])
    if len(patch) == 2: patch = np.array([1, *patch])
    for it in range(iterations):
        xs, ys = [], []
        for b in range(2):
            d, s, cid = cases[rng.integers(len(cases))]
            fg = np.argwhere(s == rng.choice(np.unique(s[s > 0]))) if rng.random() < .7 else np.argwhere(s > -2)
            at = fg[rng.integers(len(fg))] - patch // 2 + rng.integers(-2, 3, 3)
            lo = np.clip(at, 0, np.maximum(0, np.array(s.shape) - patch)); sl = tuple(slice(a, a + p) for a, p in zip(lo, patch))
            x = d[(slice(None),) + sl]; y = np.maximum(s[sl], 0)
            if prev is not None:
                ps = np.where(rng.random() < .8, y, 0); x = np.concatenate([x] + [(ps == l)[None].astype(np.float32) for l in lm.foreground_labels])
            pad = [(0, p - n) for p, n in zip(patch, y.shape)]
            x = np.pad(x, [(0, 0)] + pad); y = np.pad(y, pad)
            if rng.random() < .5: x, y = x[..., ::-1], y[..., ::-1]
            if len(v['patch']) == 2: x, y = x[:, 0], y[0]
            if lm.has_regions:
                t = np.stack([np.isin(y, r) for r in lm.foreground_regions] + ([y == lm.ignore_label] if lm.has_ignore_label else [])).astype(np.float32)
            else: t = y[None].astype(np.float32)
            xs.append(np.ascontiguousarray(x)); ys.append(np.ascontiguousarray(t))
        loss = trainer.loss(net(torch.from_numpy(np.stack(xs))), torch.from_numpy(np.stack(ys)))
        opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(net.parameters(), 12); opt.step()
    print(name, cfg, fold, 'loss', float(loss), flush=True)
    sd = {k: t.detach().clone() for k, t in net.state_dict().items()}
    dst = {'network_weights': sd, 'trainer_name': type(trainer).__name__, 'init_args': {k: a for k, a in trainer.my_init_kwargs.items()},
           'inference_allowed_mirroring_axes': trainer.inference_allowed_mirroring_axes, 'current_epoch': 1}
    return dst


def save_model(folder, plans, dataset_json, fold, ck, fingerprint=None):
    os.makedirs(f'{folder}/fold_{fold}', exist_ok=True)
    ck['init_args']['plans'] = {'plans_name': plans['plans_name']}  # prediction reads the plans of the model folder
    json.dump(plans, open(f'{folder}/plans.json', 'w'), indent=4); json.dump(dataset_json, open(f'{folder}/dataset.json', 'w'), indent=4)
    torch.save(ck, f'{folder}/fold_{fold}/checkpoint_final.pth')


def predict(model, images, out, folds, prev=None, probabilities=True):
    p = nnUNetPredictor(tile_step_size=.5, use_gaussian=True, use_mirroring=True, device=torch.device('cpu'), perform_everything_on_device=False,
                        verbose=False, allow_tqdm=False)
    p.initialize_from_trained_model_folder(model, folds, 'checkpoint_final.pth')
    p.predict_from_files(images, out, save_probabilities=probabilities, overwrite=True, num_processes_preprocessing=1,
                         num_processes_segmentation_export=1, folder_with_segs_from_prev_stage=prev)


def tidy(out):
    for f in sorted(os.listdir(out)):
        if f.endswith(('.npz', '.pkl', '.json')): os.remove(os.path.join(out, f))


def predict_in_process(model, images, out, folds, v, prev):
    """Probabilities of the first case with float32 accumulators; for NibabelIOWithReorient all segmentations, written as 2.5.2 does."""
    p = nnUNetPredictor(use_gaussian=True, use_mirroring=True, device=torch.device('cpu'), perform_everything_on_device=False, allow_tqdm=False)
    p.initialize_from_trained_model_folder(model, folds, 'checkpoint_final.pth')
    io = p.plans_manager.image_reader_writer_class(); e = v['ending']; nch = 1 if v['ending'] == '.png' else len(v['channels'])
    half = torch.half
    for i, case in enumerate(sorted({f[: -len(e) - 5] for f in os.listdir(images)})):
        if i and v.get('reader') != 'NibabelIOWithReorient': break
        im, props = io.read_images([f'{images}/{case}_{c:04d}{e}' for c in range(nch)])
        seg0 = io.read_seg(f'{prev}/{case}{e}')[0] if prev else None
        if v.get('reader') == 'NibabelIOWithReorient':
            import nibabel.orientations as no
            seg = p.predict_single_npy_array(im, props, seg0)
            ras = nib.Nifti1Image(seg.transpose(2, 1, 0).astype(np.uint8), props['nibabel_stuff']['reoriented_affine'])
            back = no.ornt_transform(no.io_orientation(np.eye(4)), no.io_orientation(props['nibabel_stuff']['original_affine']))
            nib.save(ras.as_reoriented(back), f'{out}/{case}{e}')
        if i == 0:
            torch.half = torch.float32
            try: prob = p.predict_single_npy_array(im, props, seg0, save_or_return_probabilities=True)[1]
            finally: torch.half = half
            np.savez_compressed(f'{out}/{case}.npz', probabilities=prob.astype(np.float16))


def make(name, v, OUT, number):
    rng = np.random.default_rng(number); ds = f'Dataset{number:03d}_{name}'; raw = f'{os.environ["nnUNet_raw"]}/{ds}'
    shutil.rmtree(raw, ignore_errors=True); shutil.rmtree(f'{os.environ["nnUNet_preprocessed"]}/{ds}', ignore_errors=True)
    for i in range(5): write_case(v, f'{raw}/imagesTr', f'{raw}/labelsTr', f'case_{i:03d}', i, rng)
    for sub in ('images', 'expected', 'models', 'prev'): shutil.rmtree(f'{OUT}/{sub}/{name}', ignore_errors=True)
    ntest = max(2, len(v['directions']) if len(v['directions']) > 3 else 2)
    for i in range(ntest): write_case(v, f'{OUT}/images/{name}', None, f'test_{i:03d}', i, rng)
    labels = {'background': 0, **{f'L{k}': k for k in range(1, v['nlabels'] + 1)}}
    dj = dict(channel_names={str(i): c for i, c in enumerate(v['channels'])}, labels=labels, numTraining=5, file_ending=v['ending'])
    if v.get('regions'): dj.update(labels={'background': 0, 'whole': [1, 2, 3], 'core': [2, 3], 'inner': 3, 'ignore': 4}, regions_class_order=[1, 2, 3])
    if v.get('reader'): dj['overwrite_image_reader_writer'] = v['reader']
    json.dump(dj, open(f'{raw}/dataset.json', 'w'))
    extract_fingerprint_dataset(number, num_processes=1, clean=True, verbose=False)
    kw = {'overwrite_target_spacing': v['target']} if v.get('target') else {'overwrite_target_spacing': tuple(np.array(v['spacing']) * 1.1)} if v['ending'] != '.png' and not v.get('zero_background') else {}
    plan_experiment_dataset(number, **kw)
    pf = f'{os.environ["nnUNet_preprocessed"]}/{ds}/nnUNetPlans.json'; plans = json.load(open(pf))
    if v.get('transpose'):
        tf = v['transpose']; plans['transpose_forward'] = tf; plans['transpose_backward'] = [int(i) for i in np.argsort(tf)]
        c0 = plans['configurations']['3d_fullres']; old = list(v['spacing']); c0['spacing'] = [float(old[i]) * (1.0 if v.get('zero_background') else 1.1) for i in tf]
        plans['original_median_spacing_after_transp'] = [float(old[i]) for i in tf]
    for c in [c for c in ('2d', '3d_fullres') if c in plans['configurations']]:
        if c == v['config']: edit_plans(v, plans, c)
    if v.get('cascade'):
        base = plans['configurations']['3d_fullres']; low = copy.deepcopy(base)
        low.update(data_identifier='nnUNetPlans_3d_lowres', spacing=[s * 1.5 for s in base['spacing']], patch_size=[16, 16, 16], next_stage='3d_cascade_fullres')
        plans['configurations'] = {'3d_lowres': low, '3d_fullres': base, '3d_cascade_fullres': {'inherits_from': '3d_fullres', 'previous_stage': '3d_lowres'}}
    else: plans['configurations'] = {v['config']: plans['configurations'][v['config']]}
    json.dump(plans, open(pf, 'w'), indent=4)
    folds = v.get('folds', [0]); its = v.get('iterations', 220); model = f'{OUT}/models/{name}'; prev = None; args = []
    configs = ['3d_lowres', '3d_fullres'] if v.get('cascade') else [v['config']]
    preprocess_dataset(number, configurations=configs, num_processes=[1] * len(configs), verbose=False)
    if v.get('cascade'):
        low = f'{WORK}/lowres_model'; shutil.rmtree(low, ignore_errors=True)
        save_model(low, plans, dj, 0, train(dict(v, patch=(16, 16, 16)), plans, '3d_lowres', dj, name, 0, its))
        prev = f'{OUT}/prev/{name}'; predict(low, f'{OUT}/images/{name}', prev, (0,), probabilities=False); tidy(prev)
        args += ['-prev_stage_predictions', f'prev/{name}']
        v = dict(v, config='3d_cascade_fullres')
    saved = copy.deepcopy(plans)
    if v.get('predict_patch'): saved['configurations'][v['config']]['patch_size'] = list(v['predict_patch'])
    if v.get('old_plans'): saved = to_old(saved)
    for fold in folds: save_model(model, saved, dj, fold, train(v, plans, v['config'], dj, name, fold, its, prev))
    args = ['-f', *map(str, folds)] + args
    out = f'{OUT}/expected/{name}'; predict(model, f'{OUT}/images/{name}', out, tuple(folds), prev, probabilities=False); tidy(out)
    predict_in_process(model, f'{OUT}/images/{name}', out, tuple(folds), v, prev)
    json.dump({'args': args}, open(f'{OUT}/{name}.json', 'w'))
    seen = set()
    for f in os.listdir(out):
        if f.endswith('.npz'): continue
        a = np.asarray(Image.open(f'{out}/{f}')) if f.endswith('.png') else np.asarray(nib.load(f'{out}/{f}').dataobj)
        seen |= set(np.unique(a).tolist())
    want = set(range(v['nlabels'] + 1)); assert want <= seen, f'{name}: predicts {sorted(seen)} only, of {sorted(want)}'
    print('done', name, sorted(seen), flush=True)


def again(name, v, OUT):
    """Predicts again with a model that is there."""
    args = json.load(open(f'{OUT}/{name}.json'))['args']; out = f'{OUT}/expected/{name}'; prev = f'{OUT}/prev/{name}' if 'cascade' in name else None
    shutil.rmtree(out); folds = tuple(v.get('folds', [0]))
    predict(f'{OUT}/models/{name}', f'{OUT}/images/{name}', out, folds, prev, probabilities=False); tidy(out)
    predict_in_process(f'{OUT}/models/{name}', f'{OUT}/images/{name}', out, folds, v, prev); print('again', name, args, flush=True)


if __name__ == '__main__':
    if sys.argv[1] == '--again':
        for n in sys.argv[3:]: again(n, VARIANTS[n], os.path.abspath(sys.argv[2]))
        sys.exit()
    out = os.path.abspath(sys.argv[1]); names = sys.argv[2:] or [n for n in VARIANTS if n != 'full_width']
    for n in names: make(n, VARIANTS[n], out, 801 + list(VARIANTS).index(n))
