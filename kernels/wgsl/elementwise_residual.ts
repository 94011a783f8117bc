/** The residual sum: out = leaky(a' + b'), the operands' norms applied on load. */
import type { Vec3 } from "../../core/base/shape.ts";
import type { WgslOperand, WgslOperator, WgslTarget } from "./kernel.ts";

export interface ResidualAdd {
  readonly batch: number;
  readonly grid: Vec3;
  readonly a: WgslOperand;
  readonly b: WgslOperand;
  /** Its statistics slot is not written: no norm follows a residual sum. */
  readonly target: WgslTarget;
  /** Slope of the leaky ReLU applied to the sum; 1 where none is. */
  readonly slope: number;
}

export function planResidualAdd(_spec: ResidualAdd): WgslOperator {
  throw new Error("not written yet");
}
