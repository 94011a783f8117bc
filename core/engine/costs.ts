/** What an engine's work beside the network's steps costs, by its own model; for forecasts and for weighing one plan against another. */

/** All in seconds. Channels are those of a voxel, not padded. */
export interface EngineCosts {
  /** Cutting `samples` patches of `voxels` each out of a volume. */
  gather(samples: number, voxels: number, channels: number): number;
  /** Adding `samples` patches of logits to the ring. */
  accumulate(samples: number, voxels: number, channels: number): number;
  /** Dividing voxels of the ring by their weights. */
  finish(voxels: number, channels: number): number;
  /** Resampling logits to `voxels` labels. */
  resample(voxels: number, channels: number): number;
  /** Bringing a checkpoint's weights into the form of the kernels. @param bytes In that form */
  packWeights(bytes: number): number;
  /** Between the engine's memory and the program's. */
  transfer(bytes: number): number;
  /**
   * Share of its forecast that a small network takes which is measured to tell how fast the machine is against the model's (see
   * measurePace); undefined where forecasts are only compared with each other.
   */
  readonly measuredShare?: number;
}
