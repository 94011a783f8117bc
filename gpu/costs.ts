/** What the GPU engine's volume operators cost: bytes and arithmetic of its kernels on the nominal GPU that its steps are forecast for. */
import { padToFour } from "../core/base/shape.ts";
import type { EngineCosts } from "../core/engine/costs.ts";
import { DISPATCH_SECONDS, nominalSeconds } from "./commands.ts";

/** Bytes a second between the program's memory and the nominal GPU's: PCI Express 3.0 with 16 lanes, less its overhead. */
const TRANSFER_RATE = 1.2e10;
/** Voxels that a resampled one is mixed of, along three axes. */
const SOURCES = 8;

/**
 * In 32-bit activations.
 * @param slowness Of the device against the nominal GPU
 */
export function gpuCosts(slowness: number): EngineCosts {
  const seconds = (flops: number, bytes: number) => slowness * nominalSeconds({ flops, bytes });
  const transfer = (bytes: number) => bytes / TRANSFER_RATE;
  return {
    gather: (samples, voxels, channels) => seconds(0, samples * voxels * 4 * (padToFour(channels) + channels)),
    accumulate(samples, voxels, channels) {
      const padded = padToFour(channels);
      return samples * DISPATCH_SECONDS +
        seconds(samples * voxels * padded * 2, samples * voxels * (padded * 12 + 12));
    },
    finish(voxels, channels) {
      const padded = padToFour(channels);
      return seconds(voxels * padded, voxels * (padded * 8 + 4));
    },
    resample(voxels, channels) {
      const padded = padToFour(channels);
      return seconds(voxels * padded * (2 * SOURCES - 1), voxels * (padded * 4 + 2));
    },
    // A checkpoint's are about a quarter of them; they are copied there and read, and these are written.
    packWeights: (bytes) => transfer(bytes / 4) + seconds(0, 1.25 * bytes),
    transfer,
  };
}
