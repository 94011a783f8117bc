/** plans.json, dataset.json and JSON text against nnU-Net's and Python's own reading: tests/golden/model_files. */
import { UserError } from "../../core/base/errors.ts";
import { reformatJson } from "../../core/base/json.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { parseDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { parseJson } from "../../core/base/json.ts";
import { parsePlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

interface ResolvedConfiguration {
  readonly batch_size: number;
  readonly patch_size: readonly number[];
  readonly spacing: readonly number[];
  readonly data_identifier: string;
  readonly next_stage_names: readonly string[] | null;
  readonly previous_stage_name: string | null;
  readonly architecture: {
    readonly network_class_name: string;
    readonly arch_kwargs: {
      readonly features_per_stage: readonly number[];
      readonly kernel_sizes: readonly (readonly number[])[];
      readonly strides: readonly (readonly number[])[];
      readonly n_conv_per_stage?: readonly number[];
      readonly n_blocks_per_stage?: readonly number[];
      readonly n_conv_per_stage_decoder: readonly number[];
      readonly conv_bias: boolean;
    };
  };
}
interface Golden {
  readonly plans: readonly {
    readonly name: string;
    readonly plans: unknown;
    readonly available: readonly string[];
    readonly resolved: Readonly<Record<string, ResolvedConfiguration>>;
    readonly intensities: Readonly<Record<string, { readonly mean: number }>>;
  }[];
  readonly labels: readonly {
    readonly labels: string;
    readonly regions_class_order: readonly number[] | null;
    readonly error?: string;
    readonly expected?: {
      readonly has_regions: boolean;
      readonly all_labels: readonly number[];
      readonly foreground_labels: readonly number[];
      readonly ignore_label: number | null;
      readonly regions: readonly (readonly number[])[] | null;
      readonly heads: number;
    };
  }[];
  readonly channels: readonly { readonly dataset: string; readonly plain: number; readonly cascade: number }[];
  readonly json: { readonly compact: string; readonly indented: string; readonly sorted: string };
}

const golden = JSON.parse(Deno.readTextFileSync(new URL("./model_files/expected.json", import.meta.url))) as Golden;
const to3d = (axes: readonly number[]): Vec3 => axes.length === 2 ? [1, axes[0], axes[1]] : [axes[0], axes[1], axes[2]];

for (const { name, plans: json, available, resolved, intensities } of golden.plans) {
  Deno.test(`${name} plans resolve to the configurations that nnU-Net resolves`, () => {
    const plans = parsePlans(json, "plans.json");
    assertEquals([...plans.configurationNames], [...available]);
    assertEquals(plans.intensityProperties.map(({ mean }) => mean), Object.values(intensities).map(({ mean }) => mean));
    for (const [configurationName, expected] of Object.entries(resolved)) {
      const found = resolveConfiguration(plans, configurationName);
      const { arch_kwargs: kwargs, network_class_name: network } = expected.architecture;
      assertEquals(
        [found.patchSize, found.spacing, found.batchSize, found.dataIdentifier, found.nextStages, found.previousStage],
        [
          to3d(expected.patch_size),
          expected.spacing,
          expected.batch_size,
          expected.data_identifier,
          expected.next_stage_names ?? [],
          expected.previous_stage_name ?? undefined,
        ],
        configurationName,
      );
      assertEquals(found.architecture, {
        family: network.endsWith("PlainConvUNet") ? "PlainConvUNet" : "ResidualEncoderUNet",
        dimensions: expected.patch_size.length === 2 ? 2 : 3,
        featuresPerStage: kwargs.features_per_stage,
        kernelSizes: kwargs.kernel_sizes.map(to3d),
        strides: kwargs.strides.map(to3d),
        blocksPerStage: kwargs.n_conv_per_stage ?? kwargs.n_blocks_per_stage ?? [],
        convsPerStageDecoder: kwargs.n_conv_per_stage_decoder,
        convBias: kwargs.conv_bias,
        norm: { kind: "instance", eps: 1e-5, affine: true },
        negativeSlope: 0.01,
        nonlinFirst: false,
      }, configurationName);
    }
  });
}

Deno.test("labels, regions and heads are those of nnU-Net's LabelManager, and what it refuses is refused", async () => {
  for (const { labels: text, regions_class_order: order, expected, error } of golden.labels) {
    const labelsJson = parseJson(text, "labels");
    const json = { channel_names: { "0": "CT" }, labels: labelsJson, regions_class_order: order, file_ending: ".png" };
    if (!expected) {
      assert(error);
      await assertFails(() => parseDatasetJson(json, "dataset.json"), UserError, "dataset.json");
      continue;
    }
    const { labels } = parseDatasetJson(json, "dataset.json");
    assertEquals(
      {
        has_regions: labels.hasRegions,
        all_labels: [...labels.allLabels],
        foreground_labels: [...labels.foregroundLabels],
        ignore_label: labels.ignoreLabel ?? null,
        regions: labels.hasRegions ? labels.regions.map((region) => [...region.labels]) : null,
        heads: labels.headCount,
      },
      expected,
      text,
    );
  }
});

Deno.test("input channels are counted as nnU-Net counts them", () => {
  for (const { dataset: text, plain, cascade } of golden.channels) {
    const dataset = parseDatasetJson(parseJson(text, "dataset.json"), "dataset.json");
    assertEquals(dataset.channelNames.length, plain);
    assertEquals(dataset.channelNames.length + dataset.labels.foregroundLabels.length, cascade);
  }
  const unordered = parseDatasetJson(parseJson(golden.channels[2].dataset, "dataset.json"), "dataset.json");
  assertEquals([...unordered.channelNames], ["b", "a", "c"]);
});

Deno.test("a JSON file is copied as Python's json loads and saves it", () => {
  const { compact, indented, sorted } = golden.json;
  assertEquals(reformatJson(compact, "x.json"), indented);
  assertEquals(reformatJson(indented, "x.json"), indented);
  assertEquals(reformatJson(compact, "x.json", { sortKeys: true }), sorted);
});
