import { UserError } from "../../core/base/errors.ts";
import { inferShapes } from "../../core/graph/graph.ts";
import { parseDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import { parsePlans, readPlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { type Json, plansJson } from "./plans_fixture.ts";

/** The configuration after `change` has been made to the plans. */
function resolveChanged(change: (plans: Json, configuration: Json, kwargs: Json) => void, name = "3d_fullres") {
  const plans = plansJson();
  const configuration = plans.configurations["3d_fullres"];
  change(plans, configuration, configuration.architecture.arch_kwargs);
  return resolveConfiguration(parsePlans(plans, "plans.json"), name);
}

Deno.test("configurations inherit step by step, the child's fields win", () => {
  const plans = parsePlans(plansJson(), "plans.json");
  const found = resolveConfiguration(plans, "grandchild");
  assertEquals([found.batchSize, found.patchSize, found.name], [5, [16, 16, 16], "grandchild"]);
  assertEquals([...plans.configurationNames], ["3d_fullres", "child", "grandchild"]);
});

Deno.test("an unknown configuration is answered with those there are and the nearest", async () => {
  await assertFails(
    () => resolveChanged(() => {}, "3d_fulres"),
    UserError,
    "plans.json",
    "there is no configuration 3d_fulres; there are: 3d_fullres, child, grandchild",
    "id you mean 3d_fullres?",
  );
});

Deno.test("inheritance in a circle and from nowhere is refused by name", async () => {
  const circle = (plans: Json) => (plans.configurations["3d_fullres"].inherits_from = "grandchild");
  await assertFails(() => resolveChanged(circle), UserError, "circle: 3d_fullres -> grandchild -> child -> 3d_fullres");
  const self = (plans: Json) => (plans.configurations.child.inherits_from = "child");
  await assertFails(() => resolveChanged(self, "child"), UserError, "circle: child -> child");
  const nowhere = (plans: Json) => (plans.configurations.child.inherits_from = "nothing");
  await assertFails(
    () => resolveChanged(nowhere, "grandchild"),
    UserError,
    "configurations.child.inherits_from",
    "nothing",
  );
});

Deno.test("each missing or wrong field is named with its path", async () => {
  const cases: readonly (readonly [(plans: Json, configuration: Json, kwargs: Json) => void, ...string[]])[] = [
    [(p) => delete p.configurations, "configurations: is missing"],
    [(p) => (p.configurations = {}), "configurations: there is none"],
    [(p) => (p.configurations = []), "configurations: expected an object {...}, found []"],
    [(p) => delete p.image_reader_writer, "image_reader_writer: is missing"],
    [(p) => (p.image_reader_writer = "Tiff2DIO"), "image_reader_writer: Tiff2DIO is not implemented"],
    [(p) => (p.image_reader_writer = "SimpleITKIOReoriented"), "SimpleITKIOReoriented is not implemented"],
    [(p) => (p.label_manager = "MyManager"), "label_manager: MyManager is not implemented"],
    [(p) => (p.transpose_forward = [0, 1]), "transpose_forward"],
    [(p) => (p.transpose_forward = [0, 1, 1]), "transpose_forward", "in some order"],
    [(p) => (p.transpose_forward = [1, 2, 0]), "transpose_backward", "does not undo"],
    [(p) => (p.foreground_intensity_properties_per_channel["0"].std = "x"), "per_channel.0.std", 'found "x"'],
    [(p) => (p.foreground_intensity_properties_per_channel["0"].std = NaN), "per_channel.0.std", "CTNormalization"],
    [(p) => delete p.foreground_intensity_properties_per_channel, "per_channel.0", "CTNormalization needs it"],
    [
      (p) => (p.foreground_intensity_properties_per_channel["0"].percentile_99_5 = -1e6),
      "per_channel.0.percentile_99_5",
      "is -1000000, below percentile_00_5",
    ],
    [(p) => (p.configurations["3d_fullres"].data_identifier = 5), "data_identifier", "expected a text", "found 5"],
    [(_, c) => delete c.patch_size, "configurations.3d_fullres.patch_size: is missing"],
    [(_, c) => (c.patch_size = [8, 16]), "spacing", "2 numbers"],
    [(_, c) => (c.patch_size = [8, 16, 0]), "patch_size[2]", "found 0"],
    [(_, c) => (c.patch_size = [8, 16, 16, 16]), "patch_size", "2 or 3 numbers"],
    [(_, c) => (c.spacing = [1, -1, 1]), "spacing[1]", "found -1"],
    [(_, c) => (c.preprocessor_name = "MyPreprocessor"), "preprocessor_name: MyPreprocessor is not implemented"],
    [(_, c) => (c.normalization_schemes = ["MyNormalization"]), "normalization_schemes[0]: MyNormalization"],
    [(_, c) => (c.normalization_schemes = []), "normalization_schemes"],
    [(_, c) => (c.use_mask_for_norm = [true, true]), "use_mask_for_norm", "needs 1 entry"],
    [(_, c) => (c.previous_stage = "3d_lowres"), "previous_stage", "3d_lowres"],
    [(_, c) => (c.resampling_fn_seg = "my_fn"), "resampling_fn_seg: my_fn is not implemented"],
    [(_, c) => delete c.resampling_fn_data, "resampling_fn_data: is missing"],
    [(_, c) => (c.resampling_fn_data_kwargs.order = 7), "resampling_fn_data_kwargs.order", "found 7"],
    [(_, c) => (c.resampling_fn_data_kwargs.sharpen = 1), "resampling_fn_data_kwargs.sharpen", "no such option"],
    [(_, c) => (c.architecture.network_class_name = "a.b.ResidualUNet"), "network_class_name", "a.b.ResidualUNet"],
    [(_, c) => delete c.architecture, "architecture: is missing", "UNet_class_name"],
    [(_, c) => delete c.architecture.arch_kwargs, "architecture.arch_kwargs: is missing"],
    [(_, __, k) => (k.n_stages = 3), "arch_kwargs.kernel_sizes", "needs 3 entries"],
    [(_, __, k) => (k.n_stages = 1), "arch_kwargs.n_stages"],
    [(_, __, k) => (k.conv_op = "torch.nn.modules.conv.Conv2d"), "arch_kwargs.conv_op", "does not fit"],
    [(_, __, k) => (k.conv_op = "torch.nn.modules.conv.Conv1d"), "arch_kwargs.conv_op", "Conv1d"],
    [(_, __, k) => (k.kernel_sizes[1] = [3, 3, 4]), "arch_kwargs.kernel_sizes[1]", "even"],
    [(_, __, k) => (k.kernel_sizes[1] = [3, 3]), "arch_kwargs.kernel_sizes[1]", "3 numbers"],
    [(_, __, k) => (k.strides = [[1, 1, 1]]), "arch_kwargs.strides", "needs 2 entries"],
    [(_, __, k) => (k.norm_op = "torch.nn.modules.normalization.GroupNorm"), "arch_kwargs.norm_op", "GroupNorm"],
    [(_, __, k) => (k.norm_op_kwargs.track_running_stats = true), "norm_op_kwargs.track_running_stats"],
    [(_, __, k) => (k.norm_op_kwargs.wild = 1), "norm_op_kwargs.wild", "no such option"],
    [(_, __, k) => (k.nonlin = "torch.nn.GELU"), "arch_kwargs.nonlin", "torch.nn.GELU"],
    [(_, __, k) => (k.nonlin_kwargs.negative_slope = 2), "nonlin_kwargs.negative_slope", "found 2"],
    [(_, __, k) => (k.squeeze_excitation = true), "arch_kwargs.squeeze_excitation"],
    [(_, __, k) => (k.pool = "max"), "arch_kwargs.pool", '"max"'],
    [(_, __, k) => (k.n_blocks_per_stage = [1, 1]), "arch_kwargs.n_blocks_per_stage"],
  ];
  for (const [change, ...parts] of cases) {
    await assertFails(() => resolveChanged(change), UserError, "plans.json", ...parts);
  }
});

Deno.test("options of the residual encoder are implemented or refused by name", async () => {
  const residual = (change: (kwargs: Json) => void) => () =>
    resolveChanged((_, configuration, kwargs) => {
      configuration.architecture.network_class_name = "anywhere.residual_unet.ResidualEncoderUNet";
      delete kwargs.n_conv_per_stage;
      kwargs.n_blocks_per_stage = 2;
      change(kwargs);
    }).architecture;
  assertEquals(residual(() => {})().family, "ResidualEncoderUNet");
  assertEquals(residual((k) => (k.stem_channels = 6))().stemChannels, 6);
  assertEquals(residual((k) => (k.stochastic_depth_p = 0.2))().blocksPerStage, [2, 2]);
  assertEquals(residual((k) => (k.squeeze_excitation = false))().blocksPerStage, [2, 2]);
  await assertFails(residual((k) => (k.squeeze_excitation = true)), UserError, "squeeze_excitation", "not implemented");
  await assertFails(residual((k) => (k.bottleneck_channels = [4, 4])), UserError, "bottleneck_channels");
  await assertFails(residual((k) => (k.block = "x.BottleneckD")), UserError, "block", "BottleneckD");
  await assertFails(residual((k) => (k.nonlin_first = true)), UserError, "nonlin_first");
});

Deno.test("what has no effect at inference is accepted, and torch's defaults are filled in", () => {
  const { architecture } = resolveChanged((_, __, kwargs) => {
    kwargs.dropout_op = "torch.nn.Dropout3d";
    kwargs.dropout_op_kwargs = { p: 0.5, inplace: true };
    kwargs.deep_supervision = true;
    kwargs.norm_op = "torch.nn.modules.batchnorm.BatchNorm3d";
    kwargs.norm_op_kwargs = { momentum: 0.2 };
    kwargs.nonlin = "torch.nn.ReLU";
    kwargs.kernel_sizes = 3;
    kwargs.strides = [1, 2];
    kwargs.features_per_stage = 4;
    kwargs.n_conv_per_stage = 1;
    kwargs.n_conv_per_stage_decoder = 1;
    delete kwargs.conv_bias;
  });
  const expected: NetworkArchitecture = {
    family: "PlainConvUNet",
    dimensions: 3,
    featuresPerStage: [4, 4],
    kernelSizes: [[3, 3, 3], [3, 3, 3]],
    strides: [[1, 1, 1], [2, 2, 2]],
    blocksPerStage: [1, 1],
    convsPerStageDecoder: [1],
    convBias: false,
    norm: { kind: "batch", eps: 1e-5, affine: true },
    negativeSlope: 0,
    nonlinFirst: false,
  };
  assertEquals(architecture, expected);
  assertEquals(resolveChanged((_, __, kwargs) => delete kwargs.norm_op).architecture.norm.kind, "none");
});

Deno.test("all resampling functions are read with their options", async () => {
  const changed = (name: string, kwargs: Json) =>
    resolveChanged((_, configuration) => {
      configuration.resampling_fn_data = name;
      configuration.resampling_fn_data_kwargs = kwargs;
    }).resamplingData;
  assertEquals(changed("resample_torch_fornnunet", { is_seg: false, force_separate_z: false }), {
    kind: "torch",
    isSeg: false,
    forceSeparateZ: false,
    memoryEfficientSeg: false,
    separateZThreshold: 3,
  });
  const options = { is_seg: true, memefficient_seg_resampling: true, separate_z_anisotropy_threshold: 2 };
  assertEquals(changed("resample_torch_fornnunet", options), {
    kind: "torch",
    isSeg: true,
    forceSeparateZ: null,
    memoryEfficientSeg: true,
    separateZThreshold: 2,
  });
  assertEquals(changed("no_resampling_hack", {}), { kind: "none" });
  assertEquals(changed("resample_data_or_seg_to_shape", null), {
    kind: "spline",
    isSeg: false,
    order: 3,
    orderZ: 0,
    forceSeparateZ: false,
  });
  await assertFails(
    () => changed("resample_torch_fornnunet", { mode: "nearest" }),
    UserError,
    "resampling_fn_data_kwargs.mode",
    "nearest",
  );
});

Deno.test("a 2-D configuration has z = 1 everywhere", () => {
  const found = resolveChanged((_, configuration, kwargs) => {
    configuration.patch_size = [16, 24];
    configuration.spacing = [0.5, 0.5];
    kwargs.conv_op = "torch.nn.modules.conv.Conv2d";
    kwargs.norm_op = "torch.nn.modules.instancenorm.InstanceNorm2d";
    kwargs.kernel_sizes = [[3, 3], [5, 3]];
    kwargs.strides = [[1, 1], [2, 2]];
  });
  assertEquals([found.dimensions, found.patchSize], [2, [1, 16, 24]]);
  assertEquals(found.architecture.kernelSizes, [[1, 3, 3], [1, 5, 3]]);
  assertEquals(found.architecture.strides, [[1, 1, 1], [1, 2, 2]]);
});

for (const [family, file] of [["PlainConvUNet", "plainconvunet"], ["ResidualEncoderUNet", "resencunet"]] as const) {
  Deno.test(`the graph of ${family} has the names and shapes of the package's own parameters`, () => {
    const text = Deno.readTextFileSync(new URL(`./fixtures/statedict_${file}.txt`, import.meta.url));
    const expected = text.trim().split("\n").sort();
    const plain = family === "PlainConvUNet";
    const three = [3, 3, 3] as const;
    const two = [2, 2, 2] as const;
    const graph = buildGraph(
      {
        family,
        dimensions: 3,
        featuresPerStage: [32, 64, 128, 256],
        kernelSizes: [three, three, three, three],
        strides: [[1, 1, 1], two, two, two],
        blocksPerStage: plain ? [2, 2, 2, 2] : [1, 3, 4, 6],
        convsPerStageDecoder: plain ? [2, 2, 2] : [1, 1, 1],
        convBias: true,
        norm: { kind: "instance", eps: 1e-5, affine: true },
        negativeSlope: 0.01,
        nonlinFirst: false,
      },
      1,
      3,
      { deepSupervision: true },
    );
    assertEquals(weightShapes(graph).map(({ name, shape }) => `${name} [${shape.join(",")}]`).sort(), expected);
    assertEquals(graph.outputs.length, 3);
    const shapes = inferShapes(graph, [32, 32, 32]);
    assertEquals(graph.outputs.map((id) => shapes[id].grid[0]), [32, 16, 8]);
  });
}

const SHARED = new URL("../../../shared/reference/plans.json", import.meta.url);
Deno.test({
  name: "the reference plans of ten fingerprints and four planners all resolve and build",
  ignore: !exists(SHARED),
  fn: () => {
    let count = 0;
    for (const { dataset: datasetJson, plans: byPlanner } of JSON.parse(Deno.readTextFileSync(SHARED))) {
      const dataset = parseDatasetJson(datasetJson, "dataset.json");
      for (const [planner, json] of Object.entries(byPlanner)) {
        const plans = parsePlans(json, planner);
        for (const name of plans.configurationNames) {
          const configuration = resolveConfiguration(plans, name);
          const graph = buildGraph(configuration.architecture, dataset.channelNames.length, dataset.labels.headCount);
          const output = inferShapes(graph, configuration.patchSize)[graph.outputs[0]];
          assertEquals(output, { channels: dataset.labels.headCount, grid: configuration.patchSize });
          count++;
        }
      }
    }
    assert(count >= 40, `only ${count} configurations`);
  },
});

Deno.test("a corrupt plans file is refused with file, line and column", async () => {
  const path = await Deno.makeTempFile({ suffix: "_plans.json" });
  try {
    await Deno.writeTextFile(path, '{"configurations": {');
    await assertFails(() => readPlans(path), UserError, path, "line 1, column 21");
  } finally {
    await Deno.remove(path);
  }
});

function exists(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch {
    return false;
  }
}
