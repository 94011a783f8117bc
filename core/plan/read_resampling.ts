/** The resampling functions a configuration names, with their options. Source: nnunetv2/preprocessing/resampling/. */
import { z } from "zod";
import { checkFields, type FieldContext, fieldError, show } from "../base/fields.ts";
import type { Resampling } from "./plans.ts";

const ORDER = z.int().min(0).max(5);
const SEPARATE_Z = z.boolean().nullish();
const FUNCTION_NAMES = [
  "resample_data_or_seg_to_shape",
  "resample_torch_fornnunet",
  "resample_torch_simple",
  "no_resampling_hack",
];
/** nnunetv2.configuration.ANISO_THRESHOLD */
const ANISOTROPY_THRESHOLD = 3;

const SPLINE = {
  is_seg: z.boolean(),
  order: ORDER,
  order_z: ORDER,
  force_separate_z: SEPARATE_Z,
  separate_z_anisotropy_threshold: z.number(),
};
const TORCH = {
  is_seg: z.boolean(),
  // How fast, not what is computed.
  num_threads: z.unknown(),
  device: z.unknown(),
  memefficient_seg_resampling: z.boolean(),
  force_separate_z: SEPARATE_Z,
  separate_z_anisotropy_threshold: z.number().positive().max(1e9),
  mode: z.string(),
  aniso_axis_mode: z.string(),
};

/**
 * The resampling of images ("data"), segmentations ("seg") or logits ("probabilities"): resampling_fn_* and its kwargs.
 * @throws UserError naming the function or option that is not implemented.
 */
export function readResampling(
  configuration: Readonly<Record<string, unknown>>,
  what: "data" | "seg" | "probabilities",
  context: FieldContext,
): Resampling {
  const field = `resampling_fn_${what}`;
  const name = checkFields(z.object({ [field]: z.string() }), configuration, context)[field];
  const kwargsField = `${field}_kwargs`;
  const kwargs = checkFields(z.record(z.string(), z.unknown()).nullish(), configuration[kwargsField], {
    ...context,
    path: [...context.path, kwargsField],
  }) ?? {};
  const at: FieldContext = { ...context, path: [...context.path, kwargsField] };
  const known = (options: Readonly<Record<string, unknown>>) => {
    const unknown = Object.keys(kwargs).find((key) => !(key in options));
    if (unknown !== undefined) {
      throw fieldError(at, [unknown], `${name} has no such option here (value ${show(kwargs[unknown])})`);
    }
  };

  switch (name) {
    case "resample_data_or_seg_to_shape": {
      known(SPLINE);
      const options = checkFields(z.object(SPLINE).partial(), kwargs, at);
      const threshold = options.separate_z_anisotropy_threshold;
      if (threshold !== undefined && threshold !== ANISOTROPY_THRESHOLD) {
        throw fieldError(
          at,
          ["separate_z_anisotropy_threshold"],
          `only 3 is implemented for ${name}, found ${threshold}`,
        );
      }
      // Left out, upstream's function takes force_separate_z = False, unlike null, which lets the spacing decide.
      const forced = options.force_separate_z;
      return {
        kind: "spline",
        isSeg: options.is_seg ?? false,
        order: options.order ?? 3,
        orderZ: options.order_z ?? 0,
        forceSeparateZ: forced === undefined ? false : forced,
      };
    }
    case "resample_torch_fornnunet":
    case "resample_torch_simple": {
      const simple = name === "resample_torch_simple";
      known(TORCH);
      const options = checkFields(z.object(TORCH).partial(), kwargs, at);
      if (options.mode !== undefined && options.mode !== "linear") {
        throw fieldError(at, ["mode"], `only linear is implemented, found ${options.mode}`);
      }
      if (options.aniso_axis_mode !== undefined && options.aniso_axis_mode !== "nearest-exact") {
        throw fieldError(
          at,
          ["aniso_axis_mode"],
          `only nearest-exact is implemented, found ${options.aniso_axis_mode}`,
        );
      }
      return {
        kind: "torch",
        isSeg: options.is_seg ?? false,
        forceSeparateZ: simple ? false : options.force_separate_z ?? null,
        memoryEfficientSeg: options.memefficient_seg_resampling ?? false,
        separateZThreshold: options.separate_z_anisotropy_threshold ?? ANISOTROPY_THRESHOLD,
      };
    }
    case "no_resampling_hack":
      return { kind: "none" };
    default:
      throw fieldError(context, [field], `${name} is not implemented; these are: ${FUNCTION_NAMES.join(", ")}`);
  }
}
