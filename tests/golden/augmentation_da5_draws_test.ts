/** What nnUNetTrainerDA5 draws, of 20,000 samples, against as many of upstream's (make_da5_golden.py). */
import { createRandomStream } from "../../core/base/random_stream.ts";
import { drawAugmentation } from "../../core/train/augment/draw_augmentation.ts";
import type { AugmentationParameters } from "../../core/train/augment/parameters.ts";
import { STREAM } from "../../core/train/augment/sample_choice.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import type { AugmentationStep } from "../../core/train/augment/steps.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameShare, distanceOfCounts, distanceToQuantiles, ksProbability } from "./augmentation/distributions.ts";

interface Golden {
  readonly draws: readonly {
    readonly name: string;
    readonly patch: readonly number[];
    readonly dimensions: 2 | 3;
    readonly channels: number;
    readonly samples: number;
    /** By kind of step: in how many samples it is done how often. */
    readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
    /** Of quarter turns and exchanged axes: how often each result. */
    readonly reorients: Readonly<Record<string, number>>;
    readonly values: Readonly<Record<string, Distribution>>;
  }[];
}

/** By quantiles, or by how often each value was drawn. */
interface Distribution {
  readonly draws: number;
  readonly quantiles?: readonly number[];
  readonly counts?: Readonly<Record<string, number>>;
}

const golden: Golden = JSON.parse(Deno.readTextFileSync(new URL("./augmentation/da5_draws.json", import.meta.url)));
const P_VALUE = 0.01;

function specOf({ dimensions, patch, channels }: Golden["draws"][number]): AugmentationSpec {
  const [z, y, x] = dimensions === 3 ? patch : [1, ...patch];
  const configuration = { dimensions, patchSize: [z, y, x], useMaskForNorm: [] } as const;
  const options = { ...STANDARD_AUGMENTATION, recipe: "da5" } as const;
  return deriveAugmentation(configuration, channels, { foregroundLabels: [] }, options).spec;
}

/** @param sample Place in the batch */
function draw(spec: AugmentationSpec, iteration: number, sample = 0): AugmentationParameters {
  const key = { seed: 20240607, epoch: 0, iteration, sample };
  const batch = createRandomStream({ ...key, sample: 0, purpose: STREAM.batch });
  return drawAugmentation(createRandomStream({ ...key, purpose: STREAM.augmentation }), spec, batch);
}

/** values_of of the script. */
function valuesOf(step: AugmentationStep, dimensions: 2 | 3): [string, number][] {
  const axes = [0, 1, 2].slice(3 - dimensions);
  switch (step.kind) {
    case "brightnessGradient":
    case "localGamma": {
      const { centre, deviation } = step.kernel;
      const kernel = axes.flatMap((axis): [string, number][] => [
        [`centre ${axis}`, centre[axis]],
        [`deviation ${axis}`, deviation[axis]],
      ]);
      const own: [string, number] = step.kind === "localGamma"
        ? ["localGamma gamma", step.gamma]
        : ["brightnessGradient strength", step.strength];
      return [...kernel, own];
    }
    case "blank":
      return axes.flatMap((axis) => [[`start ${axis}`, step.start[axis]], [`size ${axis}`, step.size[axis]]]);
    case "noise":
    case "gaussian":
      return [[`${step.kind} sigma`, step.sigma]];
    case "median":
      return [["median width", step.width]];
    case "addBrightness":
      return [["addBrightness offset", step.offset]];
    case "contrast":
      return [["contrast factor", step.factor]];
    case "splineLowResolution":
      return [["splineLowResolution scale", step.scale]];
    case "gamma":
      return [["gamma gamma", step.gamma]];
    case "sharpen":
      return [["sharpen strength", step.strength]];
    default:
      return [];
  }
}

/** Largest distance of the values' distribution to upstream's. */
function distance(values: readonly number[], { quantiles, counts = {} }: Distribution): number {
  if (quantiles) return distanceToQuantiles(values, quantiles);
  const own = new Map<number, number>();
  for (const value of values) own.set(value, (own.get(value) ?? 0) + 1);
  return distanceOfCounts(own, new Map(Object.entries(counts).map(([value, times]) => [Number(value), times])));
}

for (const one of golden.draws) {
  const spec = specOf(one);
  const values = new Map<string, number[]>();
  const counts = new Map<string, Map<number, number>>();
  const reorients = new Map<string, number>();
  const add = (what: string, value: number) => (values.get(what) ?? values.set(what, []).get(what))?.push(value);
  for (let i = 0; i < one.samples; i++) {
    const { spatial, steps } = draw(spec, i);
    const done = new Map<string, number>();
    const count = (what: string, times = 1) => done.set(what, (done.get(what) ?? 0) + times);
    const turned = spatial?.angles.filter((angle) => angle !== 0) ?? [];
    const scaled = spatial && typeof spatial.scale !== "number" ? spatial.scale.filter((scale) => scale !== 1) : [];
    turned.forEach((angle) => add("angle", angle));
    scaled.forEach((scale) => add("scale", scale));
    count("resampled", Number(spatial !== undefined));
    count("turned axes", turned.length);
    count("scaled axes", scaled.length);
    for (const step of steps) {
      if (step.kind === "mirror") step.axes.forEach((axis) => count(`mirror ${axis}`));
      else count(step.kind === "contrast" && step.unbounded ? "contrast unbounded" : step.kind);
      for (const [what, value] of valuesOf(step, one.dimensions)) add(what, value);
      if (step.kind !== "reorient") continue;
      const what = `reorient ${step.order.join("")} ${step.flips.join("")}`;
      reorients.set(what, (reorients.get(what) ?? 0) + 1);
    }
    for (const kind of Object.keys(one.counts)) {
      const times = done.get(kind) ?? 0;
      const of = counts.get(kind) ?? new Map<number, number>();
      counts.set(kind, of.set(times, (of.get(times) ?? 0) + 1));
    }
  }

  Deno.test(`DA5's parameters are distributed as upstream's: ${one.name}`, () => {
    assertEquals([...values.keys()].sort(), Object.keys(one.values).sort());
    for (const [what, upstream] of Object.entries(one.values)) {
      const drawn = values.get(what) ?? [];
      const p = ksProbability(
        distance(drawn, upstream),
        drawn.length * upstream.draws / (drawn.length + upstream.draws),
      );
      assert(p > P_VALUE, `${what}: p ${p} of ${drawn.length} and ${upstream.draws} draws`);
    }
  });

  Deno.test(`DA5's transforms are done as often as upstream's: ${one.name}`, () => {
    for (const [kind, upstream] of Object.entries(one.counts)) {
      const own = counts.get(kind) ?? new Map<number, number>();
      for (const times of new Set([...own.keys(), ...Object.keys(upstream).map(Number)])) {
        assertSameShare(`${kind} ${times} times`, own.get(times) ?? 0, upstream[times] ?? 0, one.samples);
      }
    }
    assertEquals([...reorients.keys()].sort(), Object.keys(one.reorients).sort());
    for (const [what, times] of reorients) assertSameShare(what, times, one.reorients[what], one.samples);
  });
}

Deno.test("the samples of a batch try the same of two filters and of two contrasts, batches either", () => {
  const spec = specOf(golden.draws[0]);
  const seen = { filters: new Set<string>(), contrasts: new Set<boolean>() };
  for (let iteration = 0; iteration < 200; iteration++) {
    const steps = [0, 1, 2, 3, 4, 5].flatMap((sample) => draw(spec, iteration, sample).steps);
    const filters = new Set(steps.map(({ kind }) => kind).filter((kind) => kind === "median" || kind === "gaussian"));
    const contrasts = new Set(steps.flatMap((step) => step.kind === "contrast" ? [step.unbounded === true] : []));
    assert(filters.size <= 1 && contrasts.size <= 1, `batch ${iteration}`);
    filters.forEach((kind) => seen.filters.add(kind));
    contrasts.forEach((unbounded) => seen.contrasts.add(unbounded));
  }
  assertEquals([seen.filters.size, seen.contrasts.size], [2, 2]);
});
