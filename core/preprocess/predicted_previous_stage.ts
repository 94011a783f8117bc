/** What the previous stage of a cascade predicted for a training case: predicted_next_stage/CONFIGURATION/<case>.npz. */
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import type { Vec3 } from "../base/shape.ts";
import { readNpz } from "../formats/archive/npz.ts";

const KINDS = ["|u1", "|i1", "<u2", "<i2"];

/**
 * Its labels on the preprocessed grid.
 * @throws UserError if it is not there, damaged, or of another grid
 */
export async function readPreviousStage(folder: string, id: string, grid: Vec3): Promise<Int16Array> {
  const file = join(folder, `${id}.npz`);
  const remedy = "validate the previous stage again (train ... --val)";
  const fail = (problem: string): never => {
    throw new UserError({ doing: "reading the previous stage's prediction", caseId: id, file, problem, remedy });
  };
  const seg = (await readNpz(file, ["seg"], remedy)).get("seg");
  if (!seg || !KINDS.includes(seg.dtype)) return fail("it holds no array seg of labels in 8 or 16 bits");
  if (seg.shape.join() !== grid.join()) {
    return fail(`it has ${seg.shape.join(" x ")} voxels, the preprocessed case ${grid.join(" x ")}`);
  }
  const labels = new Int16Array(seg.data.length);
  for (let i = 0; i < labels.length; i++) {
    labels[i] = Number(seg.data[i]);
    if (labels[i] < 0) return fail(`voxel ${i} has the label ${seg.data[i]}, which is none`);
  }
  return labels;
}
