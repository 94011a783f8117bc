/**
 * Effects that a Gaussian bell in or near the patch weights: an additive gradient of brightness, and gamma.
 * Source: batchgenerators/transforms/local_transforms.py (0.25.5).
 */
import type { Vec3 } from "../../base/shape.ts";
import { rangeOf } from "./intensity.ts";
import { createPower } from "./power.ts";
import type { LocalKernel } from "./steps.ts";

/** The least that upstream divides by. Bells of large patches are lower than that: they stay below 1. */
const SMALLEST = 1e-8;

/** A bell as the product of a profile along each axis; at a voxel it is (product - lowest) * factor, 0..1. */
interface Bell {
  readonly profiles: readonly [Float64Array, Float64Array, Float64Array];
  readonly lowest: number;
  readonly factor: number;
  /** Its largest value. */
  readonly top: number;
}

function bellOf({ centre, deviation }: LocalKernel, size: Vec3): Bell {
  const [z, y, x] = [0, 1, 2].map((axis) => profile(size[axis], centre[axis], deviation[axis]));
  const lowest = Math.min(...z) * Math.min(...y) * Math.min(...x);
  const range = Math.max(...z) * Math.max(...y) * Math.max(...x) - lowest;
  const factor = 1 / Math.max(SMALLEST, range);
  return { profiles: [z, y, x], lowest, factor, top: range * factor };
}

/** Abscissae and weights of the Gauss-Legendre rule of five points on -1..1. */
const NODES = [0, 0.5384693101056831, -0.5384693101056831, 0.906179845938664, -0.906179845938664];
const WEIGHTS = [
  0.5688888888888889,
  0.47862867049936647,
  0.47862867049936647,
  0.23692688505618908,
  0.23692688505618908,
];

/** What of a normal distribution lies in each voxel; deviations are one voxel or more, which the rule has to 1e-12. */
function profile(count: number, centre: number, deviation: number): Float64Array {
  if (deviation === 0) return new Float64Array(count).fill(1);
  const scale = 0.5 / (deviation * Math.sqrt(2 * Math.PI));
  return Float64Array.from({ length: count }, (_, i) => {
    let sum = 0;
    NODES.forEach((node, k) => sum += WEIGHTS[k] * Math.exp(-0.5 * ((i + 0.5 * node - centre) / deviation) ** 2));
    return scale * sum;
  });
}

/** Adds the bell to `image` (size), its top `strength` high. */
export function addBrightnessGradient(image: Float32Array, size: Vec3, kernel: LocalKernel, strength: number): void {
  const bell = bellOf(kernel, size);
  const height = strength * bell.factor / Math.max(SMALLEST, bell.top);
  const [zs, ys, xs] = bell.profiles;
  const offset = bell.lowest * height;
  let at = 0;
  for (let z = 0; z < size[0]; z++) {
    for (let y = 0; y < size[1]; y++) {
      const row = zs[z] * ys[y] * height;
      for (let x = 0; x < size[2]; x++) image[at++] += row * xs[x] - offset;
    }
  }
}

/** Mixes `image` (size) with its power `gamma`, of values brought to 0..1, by the bell. */
export function changeLocalGamma(image: Float32Array, size: Vec3, kernel: LocalKernel, gamma: number): void {
  const { lowest, highest } = rangeOf(image);
  const range = highest - lowest;
  const perRange = 1 / Math.max(range, SMALLEST);
  const bell = bellOf(kernel, size);
  const [zs, ys, xs] = bell.profiles;
  const power = createPower(gamma);
  const offset = bell.lowest * bell.factor;
  let at = 0;
  for (let z = 0; z < size[0]; z++) {
    for (let y = 0; y < size[1]; y++) {
      const row = zs[z] * ys[y] * bell.factor;
      for (let x = 0; x < size[2]; x++, at++) {
        const share = row * xs[x] - offset;
        const value = (image[at] - lowest) * perRange;
        image[at] = (value + share * (power.raise(value) - value)) * range + lowest;
      }
    }
  }
}
