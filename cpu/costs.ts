/** What the CPU engine's volume operators cost: as measured on two cores of an AMD EPYC, like the kernels' cost model. */
import { padToFour } from "../core/base/shape.ts";
import type { EngineCosts } from "../core/engine/costs.ts";

/** Seconds a voxel, and what each (padded) channel adds. */
const GATHER_SECONDS = 0.3e-9;
const ACCUMULATE_SECONDS = { voxel: 2.5e-9, channel: 0.18e-9 };
const FINISH_SECONDS = 0.15e-9;
const RESAMPLE_SECONDS = { voxel: 6e-9, channel: 0.1e-9 };
/** Bytes a second. */
const PACKING_RATE = 3e8;
/** Where whole networks take what is forecast, small ones take less: they leave more of their work in a core's cache. */
const MEASURED_SHARE = 0.86;

export const CPU_COSTS: EngineCosts = {
  gather: (samples, voxels, channels) => samples * voxels * channels * GATHER_SECONDS,
  accumulate: (samples, voxels, channels) =>
    samples * voxels * (ACCUMULATE_SECONDS.voxel + padToFour(channels) * ACCUMULATE_SECONDS.channel),
  finish: (voxels, channels) => voxels * padToFour(channels) * FINISH_SECONDS,
  resample: (voxels, channels) => voxels * (RESAMPLE_SECONDS.voxel + padToFour(channels) * RESAMPLE_SECONDS.channel),
  packWeights: (bytes) => bytes / PACKING_RATE,
  transfer: () => 0, // it is one memory
  measuredShare: MEASURED_SHARE,
};
