/**
 * The outlines of a segment in a slice as closed polygons, by marching squares: a corner lies between the centre of each pixel of the
 * segment and that of a neighbour that is none. A hole is joined to the outline around it by a line of no width ("keyhole"), as
 * PS3.3 C.8.8.6.3 asks of CLOSED_PLANAR contours, so that each polygon is a piece of the segment by itself. Pixels that touch at a
 * corner only are pieces of their own.
 */
import type { LabelsOnSlices, SegmentPlace } from "./seg_places.ts";

/**
 * How far outlines are from the centres of the segment's pixels, in pixels. Halfway would be the middle of the border, but then
 * programs that round corners to pixels would take them to either side of it; so they get the segment's own pixels.
 */
const EDGE = 0.49;

/** Corners of a closed polygon, in pixels: column, row, column, row, ... from pixel centres; the first one is not repeated. */
export type Polygon = Float64Array;

/** Steps to the right, down, left and up: (column, row). */
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]] as const;
const RIGHT = 0;
const LEFT = 2;

/** The segment's pixels around `place`, with a border of pixels that are none. */
interface Mask {
  readonly data: Uint8Array;
  readonly width: number;
  /** Column and row, in the slice, of the mask's first pixel. */
  readonly left: number;
  readonly top: number;
}

/**
 * A corner: 4 times the index of a pixel in the mask, plus the direction in which the neighbour lies that is not of the segment. Loops
 * of corners go around the segment clockwise as pictures are shown, and counter-clockwise around holes.
 */
type Corner = number;

/** The polygons around the pixels of `label` in the slice of `place`. */
export function tracePolygons(labels: LabelsOnSlices, label: number, place: SegmentPlace): Polygon[] {
  const mask = maskOf(labels, label, place);
  const outlines: Corner[][] = [];
  /** Holes by the corner that they are joined to; each begins with its own end of the joining line. */
  const holes = new Map<Corner, readonly Corner[]>();
  for (const loop of loops(mask)) {
    if (turns(loop) > 0) outlines.push(loop);
    else {
      const start = leftmost(loop, mask);
      holes.set(cornerToTheLeft(loop[start], mask), [...loop.slice(start), ...loop.slice(0, start)]);
    }
  }
  return outlines.map((outline) => polygon(withHoles(outline, holes), mask));
}

function maskOf(labels: LabelsOnSlices, label: number, place: SegmentPlace): Mask {
  const { data, offset, strides: [sliceStride, rowStride, stride] } = labels;
  const width = place.right - place.left + 3;
  const mask = new Uint8Array(width * (place.bottom - place.top + 3));
  for (let row = place.top; row <= place.bottom; row++) {
    let at = offset + place.slice * sliceStride + row * rowStride + place.left * stride;
    let to = (row - place.top + 1) * width + 1;
    for (let column = place.left; column <= place.right; column++, at += stride) {
      mask[to++] = data[at] === label ? 1 : 0;
    }
  }
  return { data: mask, width, left: place.left - 1, top: place.top - 1 };
}

/** All closed loops of corners. */
function* loops({ data, width }: Mask): Generator<Corner[]> {
  const steps = STEPS.map(([x, y]) => x + y * width);
  const seen = new Uint8Array(data.length);
  // Each loop has a corner to the left of a pixel: around a segment at its left end, around a hole at the hole's right end.
  for (let pixel = 1; pixel < data.length; pixel++) {
    if (data[pixel] === 0 || data[pixel - 1] !== 0 || (seen[pixel] & 1 << LEFT) !== 0) continue;
    const loop: Corner[] = [];
    let [at, towards]: [number, number] = [pixel, LEFT];
    do {
      loop.push(4 * at + towards);
      seen[at] |= 1 << towards;
      // Ahead is a quarter turn clockwise from the neighbour that is not of the segment.
      const ahead = (towards + 1) & 3;
      const next = at + steps[ahead];
      if (data[next] === 0) towards = ahead;
      else if (data[next + steps[towards]] === 0) at = next;
      else {
        at = next + steps[towards];
        towards = (towards + 3) & 3;
      }
    } while (at !== pixel || towards !== LEFT);
    yield loop;
  }
}

/** Quarter turns of a loop, clockwise ones less the others: 4 around the segment, -4 around a hole. */
function turns(loop: readonly Corner[]): number {
  let sum = 0;
  for (let i = 0; i < loop.length; i++) {
    const turn = ((loop[(i + 1) % loop.length] & 3) - (loop[i] & 3) + 4) & 3;
    sum += turn === 3 ? -1 : turn;
  }
  return sum;
}

/** Index of the corner of a hole that is farthest to the left: on the right side of its pixel. */
function leftmost(loop: readonly Corner[], { width }: Mask): number {
  let found = -1;
  let least = Infinity;
  for (let i = 0; i < loop.length; i++) {
    const column = (loop[i] >> 2) % width;
    if ((loop[i] & 3) === RIGHT && column < least) [found, least] = [i, column];
  }
  return found;
}

/** The corner at the left end of the row of the segment's pixels at whose right end `corner` is; it is not of the same hole. */
function cornerToTheLeft(corner: Corner, { data }: Mask): Corner {
  let pixel = corner >> 2;
  while (data[pixel - 1] !== 0) pixel--;
  return 4 * pixel + LEFT;
}

/** The loop with the holes that are joined to it, and those joined to them: there along the joining line, around, and back. */
function withHoles(outline: readonly Corner[], holes: ReadonlyMap<Corner, readonly Corner[]>): Corner[] {
  const path: Corner[] = [];
  const open: { readonly loop: readonly Corner[]; next: number }[] = [{ loop: outline, next: 0 }];
  for (let current = open.at(-1); current; current = open.at(-1)) {
    if (current.next === current.loop.length) {
      open.pop();
      const around = open.at(-1);
      // Back to the hole's first corner and to the one that it is joined to.
      if (around) path.push(current.loop[0], around.loop[around.next - 1]);
      continue;
    }
    const corner = current.loop[current.next++];
    path.push(corner);
    const hole = holes.get(corner);
    if (hole) open.push({ loop: hole, next: 0 });
  }
  return path;
}

/** The corners' places, without those on a straight line between their neighbours. */
function polygon(path: readonly Corner[], { width, left, top }: Mask): Polygon {
  const corners = new Float64Array(2 * path.length);
  path.forEach((corner, i) => {
    const [x, y] = STEPS[corner & 3];
    const pixel = corner >> 2;
    corners[2 * i] = left + pixel % width + EDGE * x;
    corners[2 * i + 1] = top + Math.floor(pixel / width) + EDGE * y;
  });
  // Lines go along rows, columns and the two diagonals.
  const heading = (from: number, to: number) =>
    3 * Math.sign(corners[to] - corners[from]) + Math.sign(corners[to + 1] - corners[from + 1]);
  const kept: number[] = [];
  let before = heading(corners.length - 2, 0);
  for (let at = 0; at < corners.length; at += 2) {
    const after = heading(at, at + 2 < corners.length ? at + 2 : 0);
    if (after !== before) kept.push(corners[at], corners[at + 1]);
    before = after;
  }
  return Float64Array.from(kept);
}
