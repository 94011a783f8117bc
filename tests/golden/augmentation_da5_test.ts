/** nnUNetTrainerDA5's augmentation against upstream's with the parameters that it drew (make_da5_golden.py). */
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { augmentSample } from "../../core/train/augment/augment_sample.ts";
import { applyOperator, reversed, structuringElement } from "../../core/train/augment/masks.ts";
import type { SpatialParameters } from "../../core/train/augment/parameters.ts";
import { createAugmentationBuffers } from "../../core/train/augment/sample.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import type { AugmentationStep, BinaryOperator, CascadeStep } from "../../core/train/augment/steps.ts";
import { assert, assertEquals } from "../assert.ts";
import { bytes, floats, image, ints, labels, thinned } from "./augmentation/inputs.ts";

interface Golden {
  readonly step: number;
  readonly spatial: readonly {
    readonly name: string;
    readonly loaded: Vec3;
    readonly patch: Vec3;
    readonly planar: boolean;
    readonly nearestImage: boolean;
    readonly nearestLabels: boolean;
    readonly spatial: SpatialParameters | null;
    readonly labels: readonly [number, number];
    readonly outImage: string;
    readonly outLabels: string;
  }[];
  readonly each: readonly {
    readonly name: string;
    readonly patch: Vec3;
    readonly keepZ: boolean;
    readonly steps: readonly AugmentationStep[];
    readonly outImage: string;
    /** null: as they were. */
    readonly outLabels: string | null;
  }[];
  readonly operators: readonly {
    readonly size: Vec3;
    readonly radius: number;
    readonly operator: BinaryOperator;
    readonly out: string;
  }[];
  readonly initialPatch: readonly {
    readonly patch: readonly number[];
    readonly degrees: number;
    readonly loaded: readonly number[];
  }[];
  readonly whole: readonly {
    readonly name: string;
    readonly loaded: Vec3;
    readonly patch: Vec3;
    readonly dimensions: 2 | 3;
    readonly planar: boolean;
    readonly channels: number;
    readonly cascade: readonly number[] | null;
    readonly masked: readonly number[];
    readonly nearestImage: boolean;
    readonly nearestLabels: boolean;
    readonly spatial: SpatialParameters;
    readonly steps: readonly AugmentationStep[];
    readonly cascadeSteps: readonly CascadeStep[];
    readonly outImage: string;
    readonly outLabels: string;
  }[];
}

const golden: Golden = JSON.parse(Deno.readTextFileSync(new URL("./augmentation/da5.json", import.meta.url)));
/** Of values around 10. */
const TOLERANCE = 1e-3;
/** Upstream's label -1 is 0 in what is handed on. */
function differing(actual: Int16Array, expected: string): number {
  const b = ints(expected);
  assertEquals(actual.length, b.length);
  return actual.filter((label, i) => label !== Math.max(b[i], 0)).length;
}

/** Where a vote is nearly a tie. */
const LABELS_THAT_MAY_DIFFER = 1;

function specOf(patch: Vec3, loadPatch: Vec3, more: Partial<AugmentationSpec>): AugmentationSpec {
  return {
    recipe: "da5",
    dimensions: patch[0] === 1 ? 2 : 3,
    channels: 2,
    patch,
    loadPatch,
    planar: false,
    maxRotation: Math.PI,
    labelInterpolation: "linear",
    imageInterpolation: "cubic",
    turnableAxes: [],
    mirrorAxes: [],
    maskedChannels: [],
    ...more,
  };
}

/** Largest distance of every step-th value to what is expected. */
function distance(actual: Float32Array, expected: string): number {
  const [a, b] = [thinned(actual, golden.step), floats(expected)];
  assertEquals(a.length, b.length);
  return b.reduce((largest, value, i) => Math.max(largest, Math.abs(a[i] - value)), 0);
}

for (const one of golden.spatial) {
  Deno.test(`DA5's spatial transform equals upstream's: ${one.name}`, () => {
    const { patch, loaded, planar } = one;
    const spec = specOf(patch, loaded, {
      planar,
      labelInterpolation: one.nearestLabels ? "nearest" : "linear",
      imageInterpolation: one.nearestImage ? "nearest" : "cubic",
    });
    const buffers = createAugmentationBuffers(spec);
    const sample = { image: image(2 * voxelCount(loaded), 0), labels: labels(loaded, ...one.labels), size: loaded };
    // As if used before.
    for (const memory of [buffers.image, buffers.coefficients]) memory.fill(1e3);
    const spatial = one.spatial ?? undefined;
    const result = augmentSample(spec, sample, { ...(spatial && { spatial }), steps: [], cascade: [] }, buffers);
    const far = distance(result.image, one.outImage);
    assert(far <= TOLERANCE, `an image value is ${far} off`);
    const wrong = differing(result.labels, one.outLabels);
    assert(wrong <= (spatial ? LABELS_THAT_MAY_DIFFER : 0), `${wrong} labels differ`);
  });
}

for (const one of golden.each) {
  const { name, patch, steps } = one;
  Deno.test(`DA5's ${name} equals upstream's: ${steps[0].kind}, ${patch.join(" x ")}`, () => {
    const spec = specOf(patch, patch, { planar: one.keepZ });
    const sample = { image: image(2 * voxelCount(patch), 0.3), labels: labels(patch, 4, -1), size: patch };
    const buffers = createAugmentationBuffers(spec);
    for (const scratch of buffers.scratch) scratch.fill(NaN);
    const result = augmentSample(spec, sample, { steps, cascade: [] }, buffers);
    assert(distance(result.image, one.outImage) <= TOLERANCE, `${distance(result.image, one.outImage)} off`);
    if (one.outLabels !== null) assertEquals(differing(result.labels, one.outLabels), 0);
    else assertEquals(result.labels, sample.labels.map((label) => Math.max(label, 0)));
  });
}

Deno.test("DA5's operators of masks equal skimage's, voxel for voxel", () => {
  for (const { size, radius, operator, out } of golden.operators) {
    const mask = Float32Array.from(labels(size, 3, 0), (label) => label === 1 ? 1 : 0);
    const element = structuringElement(radius, 3);
    applyOperator(mask, size, 0, 1, 0, operator, element, reversed(element));
    const bits = bytes(out);
    const expected = mask.map((_, i) => (bits[i >> 3] >> (i & 7)) & 1);
    assertEquals(mask, expected, `${operator} ${radius} of ${size}`);
  }
});

Deno.test("DA5 loads patches as large as upstream does", () => {
  for (const { patch, degrees, loaded } of golden.initialPatch) {
    const [z, y, x] = patch.length === 3 ? patch : [1, ...patch];
    const configuration = { dimensions: patch.length === 3 ? 3 : 2, patchSize: [z, y, x], useMaskForNorm: [] } as const;
    const options = { ...STANDARD_AUGMENTATION, recipe: "da5" } as const;
    const { spec } = deriveAugmentation(configuration, 1, { foregroundLabels: [1] }, options);
    assertEquals(spec.loadPatch, loaded.length === 3 ? loaded : [1, ...loaded]);
    assert(Math.abs(spec.maxRotation - degrees / 180 * Math.PI) < 1e-12);
  }
});

for (const one of golden.whole) {
  Deno.test(`a whole sample of DA5 equals upstream's: ${one.name}`, () => {
    const { loaded, patch, channels, cascade, spatial, steps, cascadeSteps } = one;
    const spec = specOf(patch, loaded, {
      channels,
      planar: one.planar,
      dimensions: one.dimensions,
      maskedChannels: one.masked,
      labelInterpolation: one.nearestLabels ? "nearest" : "linear",
      imageInterpolation: one.nearestImage ? "nearest" : "cubic",
      ...(cascade ? { cascadeLabels: cascade } : {}),
    });
    const sample = {
      image: image(channels * voxelCount(loaded), 0.3),
      labels: labels(loaded, 4, -1),
      size: loaded,
      ...(cascade ? { previous: labels(loaded, 5, 0) } : {}),
    };
    const buffers = createAugmentationBuffers(spec);
    const result = augmentSample(spec, sample, { spatial, steps, cascade: cascadeSteps }, buffers);
    const wrong = differing(result.labels, one.outLabels);
    assert(wrong <= LABELS_THAT_MAY_DIFFER, `${wrong} labels differ`);
    const [values, expected] = [thinned(result.image, golden.step), floats(one.outImage)];
    const far = values.filter((value, i) => !(Math.abs(value - expected[i]) <= TOLERANCE)).length;
    assert(far <= wrong, `${far} of ${values.length} values differ by more than ${TOLERANCE}`);
  });
}
