/** Voxels at which averaged probabilities leave the label open: the order of additions decides. */
import { join } from "../../core/base/path.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";

/** Of an average of numbers up to 1, added up in float32. */
const ROUNDING = 2 ** -22;

/**
 * @param where Voxels by file, of segmentations that were made of `members`' probabilities
 * @param members Folders of the averaged .npz files
 * @param regions Whether channels are regions, each above or below one half; otherwise the greatest channel is the label
 * @returns the number of voxels that are ties
 */
export async function averageTies(
  where: ReadonlyMap<string, readonly number[]>,
  members: readonly string[],
  fileEnding: string,
  regions: boolean,
): Promise<number> {
  let ties = 0;
  for (const [name, voxels] of where) {
    const sums = voxels.map(() => new Float64Array());
    for (const member of members) {
      const arrays = await readNpz(join(member, `${name.slice(0, -fileEnding.length)}.npz`), ["probabilities"]);
      const array = arrays.get("probabilities");
      if (array === undefined) throw new Error(`${member}: ${name} has no probabilities`);
      const channels = array.shape[0];
      const size = array.data.length / channels;
      voxels.forEach((voxel, i) => {
        sums[i] = Float64Array.from(
          { length: channels },
          (_, c) => (sums[i][c] ?? 0) + Number(array.data[c * size + voxel]) / members.length,
        );
      });
    }
    ties += sums.filter((average) => isTie(average, regions)).length;
  }
  return ties;
}

function isTie(average: Float64Array, regions: boolean): boolean {
  if (regions) return average.some((value) => Math.abs(value - 0.5) <= ROUNDING);
  const [first, second] = [...average].sort((a, b) => b - a);
  return first - second <= ROUNDING;
}
