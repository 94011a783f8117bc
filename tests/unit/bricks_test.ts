import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { brickShape, writeBricks } from "../../core/formats/preprocessed/bricks.ts";
import { openBricks } from "../../core/formats/preprocessed/bricks_reader.ts";
import { writeNpyCase } from "../../core/formats/preprocessed/npy_case.ts";
import { openNpyCase } from "../../core/formats/preprocessed/npy_case_reader.ts";
import type { StoredCase, TrainingData } from "../../core/formats/preprocessed/training_data.ts";
import { checkFreeDisk, forecastCase } from "../../core/preprocess/preprocess_dataset_forecast.ts";
import { preprocessTrainingCase } from "../../core/preprocess/training_case.ts";
import type { Configuration, Plans } from "../../core/plan/plans.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const GEOMETRY = { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape: [1, 1, 1] } as const;

/** Every voxel has a value of its own. */
function numbered(grid: Vec3, channels: number, wide: boolean): TrainingData {
  const voxels = voxelCount(grid);
  const label = (i: number) => (i * 7) % (wide ? 1000 : 100) - 1;
  return {
    image: Float32Array.from({ length: channels * voxels }, (_, i) => i + 1),
    channels,
    grid,
    segmentation: wide
      ? Int16Array.from({ length: voxels }, (_, i) => label(i))
      : Int8Array.from({ length: voxels }, (_, i) => label(i)),
    classLocations: [
      { key: { kind: "label", labels: [1] }, voxels: Uint32Array.of(5, 3, voxels - 1) },
      { key: { kind: "region", labels: [1, 2] }, voxels: new Uint32Array(0) },
    ],
    properties: {
      geometry: GEOMETRY,
      shapeBeforeCropping: grid,
      boundingBox: grid.map((size) => [0, size] as const),
      shapeAfterCropping: grid,
    },
  };
}

/** Reads boxes inside, over every border and outside, and compares them voxel by voxel with the arrays. */
async function checkBoxes(stored: StoredCase, data: TrainingData): Promise<void> {
  const [depth, height, width] = data.grid;
  const boxes: readonly (readonly [Vec3, Vec3])[] = [
    [[0, 0, 0], data.grid],
    [[depth >> 1, height - 3, width >> 2], [1, 2, width >> 1]],
    [[-2, -3, -4], [5, 6, 7]],
    [[depth - 2, height - 1, width - 5], [4, 3, 9]],
    [[-1, -1, -1], [depth + 2, height + 2, width + 2]],
    [[0, 0, width + 3], [1, 2, 3]],
    [[0, -9, 0], [1, 2, 3]],
  ];
  for (const [origin, size] of boxes) {
    const { image, segmentation } = await stored.readBox(origin, size);
    let wrong = 0;
    let at = 0;
    for (let z = origin[0]; z < origin[0] + size[0]; z++) {
      for (let y = origin[1]; y < origin[1] + size[1]; y++) {
        for (let x = origin[2]; x < origin[2] + size[2]; x++, at++) {
          const inside = z >= 0 && z < depth && y >= 0 && y < height && x >= 0 && x < width;
          const from = (z * height + y) * width + x;
          if (segmentation[at] !== (inside ? data.segmentation[from] : -1)) wrong++;
          for (let c = 0; c < data.channels; c++) {
            const expected = inside ? data.image[c * voxelCount(data.grid) + from] : 0;
            if (image[c * voxelCount(size) + at] !== expected) wrong++;
          }
        }
      }
    }
    assertEquals(wrong, 0, `box ${size} at ${origin}`);
    assertEquals(image.length, data.channels * voxelCount(size));
  }
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const dimensions of [2, 3] as const) {
  for (const wide of [false, true]) {
    Deno.test(`boxes of bricks are the arrays' (${dimensions}-D, ${wide ? "int16" : "int8"})`, () =>
      inFolder(async (folder) => {
        const data = numbered(dimensions === 3 ? [70, 65, 131] : [3, 520, 33], wide ? 1 : 2, wide);
        const file = join(folder, "a.bricks");
        const bytes = await writeBricks(file, data, dimensions);
        assertEquals((await Deno.stat(file)).size, bytes);
        using stored = openBricks(file);
        assertEquals(stored.classLocations, data.classLocations);
        assertEquals(stored.properties.spacing, GEOMETRY.spacing);
        await checkBoxes(stored, data);
      }));
  }
}

Deno.test("boxes of npy files are the arrays'", () =>
  inFolder(async (folder) => {
    for (const wide of [false, true]) {
      const data = numbered([5, 9, 11], 2, wide);
      await writeNpyCase(join(folder, "a"), data);
      using stored = await openNpyCase(join(folder, "a"));
      assertEquals(stored.classLocations, data.classLocations);
      await checkBoxes(stored, data);
    }
  }));

Deno.test("bricks divide the grid evenly and are flat in 2-D", () => {
  assertEquals(brickShape([70, 64, 1], 3), [35, 64, 1]);
  assertEquals(brickShape([200, 129, 36], 3), [50, 43, 36]);
  assertEquals(brickShape([9, 513, 400], 2), [1, 257, 400]);
});

Deno.test("bricks that can't be written leave no file", () =>
  inFolder(async (folder) => {
    const file = join(folder, "missing", "a.bricks");
    await assertFails(() => writeBricks(file, numbered([2, 2, 2], 1, false), 3), UserError, file);
  }));

const PLANS = {
  reader: "SimpleITKIO",
  transposeForward: [0, 1, 2],
  transposeBackward: [0, 1, 2],
  intensityProperties: [],
} as unknown as Plans;
const CONFIGURATION = {
  dimensions: 3,
  spacing: [1, 1, 1],
  normalizationSchemes: ["NoNormalization"],
  useMaskForNorm: [false],
  resamplingData: { kind: "none" },
  resamplingSeg: { kind: "none" },
} as unknown as Configuration;

Deno.test("a segmentation is int8 up to label 127, and int16 beyond", () => {
  for (const [largest, type] of [[127, Int8Array], [128, Int16Array], [300, Int16Array]] as const) {
    const image = {
      data: Float32Array.of(1, 2, 0, 4),
      channels: 1,
      geometry: { reader: "SimpleITKIO", spacing: [1, 1, 1], shape: [1, 1, 4] } as const,
      warnings: [],
    };
    const labels = { data: Int16Array.of(0, largest, 0, 1), shape: [1, 1, 4] } as const;
    const { segmentation } = preprocessTrainingCase("a", image, labels, PLANS, CONFIGURATION, [], { nan: "refuse" });
    assert(segmentation instanceof type);
    assertEquals(Array.from(segmentation), [0, largest, -1, 1]);
  }
});

Deno.test("a disk with too little space is refused before the work, with both figures", () =>
  inFolder(async (folder) => {
    assertEquals(checkFreeDisk(folder, 1, false), null);
    await assertFails(() => checkFreeDisk(folder, 1e18, false), UserError, "909495 TiB", "are free", folder);
    await assertFails(() => checkFreeDisk(folder, 1e18, true), UserError, "before compression");
  }));

Deno.test("a case whose header can't be read does not stop the forecast", () =>
  inFolder(async (folder) => {
    const file = join(folder, "a_0000.nii.gz");
    await Deno.writeTextFile(file, "nothing");
    const { memory, disk } = await forecastCase({ id: "a", images: [file], label: file }, PLANS, [CONFIGURATION]);
    assert(memory > 0 && disk.length === 1);
  }));
