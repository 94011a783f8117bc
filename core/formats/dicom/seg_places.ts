/** Where the segments of a label volume are: in which slices of the source, and in which part of each. */
import type { LabelVolume } from "../image/image.ts";

/** A label volume seen in the order of a source's slices, whatever the order of the array. */
export interface LabelsOnSlices {
  readonly data: LabelVolume["data"];
  readonly slices: number;
  readonly rows: number;
  readonly columns: number;
  /** Where the first slice's first pixel is, and how far the next slice, row and column are, in elements of `data`. */
  readonly offset: number;
  readonly strides: readonly [slice: number, row: number, column: number];
}

/** The part of a slice that a label's pixels are in; bounds are the first and the last of them. */
export interface SegmentPlace {
  readonly slice: number;
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
  readonly pixels: number;
}

const LABELS = 1 << 16;

/** The places of every label above 0, by label in ascending order and by slice. */
export function segmentPlaces(labels: LabelsOnSlices): ReadonlyMap<number, readonly SegmentPlace[]> {
  const found = new Map<number, SegmentPlace[]>();
  const boxes = createBoxes();
  for (let slice = 0; slice < labels.slices; slice++) {
    boxes.clear();
    for (let row = 0; row < labels.rows; row++) markRow(boxes, labels, slice, row);
    for (const label of boxes.labels()) {
      const places = found.get(label);
      const place = { slice, ...boxes.of(label) };
      if (places) places.push(place);
      else found.set(label, [place]);
    }
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}

/** Adds the runs of equal labels of a row. */
function markRow(boxes: Boxes, labels: LabelsOnSlices, slice: number, row: number): void {
  const { data, columns, offset, strides: [sliceStride, rowStride, stride] } = labels;
  let at = offset + slice * sliceStride + row * rowStride;
  for (let column = 0; column < columns;) {
    const first = column;
    const label = data[at];
    while (column < columns && data[at] === label) {
      column++;
      at += stride;
    }
    if (label > 0) boxes.add(label, row, first, column - 1);
  }
}

interface Boxes {
  add(label: number, row: number, first: number, last: number): void;
  labels(): readonly number[];
  of(label: number): Omit<SegmentPlace, "slice">;
  clear(): void;
}

function createBoxes(): Boxes {
  const [top, bottom, left, right, pixels] = Array.from({ length: 5 }, () => new Int32Array(LABELS));
  let present: number[] = [];
  return {
    add(label, row, first, last) {
      if (pixels[label] === 0) {
        present.push(label);
        [top[label], left[label], right[label]] = [row, first, last];
      }
      bottom[label] = row;
      if (first < left[label]) left[label] = first;
      if (last > right[label]) right[label] = last;
      pixels[label] += last - first + 1;
    },
    labels: () => present,
    of: (label) => ({
      top: top[label],
      bottom: bottom[label],
      left: left[label],
      right: right[label],
      pixels: pixels[label],
    }),
    clear() {
      for (const label of present) pixels[label] = 0;
      present = [];
    },
  };
}
