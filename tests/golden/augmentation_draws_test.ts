/** Drawn parameters and patch positions, 10,000 of each kind, against as many of upstream's (make_augmentation_golden.py). */
import { createRandomStream, type RandomStream } from "../../core/base/random_stream.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import type { ClassLocations } from "../../core/formats/preprocessed/training_data.ts";
import { addNoise } from "../../core/train/augment/noise.ts";
import { drawAugmentation } from "../../core/train/augment/draw_augmentation.ts";
import type { AugmentationParameters } from "../../core/train/augment/parameters.ts";
import { chooseCase, choosePatch, isForegroundForced, STREAM } from "../../core/train/augment/sample_choice.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameShare, distanceOfCounts, distanceToQuantiles, ksProbability } from "./augmentation/distributions.ts";

interface Golden {
  readonly draws: readonly {
    readonly name: string;
    readonly patch: readonly number[];
    readonly dimensions: 2 | 3;
    readonly channels: number;
    readonly cascade: readonly number[] | null;
    readonly samples: number;
    /** Samples in which a transform is applied. */
    readonly applied: Readonly<Record<string, number>>;
    /** Samples with neither rotation nor scaling, scaling, rotation, both. */
    readonly spatial: readonly number[];
    readonly blurredChannels: number;
    readonly reducedChannels: number;
    readonly mirrored: Readonly<Record<string, number>>;
    readonly operators?: Readonly<Record<string, number>>;
    readonly firstMask?: Readonly<Record<string, number>>;
    /** 201 quantiles of each parameter, from the smallest to the largest of 10,000. */
    readonly quantiles: Readonly<Record<string, readonly number[]>>;
  }[];
  readonly patches: readonly {
    readonly name: string;
    readonly size: Vec3;
    readonly patch: Vec3;
    readonly loaded: Vec3;
    readonly dimensions: 2 | 3;
    readonly forced: boolean;
    readonly ignore: number | null;
    /** Of 10,000 patches, by start along each axis. */
    readonly starts: readonly Readonly<Record<string, number>>[];
    readonly foreground: number;
  }[];
  readonly forced: readonly { readonly batch: number; readonly forced: readonly boolean[] }[];
}

const golden: Golden = JSON.parse(Deno.readTextFileSync(new URL("./augmentation/draws.json", import.meta.url)));
const DRAWS = 10_000;
const SEED = 20240607;
const P_VALUE = 0.01;

function streamOf(iteration: number, purpose: number): RandomStream {
  return createRandomStream({ seed: SEED, epoch: 0, iteration, sample: 0, purpose });
}

function specOf(one: Golden["draws"][number]): AugmentationSpec {
  const [z, y, x] = one.dimensions === 3 ? one.patch : [1, ...one.patch];
  return deriveAugmentation(
    {
      dimensions: one.dimensions,
      patchSize: [z, y, x],
      useMaskForNorm: [],
      ...(one.cascade ? { previousStage: "3d_lowres" } : {}),
    },
    one.channels,
    { foregroundLabels: one.cascade ?? [] },
    STANDARD_AUGMENTATION,
  ).spec;
}

/** The parameters of a sample's kinds by the names of the golden file. */
function valuesOf({ spatial, steps, cascade }: AugmentationParameters, planar: boolean): [string, number[]][] {
  const values: [string, number[]][] = [];
  if (spatial && spatial.angles[0] !== 0) values.push(["angle", planar ? [spatial.angles[0]] : [...spatial.angles]]);
  if (typeof spatial?.scale === "number" && spatial.scale !== 1) values.push(["scale", [spatial.scale]]);
  for (const step of steps) {
    if (step.kind === "noise") values.push(["noise", [step.sigma]]);
    if (step.kind === "blur") values.push(["blur", step.sigmas.filter((sigma) => sigma > 0)]);
    if (step.kind === "brightness" || step.kind === "contrast") values.push([step.kind, [step.factor]]);
    if (step.kind === "lowResolution") values.push(["lowResolution", [step.scale]]);
    if (step.kind === "gamma") values.push([step.inverted ? "gammaInverted" : "gamma", [step.gamma]]);
  }
  for (const step of cascade) if (step.kind === "operator") values.push(["radius", [step.radius]]);
  return values;
}

for (const one of golden.draws) {
  Deno.test(`drawn parameters are distributed as upstream's: ${one.name}`, () => {
    const spec = specOf(one);
    const values = new Map<string, number[]>(Object.keys(one.quantiles).map((kind) => [kind, []]));
    for (let i = 0; [...values.values()].some((drawn) => drawn.length < DRAWS); i++) {
      for (const [kind, drawn] of valuesOf(drawAugmentation(streamOf(i, STREAM.augmentation), spec), spec.planar)) {
        values.get(kind)?.push(...drawn);
      }
    }
    for (const [kind, drawn] of values) {
      const p = ksProbability(distanceToQuantiles(drawn.slice(0, DRAWS), one.quantiles[kind]), DRAWS / 2);
      assert(p > P_VALUE, `${kind}: p ${p}`);
    }
  });

  Deno.test(`transforms are applied as often as upstream's: ${one.name}`, () => {
    const spec = specOf(one);
    const applied: Record<string, number> = {};
    const count = (what: string, times = 1) => applied[what] = (applied[what] ?? 0) + times;
    let [operators, withOperators] = [0, 0];
    for (let i = 0; i < one.samples; i++) {
      const { spatial, steps, cascade } = drawAugmentation(streamOf(i, STREAM.augmentation), spec);
      count(
        `spatial ${2 * Number(spatial !== undefined && spatial.angles[0] !== 0) + Number((spatial?.scale ?? 1) !== 1)}`,
      );
      // Transforms of all channels are seen on the first; those of some channels are counted by channel.
      for (const step of steps) {
        if (step.kind === "mirror") step.axes.forEach((axis) => count(`mirror ${axis}`));
        else if (step.kind === "gamma" && step.channel === 0) count(step.inverted ? "gamma inverted" : "gamma");
        else if (step.kind === "blur" || step.kind === "lowResolution") count(step.kind);
        else if (step.kind === "noise") count(step.kind);
        else if ((step.kind === "brightness" || step.kind === "contrast") && step.channel === 0) count(step.kind);
      }
      const [first] = cascade;
      if (first?.kind === "operator") count(`first mask ${first.mask}`);
      withOperators += Number(first?.kind === "operator");
      if (cascade.some(({ kind }) => kind === "removeComponent")) count("components");
      for (const step of cascade) {
        if (step.kind !== "operator") continue;
        operators++;
        count(step.operator);
      }
    }
    const n = one.samples;
    const same = (what: string, expected: number | undefined, of = n) => {
      if (expected !== undefined) assertSameShare(what, applied[what] ?? 0, expected, of);
    };
    one.spatial.forEach((expected, i) => same(`spatial ${i}`, expected));
    same("noise", one.applied.GaussianNoiseTransform);
    same("brightness", one.applied.MultiplicativeBrightnessTransform);
    same("contrast", one.applied.ContrastTransform);
    same("gamma inverted", one.applied.GammaTransformInverted);
    same("gamma", one.applied.GammaTransform);
    same("components", one.applied.RemoveRandomConnectedComponentFromOneHotEncodingTransform);
    // Upstream's channels were counted in samples that have the transform.
    const channels = n * one.channels;
    same("blur", one.blurredChannels * one.applied.GaussianBlurTransform / n, channels);
    same("lowResolution", one.reducedChannels * one.applied.SimulateLowResolutionTransform / n, channels);
    for (const [axis, expected] of Object.entries(one.mirrored)) same(`mirror ${axis}`, expected);
    if (one.operators === undefined) return;
    const total = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((sum, c) => sum + c, 0);
    for (const [operator, expected] of Object.entries(one.operators)) {
      same(operator, expected / total(one.operators) * operators, operators);
    }
    for (const [mask, expected] of Object.entries(one.firstMask ?? {})) {
      same(`first mask ${mask}`, expected / total(one.firstMask ?? {}) * withOperators, withOperators);
    }
    assertSameShare("operators", withOperators, one.applied.ApplyRandomBinaryOperatorTransform, n);
  });
}

/** blobs(shape) of the script. */
function blobs([depth, height, width]: Vec3): Int16Array {
  const result = new Int16Array(depth * height * width);
  for (let i = 0; i < result.length; i++) {
    const [x, y, z] = [i % width, Math.floor(i / width) % height, Math.floor(i / width / height)];
    const half = Math.floor(height / 2);
    if (y >= half && y < half + 3 && x >= 2 && x < 6) result[i] = 1;
    if (z === depth - 1 && y === height - 1 && x === width - 1) result[i] = 2;
    if (z >= Math.floor(depth / 2) && y < 2) result[i] = 3;
  }
  return result;
}

function locationsOf(segmentation: Int16Array, ignore: number | null): ClassLocations[] {
  const where = (keep: (label: number) => boolean) =>
    Uint32Array.from([...segmentation.keys()].filter((i) => keep(segmentation[i])));
  const annotated = [0, 1, 2, 3].filter((label) => label !== ignore);
  const locations: ClassLocations[] = annotated.filter((label) => label !== 0).map((label) => ({
    key: { kind: "label", labels: [label] },
    voxels: where((one) => one === label),
  }));
  locations.push({ key: { kind: "label", labels: [4] }, voxels: new Uint32Array(0) });
  if (ignore !== null) {
    locations.push({ key: { kind: "allLabels", labels: annotated }, voxels: where((label) => label !== ignore) });
  }
  return locations;
}

/** True if the box holds a label above 0. */
function hasForeground(segmentation: Int16Array, grid: Vec3, origin: Vec3, size: Vec3): boolean {
  const [low, high] = [
    origin.map((start) => Math.max(0, start)),
    origin.map((start, axis) => Math.min(grid[axis], start + size[axis])),
  ];
  for (let z = low[0]; z < high[0]; z++) {
    for (let y = low[1]; y < high[1]; y++) {
      for (let x = low[2]; x < high[2]; x++) if (segmentation[(z * grid[1] + y) * grid[2] + x] > 0) return true;
    }
  }
  return false;
}

for (const one of golden.patches) {
  Deno.test(`patches are placed as upstream's: ${one.name}`, () => {
    const segmentation = blobs(one.size);
    const locations = locationsOf(segmentation, one.ignore);
    const { dimensions, patch, loaded: loadPatch } = one;
    const rules = { dimensions, patch, loadPatch, hasIgnoreLabel: one.ignore !== null };
    const starts = [0, 1, 2].map(() => new Map<number, number>());
    let foreground = 0;
    for (let i = 0; i < DRAWS; i++) {
      const stream = streamOf(i, STREAM.trainingSample);
      const { origin, size } = choosePatch(stream, rules, one.size, locations, one.forced);
      assertEquals(size, loadPatch);
      origin.forEach((start, axis) => starts[axis].set(start, (starts[axis].get(start) ?? 0) + 1));
      foreground += Number(hasForeground(segmentation, one.size, origin, size));
    }
    starts.forEach((counts, axis) => {
      const expected = new Map(Object.entries(one.starts[axis]).map(([start, times]) => [Number(start), times]));
      const p = ksProbability(distanceOfCounts(counts, expected), DRAWS / 2);
      assert(p > P_VALUE, `axis ${axis}: p ${p}`);
    });
    assertSameShare("patches with foreground", foreground, one.foreground, DRAWS);
  });
}

Deno.test("a case without any class, or without an annotated voxel, gets patches anywhere", () => {
  const rules = { dimensions: 2, patch: [1, 4, 4], loadPatch: [1, 6, 6], hasIgnoreLabel: true } as const;
  const slices = new Set<number>();
  for (let i = 0; i < 100; i++) {
    const { origin } = choosePatch(streamOf(i, 0), rules, [5, 8, 8], [], i % 2 === 0);
    slices.add(origin[0]);
    assert(origin[1] >= -1 && origin[1] <= 3, `start ${origin[1]}`);
  }
  assertEquals(slices.size, 5);
});

Deno.test("the samples of a batch that must hold foreground are upstream's", () => {
  for (const { batch, forced } of golden.forced) {
    assertEquals(forced.map((_, index) => isForegroundForced(index, batch)), forced);
  }
});

Deno.test("cases are drawn evenly", () => {
  const counts = new Array<number>(20).fill(0);
  for (let i = 0; i < DRAWS; i++) counts[chooseCase(streamOf(i, STREAM.trainingSample), 20)]++;
  for (const count of counts) assert(Math.abs(count - DRAWS / 20) < 4 * Math.sqrt(DRAWS / 20), `${counts}`);
});

Deno.test("noise is normal, and independent from voxel to voxel and seed to seed", () => {
  const count = 400_000;
  const values = new Float32Array(count);
  addNoise(values, 1, 12345);
  const other = new Float32Array(count);
  addNoise(other, 1, 12346);
  const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / count;
  // Standard errors of the first four moments: 1, sqrt 2, sqrt 15, sqrt 96, over the root of the count.
  [0, 1, 0, 3].forEach((expected, i) => {
    const error = Math.sqrt([1, 2, 15, 96][i] / count);
    assert(Math.abs(moment(i + 1) - expected) < 3 * error, `moment ${i + 1}: ${moment(i + 1)}`);
  });
  for (const shift of [1, 2, 40, 128, 16384]) {
    let product = 0;
    for (let i = shift; i < count; i++) product += values[i] * values[i - shift];
    assert(Math.abs(product / count) < 3.5 / Math.sqrt(count), `correlation at ${shift}: ${product / count}`);
  }
  const between = values.reduce((sum, value, i) => sum + value * other[i], 0) / count;
  assert(Math.abs(between) < 3.5 / Math.sqrt(count), `correlation of two seeds: ${between}`);
  // Against the normal distribution itself, tails included.
  const sorted = values.slice().sort();
  let largest = 0;
  for (let i = 0; i < count; i += 7) largest = Math.max(largest, Math.abs((i + 0.5) / count - normalShare(sorted[i])));
  assert(ksProbability(largest, count) > P_VALUE, `distance ${largest}`);
  const beyond = values.filter((value) => Math.abs(value) > 3.5).length;
  assert(Math.abs(beyond - count * 4.6526e-4) < 4 * Math.sqrt(count * 4.6526e-4), `${beyond} beyond 3.5`);
});

/** The normal distribution's share below x, by its series. */
function normalShare(x: number): number {
  let [term, sum] = [x, x];
  for (let k = 1; k < 100; k++) {
    term *= x * x / (2 * k + 1);
    sum += term;
  }
  return 0.5 + sum * Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

Deno.test("a sample's parameters depend on its place in training alone", () => {
  const spec = specOf(golden.draws[0]);
  const at = (epoch: number, iteration: number, sample: number) =>
    JSON.stringify(
      drawAugmentation(createRandomStream({ seed: 1, epoch, iteration, sample, purpose: STREAM.augmentation }), spec),
    );
  const all = [...Array(200).keys()].map((i) => at(i % 5, i % 7, i % 3));
  assertEquals([...all.keys()].map((i) => at(i % 5, i % 7, i % 3)), all);
  assert(new Set(all).size > 90, "105 places, some of them with nothing drawn");
});
