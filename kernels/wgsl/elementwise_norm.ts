/**
 * Norm tables: what consumers apply to a raw tensor as they load it. A table is f32 [batch][3][total channels]: scales, shifts,
 * slopes. Instance norm merges the statistics that a convolution's epilogue left (voxel count, means and M2s of each part).
 */
import type { NormConstant, NormFinalize } from "../wasm/elementwise_norm.ts";
import type { WgslOperator } from "./kernel.ts";

export type { NormConstant, NormFinalize } from "../wasm/elementwise_norm.ts";

export function planNormFinalize(_spec: NormFinalize): WgslOperator {
  throw new Error("not written yet");
}

export function planNormConstant(_spec: NormConstant): WgslOperator {
  throw new Error("not written yet");
}
