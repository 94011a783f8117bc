/**
 * The network of a configuration, from `architecture` of plans 2.4 and later or from the keys that older plans have instead.
 * Every field is either understood or refused by name. Source: nnunetv2/utilities/plans_handling/plans_handler.py and
 * dynamic_network_architectures/architectures/unet.py.
 */
import { plural } from "../base/plural.ts";
import { z } from "zod";
import { checkFields, type FieldContext, fieldError, show } from "../base/fields.ts";
import type { Vec3 } from "../base/shape.ts";
import type { NetworkArchitecture } from "../network/architecture.ts";
import { BLOCKS, count, countOrList, FEATURES, KERNEL, STAGES } from "./ranges.ts";

const FEATURE_COUNT = count(FEATURES.most);
const BLOCK_COUNT = count(BLOCKS.most);
const BLOCKS_PER_STAGE = countOrList(BLOCKS.most);
const PER_AXIS = countOrList(KERNEL.most);
const PER_STAGE_AND_AXIS = z.union(
  [count(KERNEL.most), z.array(PER_AXIS).min(1)],
  `expected integers from 1 to ${KERNEL.most} per stage and axis`,
);
const KWARGS = z.record(z.string(), z.unknown()).nullish();

const ARCHITECTURE = z.looseObject({ network_class_name: z.string(), arch_kwargs: z.record(z.string(), z.unknown()) });

/** Fields that both networks have. */
const COMMON = {
  n_stages: count(STAGES.most),
  features_per_stage: countOrList(FEATURES.most),
  conv_op: z.string(),
  kernel_sizes: PER_STAGE_AND_AXIS,
  strides: PER_STAGE_AND_AXIS,
  n_conv_per_stage_decoder: BLOCKS_PER_STAGE,
  conv_bias: z.boolean().default(false),
  norm_op: z.string().nullish(),
  norm_op_kwargs: KWARGS,
  // Dropout does nothing at inference.
  dropout_op: z.string().nullish(),
  dropout_op_kwargs: KWARGS,
  nonlin: z.string().nullish(),
  nonlin_kwargs: KWARGS,
  // All heads are always stored; inference uses the last one.
  deep_supervision: z.boolean().nullish(),
};
const PLAIN = z.strictObject({
  ...COMMON,
  n_conv_per_stage: BLOCKS_PER_STAGE,
  nonlin_first: z.boolean().default(false),
});
const RESIDUAL = z.strictObject({
  ...COMMON,
  n_blocks_per_stage: BLOCKS_PER_STAGE,
  block: z.unknown().optional(),
  bottleneck_channels: z.unknown().optional(),
  stem_channels: FEATURE_COUNT.nullish(),
  // Drops whole blocks while training; does nothing at inference.
  stochastic_depth_p: z.number().min(0).max(1).nullish(),
  squeeze_excitation: z.unknown().optional(),
  squeeze_excitation_reduction_ratio: z.unknown().optional(),
});

/** Old plans, up to nnU-Net 2.3. */
const OLD = z.looseObject({
  UNet_class_name: z.string(),
  UNet_base_num_features: FEATURE_COUNT,
  unet_max_num_features: FEATURE_COUNT,
  n_conv_per_stage_encoder: z.array(BLOCK_COUNT).min(1).max(STAGES.most),
  n_conv_per_stage_decoder: z.array(BLOCK_COUNT),
  pool_op_kernel_sizes: z.array(PER_AXIS),
  conv_kernel_sizes: z.array(PER_AXIS),
});

/**
 * @param configuration The configuration's fields, inheritance resolved.
 * @param dimensions Of its patch.
 * @throws UserError naming the field that is missing, wrong or not implemented.
 */
export function readArchitecture(
  configuration: Readonly<Record<string, unknown>>,
  dimensions: 2 | 3,
  context: FieldContext,
): NetworkArchitecture {
  if ("architecture" in configuration) {
    const at = { ...context, path: [...context.path, "architecture"] };
    const { network_class_name: name, arch_kwargs: kwargs } = checkFields(ARCHITECTURE, configuration.architecture, at);
    return fromKwargs(name, kwargs, dimensions, at);
  }
  if (!("UNet_class_name" in configuration)) {
    throw fieldError(
      context,
      ["architecture"],
      "is missing, and so is UNet_class_name, which older plans have instead",
    );
  }
  const old = checkFields(OLD, configuration, context);
  const blocks = old.UNet_class_name.includes("Residual") ? "n_blocks_per_stage" : "n_conv_per_stage";
  return fromKwargs(
    old.UNet_class_name,
    {
      n_stages: old.n_conv_per_stage_encoder.length,
      features_per_stage: old.n_conv_per_stage_encoder.map((_, stage) =>
        Math.min(old.UNet_base_num_features * 2 ** stage, old.unet_max_num_features)
      ),
      conv_op: `Conv${dimensions}d`,
      kernel_sizes: old.conv_kernel_sizes,
      strides: old.pool_op_kernel_sizes,
      [blocks]: old.n_conv_per_stage_encoder,
      n_conv_per_stage_decoder: old.n_conv_per_stage_decoder,
      conv_bias: true,
      norm_op: `InstanceNorm${dimensions}d`,
      norm_op_kwargs: { eps: 1e-5, affine: true },
      nonlin: "LeakyReLU",
    },
    dimensions,
    context,
  );
}

function fromKwargs(
  className: string,
  kwargs: Readonly<Record<string, unknown>>,
  dimensions: 2 | 3,
  context: FieldContext,
): NetworkArchitecture {
  const family = lastComponent(className);
  if (family !== "PlainConvUNet" && family !== "ResidualEncoderUNet") {
    throw fieldError(
      context,
      ["network_class_name"],
      `the network ${className} is not implemented`,
      "models with PlainConvUNet and ResidualEncoderUNet can be used",
    );
  }
  const at: FieldContext = { ...context, path: [...context.path, "arch_kwargs"] };
  const residual = family === "ResidualEncoderUNet";
  refuseUnknown(kwargs, residual ? RESIDUAL.shape : PLAIN.shape, family, at);
  const shared = residual ? checkFields(RESIDUAL, kwargs, at) : checkFields(PLAIN, kwargs, at);
  const stages = shared.n_stages;
  if (stages < 2) throw fieldError(at, ["n_stages"], `a U-Net has at least 2 stages, found ${stages}`);

  const convDimensions = { Conv2d: 2, Conv3d: 3 }[lastComponent(shared.conv_op)];
  if (convDimensions === undefined) throw fieldError(at, ["conv_op"], `${shared.conv_op} is not implemented`);
  if (convDimensions !== dimensions) {
    throw fieldError(at, ["conv_op"], `${shared.conv_op} does not fit a patch_size of ${dimensions} numbers`);
  }
  if ("squeeze_excitation" in shared && shared.squeeze_excitation) {
    throw fieldError(at, ["squeeze_excitation"], "squeeze and excitation is not implemented");
  }
  if (
    "bottleneck_channels" in shared && shared.bottleneck_channels !== null && shared.bottleneck_channels !== undefined
  ) {
    throw fieldError(at, ["bottleneck_channels"], "bottleneck blocks are not implemented");
  }
  if ("block" in shared && shared.block && lastComponent(String(shared.block)) !== "BasicBlockD") {
    throw fieldError(at, ["block"], `blocks of the kind ${show(shared.block)} are not implemented, BasicBlockD is`);
  }

  const perStage = (field: string, value: number | readonly number[], count: number): readonly number[] => {
    const values = typeof value === "number" ? new Array<number>(count).fill(value) : value;
    if (values.length !== count) {
      throw fieldError(
        at,
        [field],
        `needs ${count} ${count === 1 ? "entry" : "entries"} for ${plural(stages, "stage")}, found ${show(value)}`,
      );
    }
    return values;
  };
  const perAxis = (field: string, value: z.infer<typeof PER_STAGE_AND_AXIS>): readonly Vec3[] => {
    const values = typeof value === "number" ? new Array<number>(stages).fill(value) : value;
    if (values.length !== stages) {
      throw fieldError(
        at,
        [field],
        `needs ${stages} ${stages === 1 ? "entry for one stage" : "entries for as many stages"}, found ${show(value)}`,
      );
    }
    return values.map((entry, stage) => {
      const axes = typeof entry === "number" ? new Array<number>(dimensions).fill(entry) : entry;
      if (axes.length !== dimensions) {
        throw fieldError(at, [field, stage], `needs ${dimensions} numbers, found ${show(entry)}`);
      }
      return axes.length === 2 ? [1, axes[0], axes[1]] : [axes[0], axes[1], axes[2]];
    });
  };
  const kernelSizes = perAxis("kernel_sizes", shared.kernel_sizes);
  const even = kernelSizes.findIndex((kernel) => kernel.some((size) => size % 2 === 0));
  if (even >= 0) throw fieldError(at, ["kernel_sizes", even], "even kernel sizes are not implemented");

  const blocks = "n_blocks_per_stage" in shared
    ? perStage("n_blocks_per_stage", shared.n_blocks_per_stage, stages)
    : perStage("n_conv_per_stage", shared.n_conv_per_stage, stages);
  const convsPerStageDecoder = perStage("n_conv_per_stage_decoder", shared.n_conv_per_stage_decoder, stages - 1);
  const total = [...blocks, ...convsPerStageDecoder].reduce((sum, n) => sum + n, 0);
  if (total > BLOCKS.mostOfNetwork) {
    const field = residual ? "n_blocks_per_stage" : "n_conv_per_stage";
    const problem =
      `with n_conv_per_stage_decoder the network has ${total} blocks, at most ${BLOCKS.mostOfNetwork} are computed`;
    throw fieldError(at, [field], problem);
  }
  const stemChannels = "stem_channels" in shared ? shared.stem_channels : undefined;
  return {
    family,
    dimensions,
    featuresPerStage: perStage("features_per_stage", shared.features_per_stage, stages),
    kernelSizes,
    strides: perAxis("strides", shared.strides),
    blocksPerStage: blocks,
    convsPerStageDecoder,
    convBias: shared.conv_bias,
    norm: readNorm(shared.norm_op, shared.norm_op_kwargs, dimensions, at),
    negativeSlope: readSlope(shared.nonlin, shared.nonlin_kwargs, at),
    nonlinFirst: "nonlin_first" in shared && shared.nonlin_first,
    ...(stemChannels ? { stemChannels } : {}),
  };
}

function readNorm(
  op: string | null | undefined,
  kwargs: Readonly<Record<string, unknown>> | null | undefined,
  dimensions: 2 | 3,
  context: FieldContext,
): NetworkArchitecture["norm"] {
  if (!op) return { kind: "none", eps: 0, affine: false };
  const name = lastComponent(op);
  const kinds: Record<string, "instance" | "batch"> = {
    [`InstanceNorm${dimensions}d`]: "instance",
    [`BatchNorm${dimensions}d`]: "batch",
  };
  const kind = kinds[name];
  if (!kind) throw fieldError(context, ["norm_op"], `${op} is not implemented; InstanceNorm and BatchNorm are`);
  const fields = {
    eps: z.number().positive().max(1),
    affine: z.boolean(),
    momentum: z.unknown().optional(),
    track_running_stats: z.boolean(),
  };
  const at: FieldContext = { ...context, path: [...context.path, "norm_op_kwargs"] };
  refuseUnknown(kwargs ?? {}, fields, name, at);
  const { eps, affine, track_running_stats: tracks } = checkFields(z.object(fields).partial(), kwargs ?? {}, at);
  if (tracks !== undefined && tracks !== (kind === "batch")) {
    throw fieldError(at, ["track_running_stats"], `${tracks} is not implemented for ${name}`);
  }
  // torch's defaults
  return { kind, eps: eps ?? 1e-5, affine: affine ?? kind === "batch" };
}

function readSlope(
  nonlin: string | null | undefined,
  kwargs: Readonly<Record<string, unknown>> | null | undefined,
  context: FieldContext,
): number {
  if (!nonlin) return 1;
  const name = lastComponent(nonlin);
  if (name !== "LeakyReLU" && name !== "ReLU") {
    throw fieldError(context, ["nonlin"], `${nonlin} is not implemented; LeakyReLU and ReLU are`);
  }
  const at: FieldContext = { ...context, path: [...context.path, "nonlin_kwargs"] };
  const fields = name === "ReLU"
    ? { inplace: z.boolean() }
    : { inplace: z.boolean(), negative_slope: z.number().min(0).max(1) };
  refuseUnknown(kwargs ?? {}, fields, name, at);
  const checked = checkFields(z.object(fields).partial(), kwargs ?? {}, at) as { negative_slope?: number };
  return name === "ReLU" ? 0 : checked.negative_slope ?? 0.01;
}

function refuseUnknown(
  kwargs: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, unknown>>,
  owner: string,
  context: FieldContext,
): void {
  const unknown = Object.keys(kwargs).find((key) => !(key in known));
  if (unknown !== undefined) {
    throw fieldError(
      context,
      [unknown],
      `${owner} has no such option here, and it may change the network (value ${show(kwargs[unknown])})`,
    );
  }
}

function lastComponent(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
