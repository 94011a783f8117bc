/** A case of the engine suite: finished planes tell whether a logit was NaN or infinite. */
import { padToFour } from "../../core/base/shape.ts";
import type { Engine, LogitRing } from "../../core/engine/engine.ts";
import { randomValues } from "./networks.ts";

/** The flag after planes with and without such logits: in no plane, in one that is not finished, in the last channel of the last voxel. */
export async function nonFiniteCase(engine: Engine): Promise<Record<string, Float32Array>> {
  const [channels, planes, rows, columns] = [6, 4, 5, 7];
  const voxels = planes * rows * columns;
  const padded = padToFour(channels);
  using logits = engine.alloc("f32", voxels * padded, "logit ring");
  using weightSums = engine.alloc("f32", voxels, "weight sums");
  using nonFinite = engine.alloc("f32", 1, "flag");
  const ring: LogitRing = {
    logits,
    weightSums,
    nonFinite,
    channels,
    channelStride: padded,
    planes,
    rows,
    columns,
    axes: [0, 1, 2],
    depth: planes,
  };
  const values = randomValues(voxels * padded, 5).map((v, i) => (i % padded < channels ? 1e30 * v : 0));
  const results: Record<string, Float32Array> = {};
  const lastChannel = (voxels - 1) * padded + channels - 1;
  const trials: readonly (readonly [string, number, number])[] = [
    ["finite", lastChannel, 3],
    ["NaN in the last voxel", lastChannel, NaN],
    ["infinity", lastChannel, Infinity],
    ["negative infinity in a channel between", rows * columns * padded + 2, -Infinity],
    ["NaN in a plane that is not finished", 1, NaN],
  ];
  for (const [name, at, value] of trials) {
    const changed = values.slice();
    changed[at] = value;
    engine.upload(logits, changed);
    engine.upload(weightSums, new Float32Array(voxels).fill(0.5));
    engine.clear(nonFinite);
    engine.finishPlanes(ring, 1, planes, 2);
    results[name] = await engine.download(nonFinite);
  }
  return results;
}
