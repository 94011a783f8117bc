#!/usr/bin/env python3
"""Makes model folders with random weights and images for the predict bench, with the real nnU-Net's network classes.

usage: make_bench_models.py OUT_FOLDER [NAME ...]
  ct25    net 32..320 (6 stages), 25 classes, patch 128^3, 1.5 mm, no mirroring; one 256x256x160 volume
  ct25large  the same net; one 512x512x400 volume
  big60   net 32..320 (5 stages), 60 classes, patch 96^3, no mirroring; one 300^3 volume
Layout: OUT/NAME/model, OUT/NAME/images.
"""
import json, os, sys
import numpy as np, SimpleITK as sitk, torch
from scipy.ndimage import gaussian_filter, zoom
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

SPECS = {'ct25': dict(classes=25, patch=[128] * 3, stages=6, shape=(160, 256, 256), spacing=1.5),
         'ct25large': dict(classes=25, patch=[128] * 3, stages=6, shape=(400, 512, 512), spacing=1.5),
         'big60': dict(classes=60, patch=[96] * 3, stages=5, shape=(300, 300, 300), spacing=1.5)}


def make(out, s):
    n = s['stages']; nd = '3d'
    kw = dict(n_stages=n, features_per_stage=[min(320, 32 * 2 ** i) for i in range(n)], conv_op='torch.nn.modules.conv.Conv3d', kernel_sizes=[[3] * 3] * n,
              strides=[[1] * 3] + [[2] * 3] * (n - 1), n_conv_per_stage=[2] * n, n_conv_per_stage_decoder=[2] * (n - 1), conv_bias=True,
              norm_op='torch.nn.modules.instancenorm.InstanceNorm3d', norm_op_kwargs={'eps': 1e-5, 'affine': True}, dropout_op=None, dropout_op_kwargs=None,
              nonlin='torch.nn.LeakyReLU', nonlin_kwargs={'inplace': True})
    cls = 'dynamic_network_architectures.architectures.unet.PlainConvUNet'; imports = ['conv_op', 'norm_op', 'dropout_op', 'nonlin']
    stats = dict(max=1500., mean=80., median=70., min=-900., percentile_00_5=-700., percentile_99_5=600., std=150.)
    fn = {f'resampling_fn_{k}': 'resample_data_or_seg_to_shape' for k in ('data', 'seg', 'probabilities')}
    kws = {f'resampling_fn_{k}_kwargs': dict(is_seg=k == 'seg', order=3 if k == 'data' else 1, order_z=0, force_separate_z=None) for k in ('data', 'seg', 'probabilities')}
    conf = dict(data_identifier='x', preprocessor_name='DefaultPreprocessor', batch_size=2, patch_size=s['patch'], median_image_size_in_voxels=list(s['shape']),
                spacing=[s['spacing']] * 3, normalization_schemes=['CTNormalization'], use_mask_for_norm=[False], **fn, **kws,
                architecture=dict(network_class_name=cls, arch_kwargs=kw, _kw_requires_import=imports), batch_dice=False)
    plans = dict(dataset_name='Dataset000_bench', plans_name='nnUNetPlans', original_median_spacing_after_transp=[s['spacing']] * 3,
                 original_median_shape_after_transp=list(s['shape']), image_reader_writer='SimpleITKIO', transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2],
                 configurations={'3d_fullres': conf}, experiment_planner_used='ExperimentPlanner', label_manager='LabelManager',
                 foreground_intensity_properties_per_channel={'0': stats})
    dj = dict(channel_names={'0': 'CT'}, labels={'background': 0, **{f'c{i}': i for i in range(1, s['classes'])}}, numTraining=1, file_ending='.nii.gz')
    torch.manual_seed(1)
    net = get_network_from_plans(cls, kw, imports, 1, s['classes'], allow_init=True, deep_supervision=False)
    f = f'{out}/model/fold_0'; os.makedirs(f, exist_ok=True)
    torch.save(dict(network_weights=net.state_dict(), trainer_name='nnUNetTrainer', init_args=dict(configuration='3d_fullres', fold=0),
                    inference_allowed_mirroring_axes=None), f'{f}/checkpoint_final.pth')
    json.dump(plans, open(f'{out}/model/plans.json', 'w'), indent=4); json.dump(dj, open(f'{out}/model/dataset.json', 'w'), indent=4)
    rng = np.random.default_rng(5); shape = s['shape']
    g = np.meshgrid(*[np.linspace(-1, 1, k, dtype=np.float32) for k in shape], indexing='ij', sparse=True)
    low = gaussian_filter(rng.standard_normal([-(-k // 4) for k in shape]), 2); low = zoom(low / low.std(), [k / -(-k // 4) for k in shape], order=1)
    im = 40 + 60 * low + 20 * rng.standard_normal(shape).astype(np.float32); im[(g[1] / .8) ** 2 + (g[2] / .95) ** 2 + 0 * g[0] > 1] = -1000
    im = sitk.GetImageFromArray(im.astype(np.int16)); im.SetSpacing([s['spacing']] * 3); os.makedirs(f'{out}/images', exist_ok=True)
    sitk.WriteImage(im, f'{out}/images/case_000_0000.nii.gz', True)


if __name__ == '__main__':
    for n in sys.argv[2:] or SPECS: make(f'{sys.argv[1]}/{n}', SPECS[n])
