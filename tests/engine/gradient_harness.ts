/** What the tests of convolution gradients share. */
import { padToFour } from "../../core/base/shape.ts";

/** The planar samples as a channels-last tensor with `around` foreign channels on either side of the parts. */
export function channelsLast(
  samples: readonly Float32Array[],
  parts: readonly number[],
  voxels: number,
  around: number,
) {
  const positions = parts.flatMap((n, k) =>
    Array.from({ length: n }, (_, c) => c + parts.slice(0, k).reduce((a, m) => a + padToFour(m), 0))
  );
  const padded = parts.reduce((a, n) => a + padToFour(n), 0);
  const stride = padded + 2 * around;
  const tensor = new Float32Array(samples.length * voxels * stride);
  samples.forEach((sample, n) => {
    for (let v = 0; v < voxels; v++) {
      const at = (n * voxels + v) * stride;
      tensor.fill(9e9, at, at + around).fill(9e9, at + around + padded, at + stride);
      positions.forEach((p, c) => tensor[at + around + p] = sample[c * voxels + v]);
    }
  });
  return { tensor, stride, padded, positions };
}
