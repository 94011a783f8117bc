/** Average pooling, the input's norm applied on load. */
import type { Vec3 } from "../../core/base/shape.ts";
import type { WgslOperand, WgslOperator, WgslTarget } from "./kernel.ts";

export interface AveragePool {
  readonly batch: number;
  /** Grid of the input. */
  readonly grid: Vec3;
  readonly stride: Vec3;
  readonly input: WgslOperand;
  readonly target: WgslTarget;
}

export function planAveragePool(_spec: AveragePool): WgslOperator {
  throw new Error("not written yet");
}
