/** What trainings start from by -pretrained_weights: real checkpoints for real networks, against what upstream takes (pretrained/). */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { type Model, openModel } from "../../core/predict/model/model_folder.ts";
import { type Checkpoint, openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { initialWeights } from "../../core/train/initial_weights.ts";
import { type PretrainedWeights, readPretrainedWeights } from "../../core/train/pretrained_weights.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const MODELS = fromFileUrl(new URL("./models/models/", import.meta.url));
const ACCEPTED: Record<string, string[]> = JSON.parse(
  await Deno.readTextFile(new URL("./pretrained/pretrained.json", import.meta.url)),
);
const NAMES = Object.keys(ACCEPTED);

async function open(name: string): Promise<Model> {
  return await openModel(join(MODELS, name), {
    folds: ["0"],
    checkpointName: "checkpoint_final.pth",
    assumePlansNetwork: false,
  });
}

/** The network that a training of the model's plans has, with other numbers of channels and classes. */
function trained({ configuration, inputChannels, outputChannels }: Model, channels = 0, classes = 0): Graph {
  return buildGraph(configuration.architecture, inputChannels + channels, outputChannels + classes, {
    deepSupervision: true,
  });
}

function start(from: Model, graph: Graph, dimensions: 2 | 3, strict: boolean): PretrainedWeights {
  const initial = initialWeights(weightShapes(graph), 5);
  return readPretrainedWeights(from.folds[0].checkpoint, graph, initial, { dimensions, strict });
}

for (const name of NAMES) {
  Deno.test(`the network of ${name} starts, under --strict, from the checkpoints that upstream takes`, async () => {
    using model = await open(name);
    const { dimensions } = model.configuration;
    for (const other of NAMES) {
      using from = await open(other);
      const run = () => start(from, trained(model), dimensions, true);
      // Upstream takes the weights and passes over what batch norm has beside: another network.
      const taken = ACCEPTED[name].includes(other) && (other !== "batch_norm" || name === other);
      if (taken) assertEquals(run().left, [], other);
      else await assertFails(run, UserError, join(MODELS, other, "fold_0", "checkpoint_final.pth"));
    }
  });

  Deno.test(`from the checkpoint of ${name} a network with other channels and classes takes all but its ends`, async () => {
    using model = await open(name);
    const { dimensions } = model.configuration;
    const graph = trained(model, 2, 1);
    const initial = initialWeights(weightShapes(graph), 5);
    const { values, left, note } = start(model, graph, dimensions, false);
    const [first] = weightShapes(graph);
    const layer = first.name.replace(/\.conv\.weight$/, "");
    assertEquals(left.length, 1);
    assert(left[0].startsWith(`${layer}: `) && left[0].endsWith(" here: other input channels"), left[0]);
    assert(note.includes(`${model.outputChannels} outputs there, ${model.outputChannels + 1} here`), note);
    for (const { name: weight } of weightShapes(graph)) {
      const fresh = weight.startsWith("decoder.seg_layers.") || weight.startsWith(`${layer}.`);
      const stored = model.folds[0].checkpoint.weights.get(weight)?.read();
      assertEquals(values.get(weight), fresh ? initial.get(weight) : stored, weight);
    }
    const strict = () => start(model, graph, dimensions, true);
    await assertFails(strict, UserError, "1 of the network's", "other input channels", "ithout --strict");
  });
}

Deno.test("a checkpoint of another network is refused: other dimensions, architecture, norm or features", async () => {
  const refused: [network: string, checkpoint: string, problem: string][] = [
    ["aniso", "slices_2d", "it is of a 2-D network, and the one that is trained is 3-D"],
    ["slices_2d", "aniso", "it is of a 3-D network, and the one that is trained is 2-D"],
    ["iso_ct_two_folds", "resenc_torchres", "it is not in the file: another architecture"],
    ["iso_ct_two_folds", "batch_norm", "another architecture (batch norm in one alone)"],
    ["batch_norm", "iso_ct_two_folds", "norm.running_mean, norm.running_var is missing there"],
    ["iso_ct_two_folds", "separate_z_kernels5", "another number of features, kernels of another size"],
  ];
  for (const [network, checkpoint, problem] of refused) {
    using model = await open(network);
    using from = await open(checkpoint);
    await assertFails(() => start(from, trained(model), model.configuration.dimensions, false), UserError, problem);
  }
});

Deno.test("where kernels differ the layers that have the same are taken, each of the others is named", async () => {
  using model = await open("aniso");
  using from = await open("iso_ct_two_folds");
  const { left, loaded, note } = start(from, trained(model), 3, false);
  assertEquals(left, [
    "encoder.stages.0.0.convs.0: 6x1x3x3x3 there, 6x2x1x3x3 here: other input channels, kernels of another size",
    "decoder.transpconvs.1: 8x6x2x2x2 there, 8x6x1x2x2 here: kernels of another size",
    "decoder.stages.1.convs.0: 6x12x3x3x3 there, 6x12x1x3x3 here: kernels of another size",
  ]);
  assertEquals(loaded.length, 4);
  assert(note.includes("4 of 7 layers are taken; 3 do not fit and start anew"), note);
});

Deno.test("a file of network_weights alone is enough to start from, and is no model to predict with", async () => {
  const file = fromFileUrl(new URL("./pretrained/weights_alone.pth", import.meta.url));
  using model = await open("grey_png");
  const graph = trained(model);
  const initial = initialWeights(weightShapes(graph), 5);
  const read = (checkpoint: Checkpoint) =>
    readPretrainedWeights(checkpoint, graph, initial, { dimensions: 2, strict: true }).values;
  using alone = await openCheckpoint(file, { weightsAlone: true });
  assertEquals(read(alone), read(model.folds[0].checkpoint));
  await assertFails(() => openCheckpoint(file), UserError, "trainer_name is missing");
});
