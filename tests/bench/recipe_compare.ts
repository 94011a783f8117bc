/** Compares what two programs wrote at the end of nnU-Net's recipe: JSON files, and folders of segmentations. */
import { parseJson } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { readWideLabels } from "../../core/formats/image/read_image.ts";

/** Ratios are quotients of the same whole numbers, and means of them: what is left is the order of additions. */
const RATIO_TOLERANCE = 1e-12;
/** Differences listed of one file. */
const LISTED = 5;

/** A JSON file, and what stands for folders in the paths that it holds: `{ ROOT: "/tmp/results" }`. */
export interface Side {
  readonly path: string;
  readonly folders: Readonly<Record<string, string>>;
}

/**
 * Differences of two JSON files, each as a line; none: they say the same. Whole numbers have to be equal, others within 1e-12 of
 * each other's size; NaN equals NaN. Paths are compared with the names of the folders in the folders' places.
 */
export async function compareJson(ours: Side, theirs: Side): Promise<string[]> {
  const read = async ({ path, folders }: Side) => {
    let text = await Deno.readTextFile(path);
    for (const [name, folder] of Object.entries(folders)) text = text.replaceAll(folder, name);
    return parseJson(text, path);
  };
  const differences: string[] = [];
  compareValues(await read(ours), await read(theirs), "", differences);
  return differences;
}

function compareValues(ours: unknown, theirs: unknown, key: string, differences: string[]): void {
  if (differences.length >= LISTED) return;
  if (isObject(ours) && isObject(theirs)) {
    for (const name of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
      compareValues(ours[name], theirs[name], `${key}/${name}`, differences);
    }
  } else if (!isEqual(ours, theirs)) {
    differences.push(`${key}: ${JSON.stringify(ours)} here, ${JSON.stringify(theirs)} there`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "number" || typeof b !== "number" || (Number.isInteger(a) && Number.isInteger(b))) return false;
  return Math.abs(a - b) <= RATIO_TOLERANCE * Math.max(Math.abs(a), Math.abs(b));
}

export interface SegmentationComparison {
  readonly files: number;
  readonly voxels: number;
  /** Voxels that differ, all files together. */
  readonly differing: number;
  /** Files of one side only, or of another size, as lines. */
  readonly problems: readonly string[];
  /** Indices of the voxels that differ, by file; files without any are absent. */
  readonly where: ReadonlyMap<string, readonly number[]>;
}

/** Compares the files ending in `fileEnding` of two folders voxel by voxel. */
export async function compareSegmentations(
  ours: string,
  theirs: string,
  fileEnding: string,
  reader: ReaderName,
): Promise<SegmentationComparison> {
  const [here, there] = [await filesOf(ours, fileEnding), await filesOf(theirs, fileEnding)];
  const problems = [
    ...here.filter((name) => !there.includes(name)).map((name) => `${name} is only here`),
    ...there.filter((name) => !here.includes(name)).map((name) => `${name} is only there`),
  ];
  const where = new Map<string, number[]>();
  let [voxels, differing] = [0, 0];
  const common = here.filter((name) => there.includes(name));
  for (const name of common) {
    const a = await readWideLabels(reader, join(ours, name));
    const b = await readWideLabels(reader, join(theirs, name));
    if (JSON.stringify(a.geometry) !== JSON.stringify(b.geometry)) problems.push(`${name} has another geometry`);
    if (a.data.length !== b.data.length) continue;
    const indices = differingIndices(a.data, b.data);
    if (indices.length > 0) where.set(name, indices);
    voxels += a.data.length;
    differing += indices.length;
  }
  return { files: common.length, voxels, differing, problems, where };
}

function differingIndices(a: Int32Array, b: Int32Array): number[] {
  const indices: number[] = [];
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) indices.push(i);
  return indices;
}

/** Names in a folder that end in `ending`, sorted. */
export async function filesOf(folder: string, ending: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(folder), (entry) => entry.isFile ? [entry.name] : []);
  return names.flat().filter((name) => name.endsWith(ending)).sort();
}

/** Paths of all files below a folder, from it on, sorted. */
export async function filesBelow(folder: string, below = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, below))) {
    const path = below === "" ? name : `${below}/${name}`;
    if (isDirectory) files.push(...await filesBelow(folder, path));
    else files.push(path);
  }
  return files.sort();
}
