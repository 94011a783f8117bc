/** Plans that nothing is wrong with, to be broken by tests. */

// deno-lint-ignore no-explicit-any -- the tests break the plans in every place
export type Json = any;

/** The architecture that plans name: a plain 3-D U-Net of kernels of 3 that halves every axis from stage to stage. */
export function plainUNet(features: readonly number[], convolutionsPerStage: number) {
  const stages = features.length;
  return {
    network_class_name: "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    arch_kwargs: {
      n_stages: stages,
      features_per_stage: features,
      conv_op: "torch.nn.modules.conv.Conv3d",
      kernel_sizes: features.map(() => [3, 3, 3]),
      strides: features.map((_, stage) => stage === 0 ? [1, 1, 1] : [2, 2, 2]),
      n_conv_per_stage: new Array(stages).fill(convolutionsPerStage),
      n_conv_per_stage_decoder: new Array(stages - 1).fill(convolutionsPerStage),
      conv_bias: true,
      norm_op: "torch.nn.modules.instancenorm.InstanceNorm3d",
      norm_op_kwargs: { eps: 1e-5, affine: true },
      dropout_op: null,
      dropout_op_kwargs: null,
      nonlin: "torch.nn.LeakyReLU",
      nonlin_kwargs: { inplace: true },
    },
    _kw_requires_import: ["conv_op", "norm_op", "dropout_op", "nonlin"],
  };
}

/** Plans of one configuration, 3d_fullres, and two that inherit from it. */
export function plansJson(): Json {
  const resampling = (order: number, isSeg: boolean) => ({
    is_seg: isSeg,
    order,
    order_z: 0,
    force_separate_z: null,
  });
  return {
    dataset_name: "Dataset001_X",
    plans_name: "nnUNetPlans",
    image_reader_writer: "SimpleITKIO",
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    label_manager: "LabelManager",
    foreground_intensity_properties_per_channel: {
      "0": { max: 9, mean: 1, median: 1, min: NaN, percentile_00_5: 0, percentile_99_5: 8, std: 2 },
    },
    configurations: {
      "3d_fullres": {
        data_identifier: "nnUNetPlans_3d_fullres",
        preprocessor_name: "DefaultPreprocessor",
        batch_size: 2,
        patch_size: [8, 16, 16],
        spacing: [1, 1, 1],
        normalization_schemes: ["CTNormalization"],
        use_mask_for_norm: [false],
        resampling_fn_data: "resample_data_or_seg_to_shape",
        resampling_fn_seg: "resample_data_or_seg_to_shape",
        resampling_fn_probabilities: "resample_data_or_seg_to_shape",
        resampling_fn_data_kwargs: resampling(3, false),
        resampling_fn_seg_kwargs: resampling(1, true),
        resampling_fn_probabilities_kwargs: resampling(1, false),
        batch_dice: false,
        architecture: plainUNet([4, 8], 2),
      },
      "child": { inherits_from: "3d_fullres", batch_size: 5 },
      "grandchild": { inherits_from: "child", patch_size: [16, 16, 16] },
    },
  };
}
