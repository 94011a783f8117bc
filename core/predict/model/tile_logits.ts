/** What a network gives for one tile of a case, for trials before the case is predicted. */
import type { Vec3 } from "../../base/shape.ts";
import type { Engine, Program, WeightSet } from "../../engine/engine.ts";
import { gatherCase, type UploadedCase } from "../stream/case_plan.ts";
import type { Model } from "./model_folder.ts";

/** Logits (channels, z, y, x) of the tile that begins at `origin`. */
export async function logitsOfTile(
  engine: Engine,
  model: Model,
  program: Program,
  weights: WeightSet,
  uploaded: UploadedCase,
  origin: Vec3,
): Promise<Float32Array> {
  gatherCase(engine, model, program, uploaded, [{ origin, mirror: [false, false, false] }]);
  engine.run(program, weights);
  return await engine.downloadOutput(program, 0);
}
