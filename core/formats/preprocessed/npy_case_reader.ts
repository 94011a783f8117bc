/** Reading a preprocessed case of Python's nnU-Net 2.5: boxes of <case>.npy where it is unpacked, else of the whole <case>.npz. */
import { UserError } from "../../base/errors.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import { type NpyArray, type NpyData, readNpz } from "../archive/npz.ts";
import { type ArrayCase, caseShape, openArrayCase, readCaseProperties } from "./pickled_case.ts";
import { copyIntoBox, emptyBox } from "./training_box.ts";
import { type NpyFile, openNpy } from "../archive/npy_file.ts";
import type { StoredCase, TrainingBox } from "./training_data.ts";

const DOING = "reading the preprocessed case";
const REMEDY = "run preprocess again";

/** Opens <stem>.npz, reading it whole, and <stem>.pkl. @throws UserError if one is missing or damaged */
export async function openNpzCase(stem: string): Promise<StoredCase> {
  const file = `${stem}.npz`;
  const arrays = await readNpz(file, ["data", "seg"], REMEDY);
  const data = member(arrays, "data", file);
  const seg = member(arrays, "seg", file);
  const [channels, grid] = caseShape(data.shape, seg.shape, file);
  const source: TrainingBox = { image: asImage(data.data, file), segmentation: asLabels(seg.data, file) };
  const kind = source.segmentation instanceof Int8Array ? "int8" : "int16";
  return {
    ...await readCaseProperties(`${stem}.pkl`, grid),
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
export function openNpyCase(stem: string): Promise<StoredCase> {
  return openArrayCase(stem, ".npy", openNpy, readRows);
}

/** Reads plane by plane what the box needs of each: whole rows of the planes' y range, then cuts out the columns. */
function readRows(
  { data, seg, channels, grid }: ArrayCase<NpyFile>,
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

function member(arrays: ReadonlyMap<string, NpyArray>, name: string, file: string): NpyArray {
  const array = arrays.get(name);
  if (array) return array;
  throw damaged(file, `it has no array "${name}", only ${[...arrays.keys()].join(", ") || "none"}`);
}

function asImage(data: NpyData, file: string): Float32Array {
  if (data instanceof Float32Array) return data;
  throw damaged(file, "data has to be float32");
}

function asLabels(data: NpyData, file: string): Int8Array | Int16Array {
  if (data instanceof Int8Array || data instanceof Int16Array) return data;
  throw damaged(file, "seg has to be int8 or int16");
}

function damaged(file: string, problem: string): UserError {
  return new UserError({ doing: DOING, file, problem, remedy: REMEDY });
}
