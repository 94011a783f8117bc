/** What Python's nnU-Net keeps of a preprocessed case beside its arrays: <case>.pkl with properties and class locations. */
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import { isNumpyArray, type NumpyArray } from "../torch/pickle_globals.ts";
import { readPickledProperties } from "./pickled_properties.ts";
import { emptyBox } from "./training_box.ts";
import type { ClassKey, ClassLocations, StoredCase, StoredProperties, TrainingBox } from "./training_data.ts";

const DOING = "reading the preprocessed case";
const REMEDY = "run preprocess again";

/** A file of one array. */
interface ArrayFile extends Disposable {
  readonly file: string;
  readonly header: { readonly shape: readonly number[]; readonly dtype: string };
}

/** A case's two files, whose boxes are read. */
export interface ArrayCase<F> {
  readonly data: F;
  readonly seg: F;
  readonly channels: number;
  readonly grid: Vec3;
}

/**
 * Opens <stem><ending>, <stem>_seg<ending> and <stem>.pkl.
 * @param open Opens one file. @param fill Fills a box at `origin` with what of it lies in the image
 * @throws UserError if a file is missing or damaged
 */
export async function openArrayCase<F extends ArrayFile>(
  stem: string,
  ending: string,
  open: (path: string, doing: string, remedy: string) => F,
  fill: (files: ArrayCase<F>, box: TrainingBox, origin: Vec3, size: Vec3) => void,
): Promise<StoredCase> {
  using stack = new DisposableStack();
  const data = stack.use(open(stem + ending, DOING, REMEDY));
  const seg = stack.use(open(`${stem}_seg${ending}`, DOING, REMEDY));
  const [channels, grid] = caseShape(data.header.shape, seg.header.shape, data.file);
  requireType(data, ["<f4"]);
  requireType(seg, ["|i1", "<i2"]);
  const kind = seg.header.dtype === "|i1" ? "int8" : "int16";
  const common = await readCaseProperties(`${stem}.pkl`, grid);
  const files = stack.move();
  return {
    ...common,
    file: data.file,
    channels,
    grid,
    // deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
    readBox: async (origin, size) => {
      const box = emptyBox(channels, size, kind);
      fill({ data, seg, channels, grid }, box, origin, size);
      return box;
    },
    [Symbol.dispose]: () => files.dispose(),
  };
}

function requireType({ file, header }: ArrayFile, types: readonly string[]): void {
  if (types.includes(header.dtype)) return;
  throw damaged(file, `its type is ${header.dtype}, ${types.join(" or ")} is needed`);
}

/** Channels and grid. @throws UserError if image and segmentation are not of one grid */
export function caseShape(data: readonly number[], seg: readonly number[], file: string): [number, Vec3] {
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

/** @param grid Of the case's arrays. @throws UserError if it is missing or damaged, or says of voxels outside the grid */
export async function readCaseProperties(
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
