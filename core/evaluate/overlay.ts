/** A picture of a slice: the grey image beside it with coloured labels over it. */
import type { Vec3 } from "../base/shape.ts";
import { encodeRgbPng } from "../formats/image/png/encode.ts";

const COLOURS = [
  [67, 99, 216],
  [245, 130, 49],
  [60, 180, 75],
  [230, 25, 75],
  [145, 30, 180],
  [255, 225, 25],
  [66, 212, 244],
  [240, 50, 230],
  [128, 128, 0],
  [0, 128, 128],
] as const;
const OPACITY = 0.45;

/** Labels from 1 on that have a colour of their own. */
export const LABEL_COLOURS: number = COLOURS.length;

/** The colour of a label in pictures, red, green and blue in 0..255; labels from 1 on take the colours in turn. */
export function labelColour(label: number): readonly [number, number, number] {
  return COLOURS[(label - 1) % COLOURS.length];
}

export interface SlicePicture {
  readonly image: ArrayLike<number>;
  readonly shape: Vec3;
  /** Millimetres (z, y, x); pixels are made square. */
  readonly spacing: Vec3;
  /** Grey values shown as black and white. */
  readonly window: readonly [number, number];
  /** Label volumes, one panel each; undefined: the plain image. */
  readonly panels: readonly (ArrayLike<number> | undefined)[];
  readonly slice: number;
  /** Of the labels' colours, 0 to 1. Default: the grey shows through. */
  readonly opacity?: number;
}

/** The z slice that shows most of the labels: the sum over labels of the share of their voxels that it holds is largest. */
export function fullestSlice(labels: ArrayLike<number>, shape: Vec3): number {
  const size = shape[1] * shape[2];
  const perSlice = Array.from({ length: shape[0] }, () => new Map<number, number>());
  const total = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    if (label <= 0) continue;
    const counts = perSlice[Math.floor(i / size)];
    counts.set(label, (counts.get(label) ?? 0) + 1);
    total.set(label, (total.get(label) ?? 0) + 1);
  }
  const score = (counts: ReadonlyMap<number, number>) =>
    [...counts].reduce((sum, [label, n]) => sum + n / (total.get(label) ?? n), 0);
  const scores = perSlice.map(score);
  return scores.indexOf(Math.max(...scores));
}

/** Grey values that hardly anything lies below and above: the first and last percentile of about 50,000 voxels. */
export function greyWindow(data: Float32Array): [number, number] {
  const step = Math.max(1, Math.floor(data.length / 50_000));
  const some = Float32Array.from({ length: Math.ceil(data.length / step) }, (_, i) => data[i * step]).sort();
  const [low, high] = [some[Math.floor(some.length * 0.01)], some[Math.floor((some.length - 1) * 0.99)]];
  return [low, high > low ? high : low + 1];
}

/** Rows of pictures below each other, as a PNG; `scale` is the pixels per voxel along x, below 1 for large pictures. */
export function overlayPng(rows: readonly SlicePicture[], scale: number): Uint8Array {
  const gap = 6;
  const size = (row: SlicePicture) => ({
    width: Math.max(1, Math.round(row.shape[2] * scale)),
    height: Math.max(1, Math.round(row.shape[1] * scale * row.spacing[1] / row.spacing[2])),
  });
  const width = Math.max(...rows.map((row) => (size(row).width + gap) * row.panels.length - gap));
  const height = rows.reduce((sum, row) => sum + size(row).height + gap, -gap);
  const rgb = new Uint8Array(width * height * 3).fill(255);
  let top = 0;
  for (const row of rows) {
    const panel = size(row);
    row.panels.forEach((labels, i) => {
      drawPanel(rgb, width, { left: i * (panel.width + gap), top, ...panel }, row, labels);
    });
    top += panel.height + gap;
  }
  return encodeRgbPng(width, height, rgb);
}

function drawPanel(
  rgb: Uint8Array,
  stride: number,
  box: { left: number; top: number; width: number; height: number },
  row: SlicePicture,
  labels: ArrayLike<number> | undefined,
): void {
  const [, rows, columns] = row.shape;
  const [black, white] = row.window;
  const opacity = row.opacity ?? OPACITY;
  for (let py = 0; py < box.height; py++) {
    const y = Math.floor(py * rows / box.height);
    for (let px = 0; px < box.width; px++) {
      const voxel = (row.slice * rows + y) * columns + Math.floor(px * columns / box.width);
      const grey = Math.max(0, Math.min(255, 255 * (row.image[voxel] - black) / (white - black)));
      const label = labels?.[voxel] ?? 0;
      const colour = label > 0 ? labelColour(label) : undefined;
      const at = ((box.top + py) * stride + box.left + px) * 3;
      for (let c = 0; c < 3; c++) rgb[at + c] = colour ? grey * (1 - opacity) + colour[c] * opacity : grey;
    }
  }
}
