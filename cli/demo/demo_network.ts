/** The planned network made small enough to be trained on a plain CPU in a minute or two. */
import { writeAtomically } from "../../core/base/files.ts";
import { readJsonFile, stringifyJson } from "../../core/base/json.ts";

/** Name of the configuration that is added to the plans. */
export const DEMO_CONFIGURATION = "3d_demo";

interface Plans {
  readonly configurations: Record<string, Record<string, unknown>>;
}

interface Architecture {
  readonly arch_kwargs: Readonly<Record<string, unknown>>;
}

const PATCH = [16, 48, 48];
const FEATURES = [8, 16, 24, 32];

/**
 * Adds the configuration {@link DEMO_CONFIGURATION} to plans: 3d_fullres with its data, and a smaller patch and network. A user's own
 * configurations are made in the same way, in any editor.
 */
export async function addDemoConfiguration(plansFile: string): Promise<void> {
  const plans = (await readJsonFile(plansFile, "reading the demo's plans")).value as Plans;
  const architecture = plans.configurations["3d_fullres"].architecture as unknown as Architecture;
  plans.configurations[DEMO_CONFIGURATION] = {
    inherits_from: "3d_fullres",
    patch_size: PATCH,
    batch_size: 2,
    architecture: {
      ...architecture,
      arch_kwargs: {
        ...architecture.arch_kwargs,
        n_stages: FEATURES.length,
        features_per_stage: FEATURES,
        // The slices are thicker than their pixels: the first kernels and strides stay in the plane.
        kernel_sizes: [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
        strides: [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
        n_conv_per_stage: FEATURES.map(() => 2),
        n_conv_per_stage_decoder: FEATURES.slice(1).map(() => 1),
      },
    },
  };
  await writeAtomically(plansFile, stringifyJson(plans), { doing: "writing the demo's plans" });
}
