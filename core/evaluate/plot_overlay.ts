/**
 * A slice of an image with its segmentation's labels added in colour, pixel for pixel as upstream draws it.
 * Source: select_slice_to_plot2 and generate_overlay in nnunetv2/utilities/overlay_plots.py.
 */
import { encodeRgbaPng } from "../formats/image/png/encode.ts";
import { pairwiseSum } from "./summary.ts";

/** Red, green and blue by place of the label among those of the slice; the first, usually background, adds nothing. */
const COLOURS: readonly (readonly [number, number, number])[] = [
  [0x00, 0x00, 0x00],
  [0x43, 0x63, 0xd8],
  [0xf5, 0x82, 0x31],
  [0x3c, 0xb4, 0x4b],
  [0xe6, 0x19, 0x4b],
  [0x91, 0x1e, 0xb4],
  [0xff, 0xe1, 0x19],
  [0xbf, 0xef, 0x45],
  [0x42, 0xd4, 0xf4],
  [0xf0, 0x32, 0xe6],
  [0x00, 0x00, 0x75],
  [0x9a, 0x63, 0x24],
  [0x80, 0x80, 0x00],
  [0x80, 0x00, 0x00],
  [0x46, 0x99, 0x90],
];

/** Voxels of each label but 0 by slice. */
export type SliceCounts = Map<number, Float64Array>;

/** Adds the voxels of slices `first` and on, of `size` voxels each, to `counts` of `slices` slices. */
export function countSlices(
  counts: SliceCounts,
  labels: ArrayLike<number>,
  size: number,
  first: number,
  slices: number,
): void {
  let label = 0;
  let ofLabel: Float64Array | undefined;
  for (let i = 0; i < labels.length; i++) {
    const value = labels[i];
    if (value === 0) continue;
    if (value !== label || !ofLabel) {
      label = value;
      ofLabel = counts.get(label) ?? new Float64Array(slices);
      counts.set(label, ofLabel);
    }
    ofLabel[first + Math.floor(i / size)]++;
  }
}

/**
 * The slice whose share of the labels' voxels, averaged over labels, is largest; the first without any label. Upstream divides a
 * label's counts by the sum of all it has computed so far, the shares of the labels before it included, and so it is here.
 */
export function chooseSlice(counts: SliceCounts, slices: number): number {
  const labels = [...counts.keys()].sort((a, b) => a - b);
  const shares = new Float64Array(slices * labels.length);
  labels.forEach((label, i) => {
    const ofLabel = counts.get(label);
    for (let z = 0; z < slices; z++) shares[z * labels.length + i] = ofLabel?.[z] ?? 0;
    const sum = pairwiseSum(shares, 0, shares.length);
    for (let z = 0; z < slices; z++) shares[z * labels.length + i] /= sum;
  });
  let best = 0;
  let largest = -Infinity;
  for (let z = 0; z < slices && labels.length > 0; z++) {
    const mean = pairwiseSum(shares, z * labels.length, labels.length) / labels.length;
    if (mean <= largest) continue;
    largest = mean;
    best = z;
  }
  return best;
}

/**
 * The picture as an RGBA PNG. Each step is rounded to float32 as numpy's is. Beyond 15 labels, where upstream fails, the colours start
 * over with the second; of an image of one value, which upstream makes all black, the labels alone are drawn.
 * @param image Grey values of the slice, rows from the top
 * @param labels As many, of the same slice
 * @param intensity Upstream's overlay_intensity: share of the full colour that is added to the grey
 */
export function overlaySlicePng(
  image: Float32Array,
  labels: ArrayLike<number>,
  width: number,
  height: number,
  intensity: number,
): Uint8Array {
  const grey = greyOf(image);
  const added = addedColours(labels, intensity);
  const rgb = new Float32Array(3 * grey.length);
  let largest = 0;
  for (let i = 0; i < grey.length; i++) {
    const colour = added.get(labels[i]);
    for (let c = 0; c < 3; c++) {
      const value = Math.fround(grey[i] + (colour?.[c] ?? 0));
      rgb[3 * i + c] = value;
      if (value > largest) largest = value;
    }
  }
  const rgba = new Uint8Array(4 * grey.length).fill(255);
  for (let i = 0; i < grey.length; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = largest > 0 ? scaled(rgb[3 * i + c], largest) : 0;
  }
  return encodeRgbaPng(width, height, rgba);
}

/** Values from 0 to 255. */
function greyOf(image: Float32Array): Float32Array {
  let [least, most] = [Infinity, -Infinity];
  for (const value of image) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const range = Math.fround(most - least);
  return image.map((value) => range > 0 ? scaled(Math.fround(value - least), range) : 0);
}

function scaled(value: number, largest: number): number {
  return Math.fround(Math.fround(value / largest) * 255);
}

/** What each label of the slice adds to red, green and blue, by its place among them. */
function addedColours(labels: ArrayLike<number>, intensity: number): ReadonlyMap<number, readonly number[]> {
  const there = new Set<number>();
  for (let i = 0; i < labels.length; i++) if (i === 0 || labels[i] !== labels[i - 1]) there.add(labels[i]);
  return new Map(
    [...there].sort((a, b) => a - b).map((label, i) => {
      const place = i < COLOURS.length ? i : 1 + (i - 1) % (COLOURS.length - 1);
      return [label, COLOURS[place].map((channel) => intensity * channel)];
    }),
  );
}
