/**
 * What the previous stage of a cascade predicted for a training case: predicted_next_stage/CONFIGURATION/<case>.npz, or <case>.b2nd of
 * Python's nnU-Net 2.6 and later.
 */
import { UserError } from "../base/errors.ts";
import { removeIfThere } from "../base/files.ts";
import { join } from "../base/path.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { type NpyData, readNpz, writeNpzArrays } from "../formats/archive/npz.ts";
import { b2ndArray, openB2nd } from "../formats/blosc2/b2nd_file.ts";
import { writeB2nd } from "../formats/blosc2/b2nd_writer.ts";
import { B2ND_ENDING, type PatchOf } from "../formats/preprocessed/b2nd_case.ts";
import { b2ndTiles } from "../formats/preprocessed/b2nd_tiles.ts";
import type { StoredCase } from "../formats/preprocessed/training_data.ts";

const KINDS = ["|u1", "|i1", "<u2", "<i2"];
const DOING = "reading the previous stage's prediction";
const REMEDY = "validate the previous stage again (train ... --val)";
const NPZ_ENDING = ".npz";

/** The files that may hold a case's prediction; one of them is enough. */
export function previousStageFiles(folder: string, id: string): readonly string[] {
  return [NPZ_ENDING, B2ND_ENDING].map((ending) => join(folder, id + ending));
}

/** The case whose prediction a file is, by its name. */
export function previousStageCase(name: string): string | undefined {
  const ending = [NPZ_ENDING, B2ND_ENDING].find((one) => name.endsWith(one));
  return ending === undefined || name.startsWith(".") ? undefined : name.slice(0, -ending.length);
}

/**
 * Its labels on the preprocessed grid.
 * @throws UserError if it is not there, damaged, or of another grid
 */
export async function readPreviousStage(folder: string, id: string, grid: Vec3): Promise<Int16Array> {
  const [npz, b2nd] = previousStageFiles(folder, id);
  const isBlosc = await statOrNull(npz, DOING) === null && await statOrNull(b2nd, DOING) !== null;
  const file = isBlosc ? b2nd : npz;
  const fail = (problem: string): never => {
    throw new UserError({ doing: DOING, caseId: id, file, problem, remedy: REMEDY });
  };
  const check = (kind: string, shape: readonly number[]): void => {
    if (!KINDS.includes(kind)) fail("it holds no array seg of labels in 8 or 16 bits");
    if (shape.join() !== grid.join()) {
      fail(`it has ${shape.join(" x ")} voxels, the preprocessed case ${grid.join(" x ")}`);
    }
  };
  let data: NpyData;
  if (isBlosc) {
    using seg = openB2nd(file, DOING, REMEDY);
    check(seg.header.dtype, seg.header.shape);
    const box = b2ndArray(seg.header.dtype, voxelCount(grid));
    seg.readBox([0, 0, 0], grid, box);
    data = box;
  } else {
    const seg = (await readNpz(file, ["seg"], REMEDY)).get("seg");
    if (!seg) return fail("it holds no array seg of labels in 8 or 16 bits");
    check(seg.dtype, seg.shape);
    data = seg.data;
  }
  const labels = new Int16Array(data.length);
  for (let i = 0; i < labels.length; i++) {
    labels[i] = Number(data[i]);
    if (labels[i] < 0) return fail(`voxel ${i} has the label ${data[i]}, which is none`);
  }
  return labels;
}

/**
 * Writes a case's labels for the next stage, in the format that its preprocessed case has there; a file in the other one is
 * removed.
 * Source: resample_and_save of nnunetv2/inference/export_prediction.py (2.5.1, 2.8.1).
 * @throws UserError if it can't be written. Interrupted if the signal aborts
 */
export async function writePreviousStage(
  folder: string,
  id: string,
  labels: Uint8Array | Uint16Array,
  { grid, file }: Pick<StoredCase, "grid" | "file">,
  { patchSize, dimensions }: PatchOf,
  signal: AbortSignal | undefined,
): Promise<void> {
  const [npz, b2nd] = previousStageFiles(folder, id);
  const options = { doing: "writing the next stage's segmentation", ...(signal && { signal }) };
  const isBlosc = file.endsWith(B2ND_ENDING);
  const dtype = labels instanceof Uint8Array ? "|u1" : "<u2";
  if (isBlosc) {
    const tiles = b2ndTiles(grid, patchSize, dimensions, labels.BYTES_PER_ELEMENT);
    await writeB2nd(b2nd, { dtype, shape: grid, ...tiles }, labels, options);
  } else {
    const bytes = new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength);
    await writeNpzArrays(npz, [{ name: "seg", header: { dtype, shape: grid }, source: [bytes] }], options);
  }
  await removeIfThere(isBlosc ? npz : b2nd, options.doing);
}
