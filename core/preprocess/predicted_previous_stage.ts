/**
 * What the previous stage of a cascade predicted for a training case: predicted_next_stage/CONFIGURATION/<case>.npz, or <case>.b2nd of
 * Python's nnU-Net 2.6 and later.
 */
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { readNpz } from "../formats/archive/npz.ts";
import { b2ndArray, openB2nd } from "../formats/blosc2/b2nd_file.ts";
import { B2ND_ENDING } from "../formats/preprocessed/b2nd_case.ts";

const KINDS = ["|u1", "|i1", "<u2", "<i2"];
const DOING = "reading the previous stage's prediction";
const REMEDY = "validate the previous stage again (train ... --val)";
const NPZ_ENDING = ".npz";

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
  const stem = join(folder, id);
  const isBlosc = await statOrNull(stem + NPZ_ENDING, DOING) === null &&
    await statOrNull(stem + B2ND_ENDING, DOING) !== null;
  const file = stem + (isBlosc ? B2ND_ENDING : NPZ_ENDING);
  const fail = (problem: string): never => {
    throw new UserError({ doing: DOING, caseId: id, file, problem, remedy: REMEDY });
  };
  const check = (kind: string, shape: readonly number[]): void => {
    if (!KINDS.includes(kind)) fail("it holds no array seg of labels in 8 or 16 bits");
    if (shape.join() !== grid.join()) {
      fail(`it has ${shape.join(" x ")} voxels, the preprocessed case ${grid.join(" x ")}`);
    }
  };
  let labels: Int16Array;
  if (isBlosc) {
    using seg = openB2nd(file, DOING, REMEDY);
    check(seg.header.dtype, seg.header.shape);
    const data = b2ndArray(seg.header.dtype, voxelCount(grid));
    seg.readBox([0, 0, 0], grid, data);
    labels = new Int16Array(data);
  } else {
    const seg = (await readNpz(file, ["seg"], REMEDY)).get("seg");
    if (!seg) return fail("it holds no array seg of labels in 8 or 16 bits");
    check(seg.dtype, seg.shape);
    labels = new Int16Array(seg.data.length);
    for (let i = 0; i < labels.length; i++) labels[i] = Number(seg.data[i]);
  }
  const wrong = labels.findIndex((label) => label < 0);
  if (wrong >= 0) return fail(`voxel ${wrong} has the label ${labels[wrong]}, which is none`);
  return labels;
}
