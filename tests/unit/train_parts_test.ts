/** The parts of the trainer that are functions of their arguments. */
import { UserError } from "../../core/base/errors.ts";
import { nextEma, validationMetrics } from "../../core/train/epoch_metrics.ts";
import { initialWeights } from "../../core/train/initial_weights.ts";
import { INITIAL_LOSS_SCALE, lossScaleBefore, withResult } from "../../core/train/loss_scale.ts";
import { storedRecipe } from "../../core/train/read_checkpoint.ts";
import { learningRateOf, outputWeights, readRecipe } from "../../core/train/recipe.ts";
import { createSplits, randomSplit } from "../../core/train/splits.ts";
import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";

const ids = (count: number) => Array.from({ length: count }, (_, i) => `case_${String(i).padStart(3, "0")}`);
const indices = (names: readonly string[]) => names.map((name) => Number(name.slice(5)));

// Golden: sklearn's KFold(5, shuffle, random_state 12345) and numpy's RandomState.choice, as upstream calls them.
Deno.test("folds are those of sklearn's KFold", () => {
  const tested = (count: number) => createSplits(ids(count).reverse(), "x").map(({ val }) => indices(val));
  assertEquals(tested(10), [[0, 7], [3, 9], [4, 6], [1, 8], [2, 5]]);
  assertEquals(tested(13), [[0, 7, 9], [3, 6, 10], [8, 11, 12], [1, 4], [2, 5]]);
  for (const { train, val } of createSplits(ids(13), "x")) assertEquals([...train, ...val].sort(), ids(13));
});

Deno.test("a fold that the file does not have is numpy's draw of 80 %", () => {
  assertEquals(indices(randomSplit(ids(10), 5).train), [0, 8, 4, 5, 3, 9, 7, 6]);
  assertEquals(indices(randomSplit(ids(10), 5).val), [1, 2]);
});

Deno.test("trainers' names become options; a length that upstream has a class for is that class", () => {
  assertEquals(readRecipe("nnUNetTrainer").epochs, 1000);
  assertEquals(readRecipe("nnUNetTrainer", { epochs: 100 }).folderName, "nnUNetTrainer_100epochs");
  assertEquals(
    readRecipe("nnUNetTrainerNoMirroring", { epochs: 250 }).trainerName,
    "nnUNetTrainer_250epochs_NoMirroring",
  );
  assertEquals(readRecipe("nnUNetTrainer_1epoch").epochs, 1);
  assertEquals(readRecipe("nnUNetTrainer_onlyMirror01").augmentation.mirroring, "axes01");
  assertEquals(readRecipe("nnUNetTrainerNoDA").augmentation.recipe, "none");
  assertEquals(readRecipe("nnUNetTrainerCELoss").loss.diceWeight, 0);
  assertEquals(readRecipe("nnUNetTrainerDiceLoss").loss.crossEntropyWeight, 0);
  assertEquals(readRecipe("nnUNetTrainerDiceCELoss_noSmooth").loss.smooth, 0);
  assertEquals(readRecipe("nnUNetTrainerBN").batchNorm, true);
  assertEquals(readRecipe("nnUNetTrainerTopk10LossLS01").loss.topK, { percent: 10, labelSmoothing: 0.1 });
  const { optimizer, learningRate } = readRecipe("nnUNetTrainerAdam3en4");
  const adam = { kind: "adam", betas: [0.9, 0.999], eps: 1e-8 } as const;
  assertEquals([optimizer, learningRate], [{ ...adam, decoupled: true, amsgrad: true }, 3e-4]);
  assertEquals(readRecipe("nnUNetTrainerVanillaAdam").optimizer, { ...adam, decoupled: false, amsgrad: false });
  const named = readRecipe("nnUNetTrainer", { epochs: 30, iterations: 100, name: "short" });
  assertEquals([named.trainerName, named.folderName], ["nnUNetTrainer", "nnUNetTrainer_short"]);
  assertEquals([named.epochs, named.iterations, named.validationIterations], [30, 100, 20]);
});

Deno.test("trainers and settings that can't be had are refused by name, with what can", async () => {
  await assertFails(() => readRecipe("nnUNetTrainerBenchmark_5epochs"), UserError, "times", "nnUNetTrainerDA5");
  await assertFails(() => readRecipe("nnUNetTrainerAdan1en3"), UserError, "SGD and Adam", "nnUNetTrainerAdam1en3");
  await assertFails(() => readRecipe("nnUNetTrainer_30epochs"), UserError, "--epochs 30 --name");
  await assertFails(() => readRecipe("nnUNetTrianer"), UserError, "the nearest is nnUNetTrainer");
  await assertFails(() => readRecipe("nnUNetTrainer", { epochs: 30 }), UserError, "--epochs 30", "--name SUFFIX");
  await assertFails(() => readRecipe("nnUNetTrainer", { learningRate: 0, name: "x" }), UserError, "--lr");
  await assertFails(() => readRecipe("nnUNetTrainer", { epochs: 30, name: "a__b" }), UserError, "underscores");
});

Deno.test("learning rates are upstream's", () => {
  const poly = readRecipe("nnUNetTrainer");
  // Golden: PolyLRScheduler and CosineAnnealingLR of 2.5.1 with 1000 epochs.
  const expected = [0.01, 0.009990999549834914, 0.005358867312681466, 1.995262314968881e-5];
  assertClose([0, 1, 500, 999].map((epoch) => learningRateOf(poly, epoch)), expected, 1e-12);
  const cosine = readRecipe("nnUNetTrainerCosAnneal");
  assertClose([0, 500].map((epoch) => learningRateOf(cosine, epoch)), [0.01, 0.005], 1e-12);
});

Deno.test("outputs count half of the next finer one each, the coarsest nothing", () => {
  assertClose(outputWeights(4, true), [4 / 7, 2 / 7, 1 / 7, 0], 1e-12);
  assertEquals(outputWeights(3, false), [1, 0, 0]);
  assertEquals(outputWeights(1, true), [1]);
});

Deno.test("the loss scale halves after a skipped step and doubles after 2000 good ones, one step later", () => {
  let state = INITIAL_LOSS_SCALE;
  const scales: number[] = [];
  for (let step = 0; step < 2100; step++) {
    state = lossScaleBefore(state, step);
    scales.push(state.scale);
    // As torch's GradScaler: steps 3 and 4 overflow with the same scale, of which only one halving follows.
    state = withResult(state, { step, scale: state.scale, skipped: step === 3 || step === 4 });
  }
  assertEquals(scales.slice(0, 8), [65536, 65536, 65536, 65536, 65536, 32768, 32768, 32768]);
  assertEquals([scales[2005], scales[2006]], [32768, 65536]);
  // What counts depends on the step's number, not on when results came.
  const pending = [7, 8, 9].map((step) => ({ step, scale: 1024, skipped: true }));
  const late = lossScaleBefore({ scale: 1024, growthTracker: 5, pending }, 10);
  assertEquals([late.scale, late.pending.length], [512, 1]);
});

Deno.test("pseudo Dice sums over steps; background is left out, absent classes are NaN and don't count in the mean", () => {
  const step = { loss: 0.5, truePositives: Float64Array.of(9, 3, 0), falsePositives: Float64Array.of(0, 1, 0) };
  const steps = [1, 2].map(() => ({ ...step, falseNegatives: Float64Array.of(0, 1, 0) }));
  const { loss, classDice, meanDice } = validationMetrics(steps, false);
  assertEquals([loss, classDice, meanDice], [0.5, [0.75, NaN], 0.75]);
  assertEquals(validationMetrics(steps, true).classDice.length, 3);
  assertEquals(nextEma(undefined, 0.5, false), 0.5);
  // Golden: numpy.float32(0.5) * 0.9 + 0.1 * numpy.float32(0.3) in numpy 2.
  assertEquals(nextEma(0.5, Math.fround(0.3), false), Math.fround(0.48));
});

Deno.test("weights start as kaiming_normal_(a=1e-2) gives them, transposed convolutions by their outputs", () => {
  const shapes = [
    { name: "a.conv.weight", shape: [32, 16, 3, 3, 3] },
    { name: "a.conv.bias", shape: [32] },
    { name: "a.norm.weight", shape: [32] },
    { name: "encoder.stages.0.blocks.0.conv2.norm.weight", shape: [32] },
    { name: "decoder.transpconvs.0.weight", shape: [64, 32, 2, 2, 2] },
  ];
  const values = initialWeights(shapes, 5);
  const deviation = (name: string) =>
    Math.hypot(...(values.get(name) ?? [])) / Math.sqrt(values.get(name)?.length ?? 0);
  const expected = (fanIn: number) => Math.sqrt(2 / (1 + 1e-4) / fanIn);
  assert(Math.abs(deviation("a.conv.weight") / expected(16 * 27) - 1) < 0.02);
  assert(Math.abs(deviation("decoder.transpconvs.0.weight") / expected(32 * 8) - 1) < 0.02);
  assertEquals([deviation("a.conv.bias"), deviation("encoder.stages.0.blocks.0.conv2.norm.weight")], [0, 0]);
  assertEquals(values.get("a.norm.weight")?.every((value) => value === 1), true);
  assertEquals(initialWeights(shapes, 5), values);
  assert(initialWeights(shapes, 6).get("a.conv.weight")?.[0] !== values.get("a.conv.weight")?.[0]);
});

Deno.test("a checkpoint of the first version is continued with the optimizer and the loss that it says", () => {
  const first = (name: string, { learningRate = 0.01, topK = "", adam = "" }) =>
    `{"trainerName":"${name}","folderName":"${name}","epochs":1000,"iterations":250,"validationIterations":50,` +
    `"learningRate":${learningRate},"schedule":"poly","diceWeight":1,"crossEntropyWeight":1,"smooth":0.00001,` +
    `"deepSupervision":true,"augmentation":{"recipe":"standard","mirroring":"all","labelInterpolation":"linear"},` +
    `"foregroundShare":0.33${topK}${adam}}`;
  const adam = `,"adam":{"betas":[0.9,0.999],"eps":1e-8,"decoupled":true,"amsgrad":true}`;
  const topK = `,"topK":{"percent":10,"labelSmoothing":0}`;
  const stored = {
    nnUNetTrainerAdam3en4: { learningRate: 3e-4, adam },
    nnUNetTrainerDiceTopK10Loss: { topK },
    nnUNetTrainer: {},
  };
  for (const [name, parts] of Object.entries(stored)) {
    assertEquals(storedRecipe({ version: 1, recipe: first(name, parts) }, "a.pth"), readRecipe(name));
  }
  const recipe = JSON.stringify(readRecipe("nnUNetTrainerAdam"));
  assertEquals(storedRecipe({ version: 2, recipe }, "a.pth"), readRecipe("nnUNetTrainerAdam"));
});
