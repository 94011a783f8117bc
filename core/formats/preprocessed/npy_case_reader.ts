/** Reading a preprocessed case of Python's nnU-Net 2.5: boxes of <case>.npy where it is unpacked, else of the whole <case>.npz. */
import { UserError } from "../../base/errors.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import { isNumpyArray, type NumpyArray } from "../torch/pickle_globals.ts";
import { type NpyArray, type NpyData, readNpz } from "../archive/npz.ts";
import { readPickledProperties } from "./pickled_properties.ts";
import { copyIntoBox, emptyBox } from "./training_box.ts";
import { type NpyFile, openNpy } from "../archive/npy_file.ts";
import type { ClassKey, ClassLocations, StoredCase, StoredProperties, TrainingBox } from "./training_data.ts";

const DOING = "reading the preprocessed case";
const REMEDY = "run preprocess again";

/** Opens <stem>.npz, reading it whole, and <stem>.pkl. @throws UserError if one is missing or damaged */
export async function openNpzCase(stem: string): Promise<StoredCase> {
  const file = `${stem}.npz`;
  const arrays = await readNpz(file, ["data", "seg"], REMEDY);
  const data = member(arrays, "data", file);
  const seg = member(arrays, "seg", file);
  const [channels, grid] = shapesOf(data.shape, seg.shape, file);
  const source: TrainingBox = { image: asImage(data.data, file), segmentation: asLabels(seg.data, file) };
  const kind = source.segmentation instanceof Int8Array ? "int8" : "int16";
  return {
    ...await readProperties(`${stem}.pkl`, grid),
    file,
    channels,
    grid,
    // deno-lint-ignore require-await -- the interface is asynchronous
    readBox: async (origin, size) => {
      const box = emptyBox(channels, size, kind);
      copyIntoBox(source, channels, [0, 0, 0], grid, box, origin, size);
      return box;
    },
    [Symbol.dispose]: () => {},
  };
}

/** Opens <stem>.npy, <stem>_seg.npy and <stem>.pkl; rows are read as they are needed. @throws UserError as openNpzCase */
export async function openNpyCase(stem: string): Promise<StoredCase> {
  using stack = new DisposableStack();
  const data = stack.use(openNpy(`${stem}.npy`, DOING));
  const seg = stack.use(openNpy(`${stem}_seg.npy`, DOING));
  const [channels, grid] = shapesOf(data.header.shape, seg.header.shape, data.file);
  requireType(data, ["<f4"]);
  requireType(seg, ["|i1", "<i2"]);
  const kind = seg.header.dtype === "|i1" ? "int8" : "int16";
  const common = await readProperties(`${stem}.pkl`, grid);
  const files = stack.move();
  return {
    ...common,
    file: data.file,
    channels,
    grid,
    // deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
    readBox: async (origin, size) => {
      const box = emptyBox(channels, size, kind);
      readRows(data, seg, channels, grid, box, origin, size);
      return box;
    },
    [Symbol.dispose]: () => files.dispose(),
  };
}

/** Reads plane by plane what the box needs of each: whole rows of the planes' y range, then cuts out the columns. */
function readRows(
  data: NpyFile,
  seg: NpyFile,
  channels: number,
  grid: Vec3,
  box: TrainingBox,
  origin: Vec3,
  size: Vec3,
): void {
  const low = (axis: number) => Math.max(0, origin[axis]);
  const high = (axis: number) => Math.min(grid[axis], origin[axis] + size[axis]);
  const rows = high(1) - low(1);
  if (rows <= 0 || high(2) <= low(2)) return;
  const part: Vec3 = [1, rows, grid[2]];
  const voxels = voxelCount(part);
  const image = new Float32Array(channels * voxels);
  const segmentation = box.segmentation instanceof Int8Array ? new Int8Array(voxels) : new Int16Array(voxels);
  for (let z = low(0); z < high(0); z++) {
    const start = (z * grid[1] + low(1)) * grid[2];
    for (let c = 0; c < channels; c++) {
      data.read(c * voxelCount(grid) + start, image.subarray(c * voxels, (c + 1) * voxels));
    }
    seg.read(start, segmentation);
    copyIntoBox({ image, segmentation }, channels, [z, low(1), 0], part, box, origin, size);
  }
}

function requireType({ file, header }: NpyFile, types: readonly string[]): void {
  if (types.includes(header.dtype)) return;
  throw damaged(file, `its type is ${header.dtype}, ${types.join(" or ")} is needed`);
}

function member(arrays: ReadonlyMap<string, NpyArray>, name: string, file: string): NpyArray {
  const array = arrays.get(name);
  if (array) return array;
  throw damaged(file, `it has no array "${name}", only ${[...arrays.keys()].join(", ") || "none"}`);
}

function shapesOf(data: readonly number[], seg: readonly number[], file: string): [number, Vec3] {
  const [channels, z, y, x] = data;
  if (
    data.length === 4 && !data.includes(0) && seg.length === 4 && seg[0] === 1 && seg[1] === z && seg[2] === y &&
    seg[3] === x
  ) {
    return [channels, [z, y, x]];
  }
  const shapes = `data is ${data.join(" x ")}, seg ${seg.join(" x ")}`;
  throw damaged(file, `${shapes}; channels x z x y x x and 1 x z x y x x are needed`);
}

function asImage(data: NpyData, file: string): Float32Array {
  if (data instanceof Float32Array) return data;
  throw damaged(file, "data has to be float32");
}

function asLabels(data: NpyData, file: string): Int8Array | Int16Array {
  if (data instanceof Int8Array || data instanceof Int16Array) return data;
  throw damaged(file, "seg has to be int8 or int16");
}

async function readProperties(
  file: string,
  grid: Vec3,
): Promise<{ readonly properties: StoredProperties; readonly classLocations: readonly ClassLocations[] }> {
  const { properties, members } = await readPickledProperties(file, DOING, REMEDY);
  return { properties, classLocations: classLocations(members.get("class_locations"), grid, file) };
}

function classLocations(value: unknown, grid: Vec3, file: string): readonly ClassLocations[] {
  if (!(value instanceof Map)) throw damaged(file, "class_locations is missing");
  return Array.from(value, ([key, rows]) => ({ key: classKey(key, file), voxels: voxelsOf(rows, grid, file) }));
}

function classKey(key: unknown, file: string): ClassKey {
  const labels: readonly unknown[] = Array.isArray(key) ? key : [key];
  if (labels.length === 0 || labels.length > MAX_LABELS || !labels.every(isLabel)) {
    throw damaged(file, "class_locations has a key that is no label");
  }
  if (!Array.isArray(key)) return { kind: "label", labels };
  return { kind: labels.includes(0) ? "allLabels" : "region", labels };
}

/** Labels are stored in 16 bits. */
const MAX_LABELS = 65536;

function isLabel(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) < MAX_LABELS;
}

/** Rows (0, z, y, x) as indices. Upstream's arrays may lie column by column. */
function voxelsOf(rows: unknown, [depth, height, width]: Vec3, file: string): Uint32Array {
  if (Array.isArray(rows) && rows.length === 0) return new Uint32Array(0);
  const fail = () => damaged(file, "class_locations holds something else than arrays of voxels");
  if (!isNumpyArray(rows) || rows.type?.code !== "i8" || rows.type.byteOrder === ">") throw fail();
  const { data, shape, fortranOrder }: NumpyArray = rows;
  const [count] = shape;
  if (shape.length !== 2 || shape[1] !== 4 || !(data instanceof Uint8Array) || data.length !== 32 * count) throw fail();
  const words = new Int32Array(data.slice().buffer);
  const voxels = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const low = (column: number) => 2 * (fortranOrder ? column * count + i : 4 * i + column);
    const [z, y, x] = [words[low(1)], words[low(2)], words[low(3)]];
    // The high halves of the numbers: not 0 in those that are negative or beyond any image.
    const high = words[low(1) + 1] | words[low(2) + 1] | words[low(3) + 1];
    if (!(high === 0 && z >= 0 && z < depth && y >= 0 && y < height && x >= 0 && x < width)) {
      throw damaged(file, "class_locations lie outside the image");
    }
    voxels[i] = (z * height + y) * width + x;
  }
  return voxels;
}

function damaged(file: string, problem: string): UserError {
  return new UserError({ doing: DOING, file, problem, remedy: REMEDY });
}
