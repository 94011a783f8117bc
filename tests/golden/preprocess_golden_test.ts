/** Preprocessing against nnU-Net's own results: fixtures and the script that made them are in tests/golden/preprocess. */
import { contiguousStrides, type Vec3, voxelCount } from "../../core/base/shape.ts";
import type { AxisTable } from "../../core/engine/volume.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import type {
  Configuration,
  IntensityProperties,
  NormalizationScheme,
  Plans,
  Resampling,
} from "../../core/plan/plans.ts";
import { probabilityTables } from "../../core/preprocess/axis_tables.ts";
import { fillHoles } from "../../core/preprocess/crop.ts";
import { preprocessCase } from "../../core/preprocess/preprocess_case.ts";
import { resampleImage, resampleLabels } from "../../core/preprocess/resample.ts";
import { exportGeometry } from "../../core/preprocess/undo.ts";
import { assert, assertClose, assertEquals } from "../assert.ts";

/** Of the expected values' standard deviation; nnU-Net computes in float64 and rounds to f32. */
const TOLERANCE = 2e-6;

interface StoredArray {
  readonly offset: number;
  readonly dtype: "int16" | "int8" | "uint8" | "float32";
  readonly shape: readonly number[];
}

interface Kwargs {
  readonly is_seg: boolean;
  readonly force_separate_z: boolean | null;
  readonly order?: number;
  readonly order_z?: number;
  readonly memefficient_seg_resampling?: boolean;
}

type FunctionName = "resample_data_or_seg_to_shape" | "resample_torch_fornnunet";

interface GoldenCase {
  readonly kind: "case";
  readonly name: string;
  readonly scale: number;
  readonly spacing: Vec3;
  readonly target: readonly number[];
  readonly schemes: readonly NormalizationScheme[];
  readonly useMask: readonly boolean[];
  readonly transposeForward: Vec3;
  readonly transposeBackward: Vec3;
  readonly function: FunctionName;
  readonly dataKwargs: Kwargs;
  readonly segKwargs: Kwargs;
  readonly intensities: IntensityProperties;
  readonly image: StoredArray;
  readonly seg?: StoredArray;
  readonly expectedSeg?: StoredArray;
  readonly expected: StoredArray;
  readonly boundingBox: readonly (readonly [number, number])[];
  readonly shapeBeforeCropping: Vec3;
  readonly shapeAfterCropping: Vec3;
}

interface GoldenCall {
  readonly kind: "image" | "labels";
  readonly name: string;
  readonly scale: number;
  readonly function: FunctionName;
  readonly kwargs: Kwargs;
  readonly current: Vec3;
  readonly new: Vec3;
  readonly array: StoredArray;
  readonly expected: StoredArray;
}

interface GoldenMask {
  readonly kind: "holes";
  readonly name: string;
  readonly mask: StoredArray;
  readonly expected: StoredArray;
}

const folder = new URL("./preprocess/", import.meta.url);
const cases: readonly (GoldenCase | GoldenCall | GoldenMask)[] = JSON.parse(
  Deno.readTextFileSync(new URL("preprocess_golden.json", folder)),
);
const bytes = Deno.readFileSync(new URL("preprocess_golden.bin", folder)).buffer;

for (const golden of cases) Deno.test(...testOf(golden));

function testOf(golden: GoldenCase | GoldenCall | GoldenMask): [string, () => void] {
  switch (golden.kind) {
    case "case":
      return [`preprocessing equals nnU-Net's: ${golden.name}`, () => testCase(golden)];
    case "image":
      return [`resampling an image equals nnU-Net's: ${golden.name}`, () => testImage(golden)];
    case "labels":
      return [`resampling labels equals nnU-Net's: ${golden.name}`, () => testLabels(golden)];
    case "holes":
      return [`filling holes equals scipy's: ${golden.name}`, () => testHoles(golden)];
  }
}

function testHoles(golden: GoldenMask): void {
  const mask = Uint8Array.from(numbers(golden.mask));
  fillHoles(mask, vec3(golden.mask.shape));
  assertEquals(mask, Uint8Array.from(numbers(golden.expected)));
}

function testCase(golden: GoldenCase): void {
  const channels = golden.image.shape[0];
  const shape = vec3(golden.image.shape.slice(1));
  const data = Float32Array.from(numbers(golden.image), (value) => value * golden.scale);
  const before = data.slice();
  const geometry: ImageGeometry = {
    reader: "SimpleITKIO",
    spacing: golden.spacing,
    shape,
    sitk: { spacing: golden.spacing.toReversed(), origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
  };
  const previousStage = golden.seg &&
    { labels: { data: Int16Array.from(numbers(golden.seg)), shape: vec3(golden.seg.shape) }, geometry };
  const { plans, configuration } = plansOf(golden, channels);

  const result = preprocessCase("case", { data, channels, geometry, warnings: [] }, plans, configuration, {
    previousStage,
  });

  assertEquals(data, before, "the image is left as it was");
  assertEquals([...result.grid], golden.expected.shape.slice(1));
  assertClose(result.data, numbers(golden.expected), TOLERANCE, golden.name);
  const { properties } = result;
  assertEquals(properties.boundingBox.map((range) => [...range]), golden.boundingBox.map((range) => [...range]));
  assertEquals([...properties.shapeBeforeCropping], [...golden.shapeBeforeCropping]);
  assertEquals([...properties.shapeAfterCropping], [...golden.shapeAfterCropping]);
  assertEquals([...properties.originalSpacing], golden.transposeForward.map((axis) => golden.spacing[axis]));
  if (golden.expectedSeg) {
    assert(result.previousStage !== undefined);
    assertEquals(result.previousStage, Int16Array.from(numbers(golden.expectedSeg)));
  } else assertEquals(result.previousStage, undefined);

  const back = exportGeometry(properties, plans);
  assertEquals([...back.fileShape], [...shape]);
  const strides = contiguousStrides(shape);
  const corner = golden.boundingBox.reduce((sum, [low], axis) => sum + low * strides[golden.transposeForward[axis]], 0);
  assertEquals(back.offset, corner);
  assertEquals([...back.strides], golden.transposeForward.map((axis) => strides[axis]));
}

function testImage(golden: GoldenCall): void {
  const [channels, ...grid] = golden.array.shape;
  const from = vec3(grid);
  const to = vec3(golden.expected.shape.slice(1));
  const resampling = resamplingOf(golden.function, golden.kwargs);
  const data = Float32Array.from(numbers(golden.array), (value) => value * golden.scale);
  const plan = { resampling, currentSpacing: golden.current, newSpacing: golden.new };
  const expected = numbers(golden.expected);
  assertClose(resampleImage(data, channels, from, to, plan), expected, TOLERANCE, "resampleImage");

  const tables = probabilityTables(resampling, from, to, golden.current, golden.new);
  if (tables.kind === "tables") {
    const size = voxelCount(from);
    for (let c = 0; c < channels; c++) {
      const channel = data.subarray(c * size, (c + 1) * size);
      const wanted = expected.slice(c * voxelCount(to), (c + 1) * voxelCount(to));
      assertClose(applyTables(channel, from, to, tables.tables), wanted, TOLERANCE, `tables, channel ${c}`);
    }
  } else {
    const { order = 1, order_z = 0 } = golden.kwargs;
    assert(order > 1 || order_z > 1, "only orders above 1 need the whole volume");
  }
}

/** The definition of the tables, voxel by voxel. */
function applyTables(
  data: Float32Array,
  from: Vec3,
  to: Vec3,
  [tz, ty, tx]: readonly [AxisTable, AxisTable, AxisTable],
): Float64Array {
  const result = new Float64Array(voxelCount(to));
  const ends = (table: AxisTable, j: number) =>
    [[table.first[j], 1 - table.fraction[j]], [table.second[j], table.fraction[j]]] as const;
  let out = 0;
  for (let z = 0; z < to[0]; z++) {
    for (let y = 0; y < to[1]; y++) {
      for (let x = 0; x < to[2]; x++, out++) {
        for (const [iz, wz] of ends(tz, z)) {
          for (const [iy, wy] of ends(ty, y)) {
            for (const [ix, wx] of ends(tx, x)) {
              result[out] += wz * wy * wx * data[(iz * from[1] + iy) * from[2] + ix];
            }
          }
        }
      }
    }
  }
  return result;
}

function testLabels(golden: GoldenCall): void {
  const from = vec3(golden.array.shape);
  const to = vec3(golden.expected.shape);
  const resampling = resamplingOf(golden.function, golden.kwargs);
  const plan = { resampling, currentSpacing: golden.current, newSpacing: golden.new };
  const actual = resampleLabels(Int16Array.from(numbers(golden.array)), from, to, plan);
  const expected = Int16Array.from(numbers(golden.expected));
  const wrong = expected.reduce((count, label, i) => count + (label === actual[i] ? 0 : 1), 0);
  assertEquals(wrong, 0, `${wrong} of ${expected.length} labels differ`);
}

function plansOf(golden: GoldenCase, channels: number): { plans: Plans; configuration: Configuration } {
  const configuration: Configuration = {
    name: "c",
    dimensions: golden.target.length === 2 ? 2 : 3,
    patchSize: [8, 8, 8],
    spacing: golden.target,
    batchSize: 2,
    normalizationSchemes: golden.schemes,
    useMaskForNorm: golden.useMask,
    resamplingData: resamplingOf(golden.function, golden.dataKwargs),
    resamplingSeg: resamplingOf(golden.function, golden.segKwargs),
    resamplingProbabilities: resamplingOf(golden.function, { ...golden.dataKwargs, order: 1 }),
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
  };
  const plans: Plans = {
    datasetName: "Dataset001_x",
    plansName: "x",
    reader: "SimpleITKIO",
    transposeForward: golden.transposeForward,
    transposeBackward: golden.transposeBackward,
    intensityProperties: Array.from({ length: channels }, () => golden.intensities),
    configurationNames: ["c"],
    json: {},
  };
  return { plans, configuration };
}

function resamplingOf(name: FunctionName, kwargs: Kwargs): Resampling {
  if (name === "resample_torch_fornnunet") {
    return {
      kind: "torch",
      isSeg: kwargs.is_seg,
      forceSeparateZ: kwargs.force_separate_z,
      memoryEfficientSeg: kwargs.memefficient_seg_resampling ?? false,
      separateZThreshold: 3,
    };
  }
  return {
    kind: "spline",
    isSeg: kwargs.is_seg,
    order: kwargs.order ?? 1,
    orderZ: kwargs.order_z ?? 0,
    forceSeparateZ: kwargs.force_separate_z,
  };
}

function numbers(stored: StoredArray): Float32Array {
  const count = stored.shape.reduce((product, size) => product * size, 1);
  switch (stored.dtype) {
    case "float32":
      return new Float32Array(bytes, stored.offset, count);
    case "int16":
      return Float32Array.from(new Int16Array(bytes, stored.offset, count));
    case "int8":
      return Float32Array.from(new Int8Array(bytes, stored.offset, count));
    case "uint8":
      return Float32Array.from(new Uint8Array(bytes, stored.offset, count));
  }
}

function vec3(shape: readonly number[]): Vec3 {
  assertEquals(shape.length, 3);
  return [shape[0], shape[1], shape[2]];
}
