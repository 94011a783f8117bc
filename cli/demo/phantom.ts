/**
 * Phantom abdominal CTs for the demo: an ellipse of a body with liver, kidneys, a vertebral column and lesions in the liver, each with
 * wobbling surfaces, texture and noise. Made from a seed alone, so that the demo needs no image from anywhere.
 */
import type { Vec3 } from "../../core/base/shape.ts";

export interface Phantom {
  /** Hounsfield units (z, y, x). */
  readonly image: Int16Array;
  /** Truth (z, y, x): see {@link PHANTOM_LABELS}. */
  readonly labels: Uint8Array;
  readonly shape: Vec3;
  /** Millimetres (z, y, x). */
  readonly spacing: Vec3;
}

export const PHANTOM_LABELS = { liver: 1, kidneys: 2, spine: 3, lesion: 4 } as const;

/** Mean Hounsfield units of each tissue; liver, kidneys, spine, lesion are indexed by label, 0 is the soft tissue around them. */
const TISSUE_HU = [35, 105, 165, 320, 60];
const FAT_HU = -95;
const AIR_HU = -1000;
const NOISE_HU = 18;

/** Random numbers in [0, 1) from a seed: mulberry32. */
function randomFrom(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Blob {
  readonly label: number;
  readonly centre: Vec3;
  readonly radii: Vec3;
  /** Surface waves: amplitude, direction, phase. */
  readonly waves: readonly { amplitude: number; k: Vec3; phase: number }[];
}

function makeBlob(random: () => number, label: number, centre: Vec3, radii: Vec3, wobble: number): Blob {
  const jitter = (value: number, by: number) => value * (1 + by * (random() - 0.5));
  const waves = Array.from({ length: 5 }, () => ({
    amplitude: wobble * random(),
    k: [5 * (random() - 0.5), 5 * (random() - 0.5), 5 * (random() - 0.5)] as Vec3,
    phase: 2 * Math.PI * random(),
  }));
  const shift = (value: number) => value + 0.06 * (random() - 0.5);
  return {
    label,
    centre: [shift(centre[0]), shift(centre[1]), shift(centre[2])],
    radii: [jitter(radii[0], 0.25), jitter(radii[1], 0.25), jitter(radii[2], 0.25)],
    waves,
  };
}

/** Negative inside; coordinates run from -1 to 1 across the volume. */
function blobDistance(blob: Blob, z: number, y: number, x: number): number {
  const [dz, dy, dx] = [
    (z - blob.centre[0]) / blob.radii[0],
    (y - blob.centre[1]) / blob.radii[1],
    (x - blob.centre[2]) / blob.radii[2],
  ];
  let r = dz * dz + dy * dy + dx * dx - 1;
  if (r > 1) return r;
  for (const wave of blob.waves) {
    r += wave.amplitude * Math.sin(wave.k[0] * dz + wave.k[1] * dy + wave.k[2] * dx + wave.phase);
  }
  return r;
}

/** Makes a phantom; axes are (z: feet to head, y: front to back, x: right to left), so the array is in LPS order. */
export function makePhantom(seed: number): Phantom {
  const random = randomFrom(seed);
  const spacing: Vec3 = [5, 3 + 0.5 * random(), 3 + 0.5 * random()];
  const shape: Vec3 = [28 + Math.floor(6 * random()), 76 + Math.floor(12 * random()), 96 + Math.floor(12 * random())];
  const liver = makeBlob(random, PHANTOM_LABELS.liver, [0.15, -0.15, -0.4], [0.55, 0.42, 0.36], 0.16);
  const blobs: Blob[] = [
    liver,
    makeBlob(random, PHANTOM_LABELS.kidneys, [-0.2, 0.3, -0.4], [0.42, 0.16, 0.13], 0.1),
    makeBlob(random, PHANTOM_LABELS.kidneys, [-0.1, 0.3, 0.42], [0.42, 0.16, 0.13], 0.1),
    makeBlob(random, PHANTOM_LABELS.spine, [0, 0.42, 0], [3, 0.15, 0.12], 0.12),
  ];
  const lesions = 1 + Math.floor(2.5 * random());
  for (let i = 0; i < lesions; i++) {
    const at = (axis: 0 | 1 | 2) => liver.centre[axis] + (random() - 0.5) * liver.radii[axis] * 0.8;
    blobs.push(makeBlob(random, PHANTOM_LABELS.lesion, [at(0), at(1), at(2)], [0.2, 0.11, 0.09], 0.1));
  }
  return { ...paint(blobs, liver, shape, random), shape, spacing };
}

function paint(blobs: readonly Blob[], liver: Blob, shape: Vec3, random: () => number) {
  const image = new Int16Array(shape[0] * shape[1] * shape[2]);
  const labels = new Uint8Array(image.length);
  const gaussian = () => random() + random() + random() + random() - 2; // variance 1/3
  let i = 0;
  for (let z = 0; z < shape[0]; z++) {
    const w = 2 * (z + 0.5) / shape[0] - 1;
    for (let y = 0; y < shape[1]; y++) {
      const v = 2 * (y + 0.5) / shape[1] - 1;
      for (let x = 0; x < shape[2]; x++, i++) {
        const u = 2 * (x + 0.5) / shape[2] - 1;
        const body = (u / 0.94) ** 2 + (v / 0.86) ** 2;
        let hu = body > 1 ? AIR_HU : body > 0.8 ? FAT_HU : TISSUE_HU[0];
        if (body <= 0.8) {
          for (const blob of blobs) {
            if (blobDistance(blob, w, v, u) >= 0) continue;
            if (blob.label === PHANTOM_LABELS.lesion && labels[i] !== liver.label) continue;
            labels[i] = blob.label;
            hu = TISSUE_HU[blob.label];
          }
          hu += 8 * Math.sin(9 * u + 5 * w) * Math.cos(11 * v - 3 * u);
        }
        image[i] = Math.round(hu + NOISE_HU * Math.sqrt(3) * gaussian());
      }
    }
  }
  return { image, labels };
}
