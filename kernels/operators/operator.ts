/** What every operator says of itself, whatever engine computes it. */

/** What it takes: for choosing among ways, for forecasts and for reports. */
export interface Cost {
  /** Multiplications and additions of the direct form. */
  readonly flops: number;
  /** Bytes of main memory that must at least be moved. */
  readonly bytes: number;
}

/** An operator but for how an engine runs it. */
export interface OperatorReport extends Cost {
  /** "winograd 4x4x4", "direct", ... for reports and the bench. */
  readonly algorithm: string;
  /** Slots beyond the operands, alive while the operator runs: name -> bytes. Contents undefined at the start. */
  readonly temporaries: Readonly<Record<string, number>>;
}

/** How an operator wants its weights. */
export interface WeightPacker {
  readonly weightBytes: number;
  /** Transforms torch's weight and bias into the operator's form; `out` has weightBytes / 4 elements. */
  pack(weight: Float32Array, bias: Float32Array | undefined, out: Float32Array): void;
}
