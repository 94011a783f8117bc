/** What a case takes in memory is known from sizes alone, and judged before anything is allocated. */
import { allocationError, isAllocationFailure } from "../../core/base/allocation.ts";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { type MemoryAllowance, requireRoom, shareMemory } from "../../core/base/memory_allowance.ts";
import { probeCase, readCase } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import type { Configuration } from "../../core/plan/plans.ts";
import {
  type CaseGrids,
  isBeyondAnyMemory,
  preprocessingBytes,
  readingBytes,
  requireGrid,
  targetGrid,
} from "../../core/preprocess/case_memory.ts";
import { preprocessCase } from "../../core/preprocess/preprocess_case.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { makeModel, randomNumbers } from "./predict_fixture.ts";

const LIMITED: MemoryAllowance = { limit: 2 ** 30, taken: 150 * 2 ** 20, isTheMachines: false };
const SPLINES = { resamplingData: { kind: "spline", order: 3, orderZ: 0 } } as unknown as Configuration;

function gridsOf(cropped: Vec3, spacing: Vec3, target: Vec3, channels = 1): CaseGrids {
  const configuration = { ...SPLINES, spacing: target } as Configuration;
  return { channels, file: cropped, cropped, spacing, ...targetGrid(cropped, spacing, configuration) };
}

Deno.test("a voxel size in micrometres is refused with both spacings, the size that would result and the likely mistake", async () => {
  const grids = gridsOf([31, 50, 36], [1000, 1000, 1000], [1, 1, 1]);
  assert(isBeyondAnyMemory(grids));
  await assertFails(
    () => requireGrid(grids, 0, undefined),
    UserError,
    "31 x 50 x 36 voxels of 1000 x 1000 x 1000 mm become 31000 x 50000 x 36000 at the model's 1 x 1 x 1 mm",
    "micrometres",
    "1 x 1 x 1 mm then",
  );
});

Deno.test("a voxel size of 1e30 mm, and one of metres, are refused by what they would come to", async () => {
  const huge = gridsOf([31, 50, 36], [1e30, 1e30, 1e30], [1, 1, 1]);
  await assertFails(() => requireGrid(huge, 0, undefined), UserError, "3.10e+31", "4,294,967,295 voxels");
  const metres = gridsOf([31, 50, 36], [0.001, 0.001, 0.001], [1, 1, 1]);
  await assertFails(
    () => requireGrid(metres, 0, undefined),
    UserError,
    "become 0 x 0 x 0",
    "metres",
    "1 x 1 x 1 mm then",
  );
});

Deno.test("a grid of which one axis is beyond reason is refused, whatever it takes", () => {
  assert(isBeyondAnyMemory({ grid: [1, 1, 2 ** 20 + 1], channels: 1 }));
  assert(!isBeyondAnyMemory({ grid: [1, 1, 2 ** 20], channels: 1 }));
  assert(isBeyondAnyMemory({ grid: [2 ** 10, 2 ** 11, 2 ** 11], channels: 1 }));
  assert(!isBeyondAnyMemory({ grid: [2 ** 10, 2 ** 11, 2 ** 10], channels: 1 }));
  assert(isBeyondAnyMemory({ grid: [2 ** 10, 2 ** 11, 2 ** 10], channels: 2 }));
});

Deno.test("what does not fit the limit is refused with what it takes, what the program has, and a limit that does", async () => {
  const grids = gridsOf([100, 100, 100], [2, 2, 2], [0.3, 0.3, 0.3]);
  const bytes = 4 * voxelCount(grids.grid);
  await assertFails(
    () => requireGrid(grids, bytes, LIMITED),
    UserError,
    "667 x 667 x 667",
    "which takes 1.1 GiB, and 1 GiB may be used (--max-memory), of which the program has 150 MiB",
    `--max-memory ${Math.ceil(bytes / 2 ** 20) + 150}M`,
  );
  requireGrid(grids, bytes, { ...LIMITED, limit: bytes + LIMITED.taken });
  await assertFails(
    () => requireRoom({ ...LIMITED, isTheMachines: true }, 2 ** 31, "it takes", { doing: "reading" }),
    UserError,
    "free on this machine",
    "Close other programs",
  );
});

Deno.test("the bytes of a case follow from its arrays", () => {
  const grids = gridsOf([10, 20, 30], [1, 1, 1], [0.5, 0.5, 0.5], 2);
  const plain = { labelled: false, masked: false, overwrites: false, inPlace: true, copies: false };
  const configuration = { ...SPLINES, resamplingSeg: { kind: "spline", order: 1, orderZ: 0 } } as Configuration;
  const small = 8 * 2 ** 20;
  const [read, made] = [6000, 48000];
  // Image, result, one cropped channel.
  assertEquals(preprocessingBytes(grids, plain, configuration), small + 8 * read + 8 * made + 4 * read);
  // The channel is cropped where it is.
  assertEquals(preprocessingBytes(grids, { ...plain, overwrites: true }, configuration), small + 8 * read + 8 * made);
  // The segmentation comes last: result, itself cropped, itself resampled, and what the image holds if it must stay.
  const labelled = { ...plain, labelled: true };
  assertEquals(preprocessingBytes(grids, labelled, configuration), small + 10 * read + 8 * made + 2 * read + 2 * made);
  const overwrites = { ...labelled, overwrites: true };
  assertEquals(preprocessingBytes(grids, overwrites, configuration), small + 8 * made + 2 * read + 2 * made);
});

Deno.test("a case is judged by its headers before its voxels are read", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "a.nii.gz");
    const sitk = { spacing: [1, 1, 1], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
    const geometry = { reader: "SimpleITKIO", spacing: [1, 1, 1], shape: [8, 512, 512], sitk } as const;
    const voxels = voxelCount(geometry.shape);
    const data = Uint8Array.from(randomNumbers(voxels, 1), (value) => 100 + 100 * value);
    await writeLabels("SimpleITKIO", file, { data, shape: geometry.shape }, geometry);
    const headers = await probeCase("SimpleITKIO", [file, file]);
    assertEquals([headers.channels, headers.geometry.shape], [2, geometry.shape]);
    assertEquals(readingBytes(headers, false), 8 * voxels + headers.bufferBytes);
    // A file with a wrong checksum fails by what is judged first.
    const bytes = await Deno.readFile(file);
    bytes[bytes.length - 8] ^= 1;
    await Deno.writeFile(file, bytes);
    const judge = () => {
      throw new UserError({ doing: "judging", problem: "too large" });
    };
    await assertFails(() => readCase("SimpleITKIO", [file], { judge }), UserError, "too large");
    await assertFails(() => readCase("SimpleITKIO", [file]), UserError, "a.nii.gz");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an image whose array may be overwritten gives the same result, and the array back", () => {
  const { plans, configuration } = makeModel({ patch: [4, 4, 4] });
  const shape: Vec3 = [6, 7, 8];
  const image = () => ({
    data: Float32Array.from({ length: 2 * voxelCount(shape) }, (_, i) => (i % 8 === 0 ? 0 : i % 13)),
    channels: 1,
    geometry: { reader: "SimpleITKIO", spacing: [2, 1, 1], shape } as const,
    warnings: [],
  });
  const one = { ...image(), data: image().data.subarray(0, voxelCount(shape)) };
  const kept = preprocessCase("a", one, plans, configuration, {});
  const two = image();
  const owned = { ...two, data: two.data.slice(0, voxelCount(shape)) };
  const overwritten = preprocessCase("a", owned, plans, configuration, { overwriteImage: true });
  assertEquals(overwritten.data, kept.data);
  assertEquals(overwritten.grid, kept.grid);
  assertEquals(owned.data.length, owned.data.buffer === overwritten.data.buffer ? voxelCount(shape) : 0);
  assert(one.data.length > 0, "an array that is not given stays");
});

Deno.test("what the runtime says of memory it has not got is an error of the case; other errors stay what they are", () => {
  const refused = [() => new Float32Array(2 ** 52), () => new ArrayBuffer(1e17), () => new Array(1e10)];
  for (const allocate of refused) {
    let thrown: unknown;
    try {
      allocate();
    } catch (error) {
      thrown = error;
    }
    assert(isAllocationFailure(thrown), String(thrown));
    const error = allocationError(thrown, { doing: "preparing the case", caseId: "a" });
    assert(error instanceof UserError && error.message.includes("case a") && error.message.includes("memory"));
  }
  const defect = new RangeError("index 7 is out of bounds");
  assertEquals(allocationError(defect, { doing: "preparing the case" }), defect);
});

Deno.test("a narrow limit leaves fewer threads, and the run's own share is taken from it", () => {
  const resident = Deno.memoryUsage().rss;
  const narrow = shareMemory(resident + 200 * 2 ** 20, 8);
  assert(narrow.threads >= 1 && narrow.threads <= 2, `${narrow.threads} threads`);
  assert(narrow.memory < 200 * 2 ** 20 && narrow.memory > 50 * 2 ** 20, `${narrow.memory} bytes`);
  const none = shareMemory(2 ** 20, 8);
  assertEquals([none.threads, none.memory], [1, 0]);
  const wide = shareMemory(resident + 2 ** 33, 8);
  assertEquals(wide.threads, 8);
  assertEquals(shareMemory(undefined, 8).threads, 8);
});
