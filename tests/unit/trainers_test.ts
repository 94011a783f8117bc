/** The trainer table: its entries against what their names say, in training and in prediction. */
import { UserError } from "../../core/base/errors.ts";
import { readRecipe } from "../../core/train/recipe.ts";
import { trainerArchitecture, withTrainer } from "../../core/trainers/trainer_network.ts";
import { TRAINERS } from "../../core/trainers/trainer_table.ts";
import type { NetworkArchitecture } from "../../core/network/architecture.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const ARCHITECTURE: NetworkArchitecture = {
  family: "PlainConvUNet",
  dimensions: 3,
  featuresPerStage: [2],
  kernelSizes: [[3, 3, 3]],
  strides: [[1, 1, 1]],
  blocksPerStage: [1],
  convsPerStageDecoder: [],
  convBias: true,
  norm: { kind: "instance", eps: 1e-3, affine: false },
  negativeSlope: 0.01,
  nonlinFirst: false,
};

const trained = [...TRAINERS].filter(([, { untrained }]) => untrained === undefined).map(([name]) => name);

Deno.test("a trainer that is trained has the options that its name tells", () => {
  assert(trained.length > 40, String(trained.length));
  for (const name of trained) {
    const recipe = readRecipe(name);
    const { augmentation, optimizer, loss, loss: { topK } } = recipe;
    const [has, is] = [(text: RegExp) => text.test(name), (value: unknown) => value !== undefined];
    assertEquals(recipe.epochs, Number(/([0-9]+)ep/.exec(name)?.[1] ?? 1000), name);
    assertEquals(augmentation.volumetric, has(/noDummy2D/) || undefined, name);
    assertEquals(augmentation.mirroring, has(/NoMirroring/) ? "none" : has(/onlyMirror01/) ? "axes01" : "all", name);
    assertEquals(augmentation.labelInterpolation, has(/Seg[Oo]rd0|DA5ord0/) ? "nearest" : "linear", name);
    assertEquals(is(augmentation.imageInterpolation), has(/DA5ord0/), name);
    assertEquals(augmentation.recipe, has(/DA5/) ? "da5" : has(/NoDA/) ? "none" : "standard", name);
    const { kind, amsgrad } = optimizer?.kind === "adam" ? optimizer : { kind: undefined, amsgrad: false };
    assertEquals([is(kind), amsgrad], [has(/Adam/), has(/Trainer(Adam)/)], name);
    const rate = /1en3/.test(name) ? 1e-3 : /3en4/.test(name) ? 3e-4 : 0.01;
    assertEquals([recipe.learningRate, recipe.schedule], [
      rate,
      has(/CosAnneal/) ? "cosine" : has(/warmup/) ? "warmup" : "poly",
    ], name);
    assertEquals([is(topK), topK?.labelSmoothing ?? 0], [has(/Top[Kk]10/), has(/LS01/) ? 0.1 : 0], name);
    assertEquals(loss.diceWeight, has(/TrainerCELoss|TrainerTopk10/) ? 0 : 1, name);
    assertEquals(loss.crossEntropyWeight, has(/TrainerDiceLoss/) ? 0 : 1, name);
    assertEquals(loss.smooth, has(/noSmooth/) ? 0 : 1e-5, name);
    assertEquals(recipe.deepSupervision, !has(/NoDeepSupervision/), name);
    assertEquals(is(recipe.batchNorm), has(/TrainerBN/), name);
    assertEquals(recipe.foregroundShare, has(/_010$/) ? 0.1 : 0.33, name);
  }
});

Deno.test("every trainer's models are predicted with, on the network that it trains", () => {
  for (const [name, { untrained }] of TRAINERS) {
    const predicted = trainerArchitecture(name, ARCHITECTURE, false, "x");
    assertEquals(predicted.norm.kind, name === "nnUNetTrainerBN" ? "batch" : "instance", name);
    if (untrained === undefined) assertEquals(predicted, withTrainer(readRecipe(name), ARCHITECTURE), name);
  }
});

Deno.test("a trainer that is only predicted with says why", async () => {
  const why: Record<string, string> = {
    nnUNetTrainerAdanCosAnneal: "SGD and Adam",
    nnUNetTrainerBenchmark_5epochs_noDataLoading: "only measures times",
    nnUNetTrainerSkeletonRecall: "TotalSegmentator's own",
  };
  for (const [name, text] of Object.entries(why)) {
    await assertFails(() => readRecipe(name), UserError, `${name} cannot be trained: `, text);
  }
});
