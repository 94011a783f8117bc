/** What the previous stage of a cascade predicted for a training case: predicted_next_stage/CONFIGURATION/<case>.npz. */
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import type { Vec3 } from "../base/shape.ts";
import { readNpz } from "../formats/archive/npz.ts";

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
  if (!seg || seg.data instanceof BigInt64Array || seg.data instanceof BigUint64Array) {
    return fail("it holds no array seg of labels");
  }
  if (seg.shape.join() !== grid.join()) {
    return fail(`it has ${seg.shape.join(" x ")} voxels, the preprocessed case ${grid.join(" x ")}`);
  }
  return new Int16Array(seg.data);
}
