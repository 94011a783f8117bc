/** Reading a preprocessed case of Python's nnU-Net 2.5: boxes of <case>.npy where it is unpacked, else of the whole <case>.npz. */
import { UserError } from "../../base/errors.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { Affine } from "../image/image.ts";
import { isNumpyArray, type NumpyArray } from "../torch/pickle_globals.ts";
import { unpickle } from "../torch/pickle.ts";
import { type NpyArray, type NpyData, readNpz } from "../archive/npz.ts";
import { copyIntoBox, emptyBox } from "./training_box.ts";
import { type NpyFile, openNpy } from "../archive/npy_file.ts";
import type { ClassKey, ClassLocations, StoredCase, StoredProperties, TrainingBox } from "./training_data.ts";

const DOING = "reading the preprocessed case";

/** Opens <stem>.npz, reading it whole, and <stem>.pkl. @throws UserError if one is missing or damaged */
export async function openNpzCase(stem: string): Promise<StoredCase> {
  const file = `${stem}.npz`;
  const arrays = await readNpz(file);
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
  if (data.length === 4 && seg.length === 4 && seg[0] === 1 && seg[1] === z && seg[2] === y && seg[3] === x) {
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
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw damaged(file, "there is no such file; it belongs to the arrays");
  }
  const { value } = unpickle(bytes, { file, doing: DOING });
  const get = (name: string) => (value instanceof Map ? value.get(name) : undefined);
  const three = (name: string): Vec3 => {
    const list = get(name);
    if (Array.isArray(list) && list.length === 3 && list.every((n) => typeof n === "number")) {
      return [list[0], list[1], list[2]];
    }
    throw damaged(file, `${name} has to be three numbers`);
  };
  const box = get("bbox_used_for_cropping");
  if (!Array.isArray(box) || box.length !== 3 || box.some((range) => !Array.isArray(range) || range.length !== 2)) {
    throw damaged(file, "bbox_used_for_cropping has to be three ranges");
  }
  return {
    properties: {
      spacing: three("spacing"),
      shapeBeforeCropping: three("shape_before_cropping"),
      boundingBox: box.map(([low, high]) => [Number(low), Number(high)] as const),
      shapeAfterCropping: three("shape_after_cropping_and_before_resampling"),
      geometry: readGeometry(get("sitk_stuff"), get("nibabel_stuff"), file),
    },
    classLocations: classLocations(get("class_locations"), grid, file),
  };
}

/** `sitk_stuff` or `nibabel_stuff`; images of other readers have neither. */
function readGeometry(sitk: unknown, nibabel: unknown, file: string): StoredProperties["geometry"] {
  if (sitk instanceof Map) {
    const numbers = (name: string): number[] => {
      const list: unknown = sitk.get(name);
      if (Array.isArray(list) && list.every((n) => typeof n === "number")) return list;
      throw damaged(file, `sitk_stuff.${name} has to be numbers`);
    };
    return { sitk: { spacing: numbers("spacing"), origin: numbers("origin"), direction: numbers("direction") } };
  }
  if (nibabel instanceof Map) {
    const original = affineOf(nibabel.get("original_affine"));
    const reoriented = affineOf(nibabel.get("reoriented_affine"));
    if (!original) throw damaged(file, "nibabel_stuff.original_affine has to be 4 x 4 numbers");
    return { nibabel: { originalAffine: original, ...(reoriented && { reorientedAffine: reoriented }) } };
  }
  return {};
}

/** A 4 x 4 array of float64. */
function affineOf(array: unknown): Affine | undefined {
  if (!isNumpyArray(array) || array.type?.code !== "f8" || array.shape.join() !== "4,4") return undefined;
  if (!(array.data instanceof Uint8Array)) return undefined;
  const values = new Float64Array(array.data.slice().buffer);
  const at = (row: number, column: number) => values[array.fortranOrder ? 4 * column + row : 4 * row + column];
  return [0, 1, 2, 3].map((row) => [at(row, 0), at(row, 1), at(row, 2), at(row, 3)] as const);
}

function classLocations(value: unknown, grid: Vec3, file: string): readonly ClassLocations[] {
  if (!(value instanceof Map)) throw damaged(file, "class_locations is missing");
  return Array.from(value, ([key, rows]) => ({ key: classKey(key, file), voxels: voxelsOf(rows, grid, file) }));
}

function classKey(key: unknown, file: string): ClassKey {
  if (typeof key === "number") return { kind: "label", labels: [key] };
  if (Array.isArray(key) && key.every((label) => typeof label === "number")) {
    return { kind: key.includes(0) ? "allLabels" : "region", labels: key };
  }
  throw damaged(file, "class_locations has a key that is no label");
}

/** Rows (0, z, y, x) as indices. Upstream's arrays may lie column by column. */
function voxelsOf(rows: unknown, [depth, height, width]: Vec3, file: string): Uint32Array {
  if (Array.isArray(rows) && rows.length === 0) return new Uint32Array(0);
  const fail = () => damaged(file, "class_locations holds something else than arrays of voxels");
  if (!isNumpyArray(rows) || rows.type?.code !== "i8" || rows.shape[1] !== 4) throw fail();
  const { data, shape: [count], fortranOrder }: NumpyArray = rows;
  if (!(data instanceof Uint8Array) || data.length !== 32 * count) throw fail();
  const words = new Int32Array(data.slice().buffer);
  const at = (i: number, column: number) => words[2 * (fortranOrder ? column * count + i : 4 * i + column)];
  const voxels = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const [z, y, x] = [at(i, 1), at(i, 2), at(i, 3)];
    if (!(z >= 0 && z < depth && y >= 0 && y < height && x >= 0 && x < width)) {
      throw damaged(file, "class_locations lie outside the image");
    }
    voxels[i] = (z * height + y) * width + x;
  }
  return voxels;
}

function damaged(file: string, problem: string): UserError {
  return new UserError({ doing: DOING, file, problem, remedy: "run preprocess again" });
}
