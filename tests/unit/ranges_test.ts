/** Numbers of plans that no machine could serve are refused where they are read or planned with, naming field, layer and size. */
import { UserError } from "../../core/base/errors.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { checkPatch } from "../../core/plan/check_patch.ts";
import { parsePlans, resolveConfiguration } from "../../core/plan/read_plans.ts";
import { requireTileCount } from "../../core/predict/stream/tiles.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { assert, assertFails } from "../assert.ts";
import { type Json, plansJson } from "./plans_fixture.ts";

type Change = (configuration: Json, network: Json) => void;

function resolved(change: Change) {
  const plans = plansJson();
  const configuration = plans.configurations["3d_fullres"];
  change(configuration, configuration.architecture.arch_kwargs);
  return resolveConfiguration(parsePlans(plans, "plans.json"), "3d_fullres");
}

Deno.test("every number of a configuration has a range", async () => {
  const wrong: readonly (readonly [field: string, change: Change])[] = [
    ["patch_size[0]", (c) => c.patch_size = [1 << 20, 64, 64]],
    ["patch_size[2]", (c) => c.patch_size = [64, 64, 2 ** 40]],
    ["patch_size[1]", (c) => c.patch_size = [64, 0, 64]],
    ["patch_size[1]", (c) => c.patch_size = [64, 8.5, 64]],
    ["spacing[0]", (c) => c.spacing = [1e-300, 1, 1]],
    ["spacing[1]", (c) => c.spacing = [1, 1e300, 1]],
    ["spacing[2]", (c) => c.spacing = [1, 1, -1]],
    ["batch_size", (c) => c.batch_size = 2 ** 40],
    ["batch_size", (c) => c.batch_size = 0],
    ["n_stages", (_, n) => n.n_stages = 3e8],
    ["n_conv_per_stage[0]", (_, n) => n.n_conv_per_stage = [1e12, 1e12]],
    ["n_conv_per_stage", (_, n) => n.n_conv_per_stage = 1e12],
    ["n_conv_per_stage_decoder[0]", (_, n) => n.n_conv_per_stage_decoder = [1e12]],
    ["features_per_stage[1]", (_, n) => n.features_per_stage = [4, 1e9]],
    ["features_per_stage", (_, n) => n.features_per_stage = 1e9],
    ["kernel_sizes[0][1]", (_, n) => n.kernel_sizes = [[3, 1001, 3], [3, 3, 3]]],
    ["kernel_sizes", (_, n) => n.kernel_sizes = 1e9],
    ["strides[1][0]", (_, n) => n.strides = [[1, 1, 1], [1e9, 2, 2]]],
    ["norm_op_kwargs.eps", (_, n) => n.norm_op_kwargs = { eps: 1e300 }],
    ["norm_op_kwargs.eps", (_, n) => n.norm_op_kwargs = { eps: 0 }],
    ["resampling_fn_data_kwargs.order", (c) => c.resampling_fn_data_kwargs.order = 6],
  ];
  for (const [field, change] of wrong) {
    await assertFails(() => resolved(change), UserError, "plans.json", `${field}: expected`);
  }
});

Deno.test("stages that have few blocks each may not have too many together", async () => {
  const of = (stages: number, convs: number) => () =>
    resolved((_, n) => {
      const more = { kernel_sizes: 3, strides: 1, features_per_stage: 4 };
      Object.assign(n, { n_stages: stages, n_conv_per_stage: convs, n_conv_per_stage_decoder: convs, ...more });
    });
  await assertFails(of(64, 256), UserError, "the network has 32512 blocks, at most 1000");
  await assertFails(of(32, 16), UserError, "the network has 1008 blocks");
  of(31, 16)();
});

Deno.test("a layer too large for any machine is named with its size, before anything is planned of it", async () => {
  const refused = (change: Change, ...parts: string[]) => {
    const configuration = resolved(change);
    const graph = buildGraph(configuration.architecture, 1, 3);
    const error = { doing: "opening the model", file: "plans.json" };
    return assertFails(() => checkPatch(graph, configuration, error), UserError, "configurations.3d_fullres", ...parts);
  };
  await refused(
    (c) => c.patch_size = [2048, 2048, 1024],
    "with the patch_size 2048x2048x1024 the layer encoder.stages.0.0.convs.0.conv gives 4 channels of 2048x2048x1024",
    "64 GiB; no layer may have more than 16 GiB",
  );
  await refused(
    (c) => c.patch_size = [65536, 65536, 2],
    "the network's input gives 1 channel of 65536x65536x2 voxels",
  );
  await refused(
    (_, n) => n.features_per_stage = 65536,
    "the weight encoder.stages.0.0.convs.1.conv.weight would be 65536 x 65536 x 3 x 3 x 3, 432 GiB",
  );
  // Divided until nothing is left.
  await refused((c, n) => {
    c.patch_size = [1, 16, 16];
    n.strides = [[1, 1, 1], [2, 2, 2]];
  }, "does not fit the network's strides");
});

Deno.test("planning a patch that is long along one axis takes no longer than one of as many voxels", async () => {
  const { architecture, patchSize } = resolved((c) => c.patch_size = [65536, 64, 64]);
  await using engine = await createCpuEngine({ threads: 2 });
  const graph = buildGraph(architecture, 1, 3);
  // Its slabs were compared each with each: minutes, which no test could be let run for.
  const { memory } = engine.forecast(graph, {
    patch: patchSize,
    batch: 1,
    precision: "f32",
    weightStorage: "packed",
    inputOnce: true,
  });
  assert(memory.activations > 2 ** 32);
});

Deno.test("the number of tiles is judged before a list of them is made", async () => {
  const judge = (grid: number, patch: number, step: number) =>
    requireTileCount("a", [grid, grid, grid], [patch, patch, patch], step, 3);
  for (const [grid, patch, step] of [[300, 64, 1e-6], [300, 64, 1e-4], [2 ** 20, 64, 0.5], [1e6, 1, 1]]) {
    await assertFails(() => judge(grid, patch, step), UserError, "case a", `step size of ${step}`, "at most 10000000");
  }
  await assertFails(() => judge(300, 64, 1e-4), UserError, "36876 x 36876 x 36876 tiles", "a larger -step_size");
  await assertFails(() => judge(2 ** 20, 64, 0.5), UserError, "Cut the image");
  const flat = () => requireTileCount("a", [1, 2e5, 2e5], [1, 128, 128], 0.5, 2);
  await assertFails(flat, UserError, "3124 x 3124 tiles", "side by side");
  // What is done today: an image that the patch covers, whatever the step; large volumes; slide after slide.
  judge(50, 64, 1e-6);
  judge(2000, 128, 0.5);
  requireTileCount("a", [1500, 1500, 1500], [1, 64, 64], 0.5, 2);
});
