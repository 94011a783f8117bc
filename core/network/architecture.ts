/** The U-Nets of nnU-Net as data: what plans.json says of a configuration's network, checked. */
import type { Vec3 } from "../base/shape.ts";

/** The U-Net of a configuration, as data. All arrays have one entry a stage, highest resolution first. */
export interface NetworkArchitecture {
  readonly family: "PlainConvUNet" | "ResidualEncoderUNet";
  readonly dimensions: 2 | 3;
  readonly featuresPerStage: readonly number[];
  readonly kernelSizes: readonly Vec3[];
  readonly strides: readonly Vec3[];
  /** Convolutions (plain) or residual blocks (residual encoder) per encoder stage. */
  readonly blocksPerStage: readonly number[];
  /** From the lowest resolution up: n_stages - 1 entries. */
  readonly convsPerStageDecoder: readonly number[];
  readonly convBias: boolean;
  readonly norm: { readonly kind: "instance" | "batch" | "none"; readonly eps: number; readonly affine: boolean };
  /** Of the LeakyReLU; 0 is a ReLU, 1 no nonlinearity at all. */
  readonly negativeSlope: number;
  /** LeakyReLU before the norm. */
  readonly nonlinFirst: boolean;
  /** Residual encoder: channels of the stem, where they are not those of the first stage. */
  readonly stemChannels?: number;
}

/** The same with batch norm in the place of its norm, as nnUNetTrainerBN builds it. */
export function withBatchNorm(architecture: NetworkArchitecture): NetworkArchitecture {
  return { ...architecture, norm: { kind: "batch", eps: 1e-5, affine: true } };
}
