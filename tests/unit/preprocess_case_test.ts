/** Preprocessing of a case: what is refused, replaced and warned of; cropping; the way back. */
import { UserError } from "../../core/base/errors.ts";
import { checkDeclaredLabels } from "../../core/preprocess/declared_labels.ts";
import { contiguousStrides, permute, type Vec3, voxelCount } from "../../core/base/shape.ts";
import type { CaseImage, ImageGeometry } from "../../core/formats/image/image.ts";
import type { Configuration, NormalizationScheme, Plans } from "../../core/plan/plans.ts";
import type { CaseProperties } from "../../core/preprocess/case.ts";
import { copyCrop, nonzeroBoundingBox } from "../../core/preprocess/crop.ts";
import { preprocessCase } from "../../core/preprocess/preprocess_case.ts";
import { exportGeometry } from "../../core/preprocess/undo.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const SPLINE = { kind: "spline", isSeg: false, order: 3, orderZ: 0, forceSeparateZ: null } as const;

function configurationOf(schemes: readonly NormalizationScheme[], rest: Partial<Configuration> = {}): Configuration {
  return {
    name: "3d_fullres",
    dimensions: 3,
    patchSize: [8, 8, 8],
    spacing: [1, 1, 1],
    batchSize: 2,
    normalizationSchemes: schemes,
    useMaskForNorm: schemes.map(() => false),
    resamplingData: SPLINE,
    resamplingSeg: { ...SPLINE, isSeg: true, order: 1 },
    resamplingProbabilities: { ...SPLINE, order: 1 },
    architecture: {
      family: "PlainConvUNet",
      dimensions: 3,
      featuresPerStage: [],
      kernelSizes: [],
      strides: [],
      blocksPerStage: [],
      convsPerStageDecoder: [],
      convBias: true,
      norm: { kind: "instance", eps: 1e-5, affine: true },
      negativeSlope: 0.01,
      nonlinFirst: false,
    },
    batchDice: false,
    dataIdentifier: "x",
    nextStages: [],
    ...rest,
  };
}

const INTENSITIES = {
  max: 10,
  mean: 2,
  median: 2,
  min: -10,
  percentile_00_5: -4,
  percentile_99_5: 6,
  std: 2,
};

const PLANS: Plans = {
  datasetName: "Dataset001_x",
  plansName: "nnUNetPlans",
  reader: "SimpleITKIO",
  transposeForward: [0, 1, 2],
  transposeBackward: [0, 1, 2],
  intensityProperties: [INTENSITIES, INTENSITIES],
  configurationNames: ["3d_fullres"],
  json: {},
};

function geometryOf(shape: Vec3, origin: readonly number[] = [0, 0, 0]): ImageGeometry {
  return {
    reader: "SimpleITKIO",
    spacing: [1, 1, 1],
    shape,
    sitk: { spacing: [1, 1, 1], origin, direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
  };
}

function imageOf(shape: Vec3, values: readonly number[], channels = 1): CaseImage {
  return { data: Float32Array.from(values), channels, geometry: geometryOf(shape), warnings: [] };
}

Deno.test("NaN and infinite voxels are refused with count, first position and remedy", async () => {
  const image = imageOf([1, 2, 3], [1, 2, 3, 4, NaN, NaN, 1, 2, 3, 4, 5, -Infinity], 2);
  const configuration = configurationOf(["NoNormalization", "ZScoreNormalization"]);
  await assertFails(
    () => preprocessCase("liver_7", image, PLANS, configuration, {}),
    UserError,
    "liver_7",
    "channel 0 has 2 NaN voxels, the first at (x 1, y 1, z 0)",
    "channel 1 has 1 infinite voxel, the first at (x 2, y 1, z 0)",
    "--nan zero",
    "--nan min",
  );
});

Deno.test("an image whose grid is beyond any memory is refused with its case and all its files", async () => {
  const image = imageOf([1, 1, 2], [1, 2, 3, 4], 2);
  const huge = { ...image, geometry: { ...image.geometry, spacing: [1e30, 1, 1] as const } };
  const configuration = configurationOf(["NoNormalization", "NoNormalization"]);
  const files = ["/raw/liver_7_0000.nii.gz", "/raw/liver_7_0001.nii.gz"];
  await assertFails(
    () => preprocessCase("liver_7", huge, PLANS, configuration, { files }),
    UserError,
    `(case liver_7, ${files.join(", ")})`,
    "more than can be worked on",
  );
});

Deno.test("--nan zero replaces before cropping, so that NaN outside the body does not widen the box", () => {
  const image = imageOf([1, 1, 5], [NaN, 0, 3, 4, Infinity]);
  const result = preprocessCase("a", image, PLANS, configurationOf(["NoNormalization"]), { nan: "zero" });
  assertEquals([...result.data], [3, 4]);
  assertEquals(result.replacedVoxels, [2]);
  assert(result.warnings.some((warning) => warning.includes("2 voxels")));
  assert(Number.isNaN(image.data[0]), "the image is left as it was");
});

Deno.test("--nan min replaces by the channel's smallest finite value", () => {
  const image = imageOf([1, 1, 6], [NaN, 5, -3, 4, Infinity, -Infinity]);
  const result = preprocessCase("a", image, PLANS, configurationOf(["NoNormalization"]), { nan: "min" });
  assertEquals([...result.data], [-3, 5, -3, 4, -3, -3]);
  assertEquals(result.replacedVoxels, [3]);
});

Deno.test("CTNormalization clips infinite voxels with a warning instead of refusing them", () => {
  const image = imageOf([1, 1, 4], [-Infinity, 2, 4, Infinity]);
  const result = preprocessCase("a", image, PLANS, configurationOf(["CTNormalization"]), {});
  assertEquals([...result.data], [-3, 0, 1, 2]);
  assertEquals(result.replacedVoxels, [0]);
  assert(result.warnings.some((warning) => warning.includes("2 infinite voxels") && warning.includes("x 0")));
});

Deno.test("--nan zero sets infinite voxels to 0 under CTNormalization too, as SimpleITK reads them", () => {
  const image = imageOf([1, 1, 4], [-Infinity, 2, 4, Infinity]);
  const result = preprocessCase("a", image, PLANS, configurationOf(["CTNormalization"]), { nan: "zero" });
  const zeros = imageOf([1, 1, 4], [0, 2, 4, 0]);
  const expected = preprocessCase("a", zeros, PLANS, configurationOf(["CTNormalization"]), {});
  assertEquals([...result.data], [...expected.data]);
  assertEquals(result.replacedVoxels, [2]);
});

Deno.test("CTNormalization still refuses NaN", async () => {
  const image = imageOf([1, 1, 3], [Infinity, 2, NaN]);
  await assertFails(
    () => preprocessCase("a", image, PLANS, configurationOf(["CTNormalization"]), {}),
    UserError,
    "1 NaN voxel, the first at (x 2, y 0, z 0)",
  );
});

Deno.test("RGB values outside 0 to 255 are refused with the range that is there", async () => {
  const image = imageOf([1, 1, 3], [1, 2, 300]);
  await assertFails(
    () => preprocessCase("photo", image, PLANS, configurationOf(["RGBTo01Normalization"]), {}),
    UserError,
    "photo",
    "from 1 to 300",
  );
});

Deno.test("another number of channels than the model's is refused", async () => {
  await assertFails(
    () =>
      preprocessCase(
        "a",
        imageOf([1, 1, 2], [1, 2]),
        PLANS,
        configurationOf(["CTNormalization", "NoNormalization"]),
        {},
      ),
    UserError,
    "1 channel;",
    "trained on 2",
  );
});

Deno.test("an image that would have no voxels at the model's spacing is refused", async () => {
  const configuration = configurationOf(["NoNormalization"], { spacing: [1, 1, 9] });
  await assertFails(
    () => preprocessCase("a", imageOf([1, 2, 3], [1, 2, 3, 4, 5, 6]), PLANS, configuration, {}),
    UserError,
    "1 x 2 x 0",
  );
});

Deno.test("a previous stage of another shape is refused", async () => {
  const labels = { data: new Int16Array(8), shape: [1, 2, 4] as const };
  const previousStage = { labels, geometry: geometryOf([1, 2, 4]) };
  await assertFails(
    () =>
      preprocessCase("a", imageOf([1, 2, 3], [1, 2, 3, 4, 5, 6]), PLANS, configurationOf(["NoNormalization"]), {
        previousStage,
      }),
    UserError,
    "4 x 2 x 1",
    "3 x 2 x 1",
    "-prev_stage_predictions",
  );
});

Deno.test("a previous stage more than a voxel away is refused, one closer warned of", async () => {
  const run = (shift: number) => {
    const labels = { data: new Int16Array([0, 1, 2, 0, 0, 1]), shape: [1, 2, 3] as const };
    const previousStage = { labels, geometry: geometryOf([1, 2, 3], [shift, 0, 0]) };
    const image = imageOf([1, 2, 3], [1, 2, 3, 4, 5, 6]);
    return preprocessCase("a", image, PLANS, configurationOf(["NoNormalization"]), { previousStage });
  };
  await assertFails(() => run(1.5), UserError, "1.50 voxels");
  assert(run(0.5).warnings.some((warning) => warning.includes("0.50 voxels")));
  assertEquals(run(0.05).warnings, []);
});

Deno.test("the previous stage is -1 where it is 0 outside the image's region, and keeps its labels there", () => {
  const image = imageOf([1, 3, 3], [1, 0, 0, 0, 0, 0, 0, 0, 2]);
  const labels = { data: new Uint8Array([0, 0, 0, 0, 2, 0, 0, 0, 1]), shape: [1, 3, 3] as const };
  const result = preprocessCase("a", image, PLANS, configurationOf(["NoNormalization"]), {
    previousStage: { labels, geometry: image.geometry },
  });
  assertEquals([...result.previousStage ?? []], [0, -1, -1, -1, 2, -1, -1, -1, 1]);
});

Deno.test("no_resampling_hack keeps the cropped grid whatever the spacing", () => {
  const configuration = configurationOf(["NoNormalization"], { spacing: [3, 3, 3], resamplingData: { kind: "none" } });
  const result = preprocessCase("a", imageOf([1, 2, 2], [1, 2, 3, 4]), PLANS, configuration, {});
  assertEquals([...result.grid], [1, 2, 2]);
  assertEquals([...result.data], [1, 2, 3, 4]);
});

Deno.test("working within the image's own array gives the same result", () => {
  for (const spacing of [[1, 1, 1], [1.4, 0.7, 0.8]]) {
    for (const border of [0, 1]) {
      const shape: Vec3 = [6, 7, 8];
      const values = Array.from({ length: 2 * voxelCount(shape) }, (_, i) => {
        const x = i % 8;
        return x < border || x >= 8 - border ? 0 : (i * 7919) % 101 - 50.5;
      });
      const configuration = configurationOf(["ZScoreNormalization", "CTNormalization"], { spacing });
      const image = imageOf(shape, values, 2);
      const expected = preprocessCase("a", image, PLANS, configuration, {});
      assertEquals([...image.data], values, "without the permission the image is left as it is");
      const actual = preprocessCase("a", image, PLANS, configuration, { overwriteImage: true });
      assertEquals(actual.data, expected.data);
    }
  }
});

Deno.test("the bounding box is the tightest around nonzero voxels of any channel", () => {
  let state = 7;
  const random = () => (state = (Math.imul(1664525, state) + 1013904223) >>> 0) / 2 ** 32;
  for (let round = 0; round < 200; round++) {
    const shape: Vec3 = [1 + Math.floor(random() * 6), 1 + Math.floor(random() * 7), 1 + Math.floor(random() * 8)];
    const channels = 1 + (round % 2);
    const data = Float32Array.from(
      { length: channels * voxelCount(shape) },
      () => random() < 0.03 ? random() - 0.5 : 0,
    );
    const low = [Infinity, Infinity, Infinity];
    const high = [0, 0, 0];
    data.forEach((value, i) => {
      if (value === 0) return;
      const voxel = i % voxelCount(shape);
      const at = [Math.floor(voxel / (shape[1] * shape[2])), Math.floor(voxel / shape[2]) % shape[1], voxel % shape[2]];
      at.forEach((x, axis) => {
        low[axis] = Math.min(low[axis], x);
        high[axis] = Math.max(high[axis], x + 1);
      });
    });
    const expected = high[0] === 0 ? shape.map((size) => [0, size]) : low.map((x, axis) => [x, high[axis]]);
    assertEquals(nonzeroBoundingBox(data, channels, shape).map((range) => [...range]), expected);
  }
});

const ORDERS: readonly Vec3[] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

for (const forward of ORDERS) {
  Deno.test(`cropping with axes ${forward.join(" ")} and exporting are inverse to each other`, () => {
    const shape: Vec3 = [37, 45, 70];
    const box = [[2, 36], [3, 44], [1, 68]] as const;
    const source = Float32Array.from({ length: voxelCount(shape) }, (_, i) => i);
    const strides = contiguousStrides(shape);
    const cropped = permute([box[0][1] - box[0][0], box[1][1] - box[1][0], box[2][1] - box[2][0]], forward);
    const offset = box.reduce((sum, [low], axis) => sum + low * strides[axis], 0);
    const target = new Float32Array(voxelCount(cropped));
    copyCrop(source, { offset, strides: permute(strides, forward), shape: cropped }, target);

    const properties: CaseProperties = {
      geometry: geometryOf(shape),
      originalSpacing: [1, 1, 1],
      shapeBeforeCropping: permute(shape, forward),
      boundingBox: [box[forward[0]], box[forward[1]], box[forward[2]]],
      shapeAfterCropping: cropped,
    };
    const transposeBackward: Vec3 = [forward.indexOf(0), forward.indexOf(1), forward.indexOf(2)];
    const back = exportGeometry(properties, { transposeBackward });
    assertEquals([...back.fileShape], [...shape]);
    let wrong = 0;
    let i = 0;
    for (let a = 0; a < cropped[0]; a++) {
      for (let b = 0; b < cropped[1]; b++) {
        for (let c = 0; c < cropped[2]; c++, i++) {
          const element = back.offset + a * back.strides[0] + b * back.strides[1] + c * back.strides[2];
          if (source[element] !== target[i]) wrong++;
        }
      }
    }
    assertEquals(wrong, 0);
  });
}

Deno.test("a segmentation's negative labels are as undeclared as those above the declared ones", async () => {
  const declared = { labels: [0, 1, 2], hasRegions: false, file: "dataset.json" };
  checkDeclaredLabels(Int16Array.of(0, 1, 2), "a.nii.gz", declared);
  await assertFails(
    () => Promise.resolve(checkDeclaredLabels(Int16Array.of(0, -1, 1, 7), "a.nii.gz", declared)),
    UserError,
    "a.nii.gz",
    "does not have: -1, 7",
  );
  const [warning] = checkDeclaredLabels(Int16Array.of(0, -1), "a.nii.gz", { ...declared, hasRegions: true });
  assert(warning.includes("-1; they count as background"), warning);
});
