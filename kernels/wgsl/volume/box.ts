/** Which voxels a range of threads can touch, and from where to where that is in an array. */
import type { ThreadRange } from "../emit/ranges.ts";

/** Planes, rows and columns, first and last, that threads [start, end) in their order can touch. */
export type Box = readonly [planes: Span, rows: Span, columns: Span];
type Span = readonly [first: number, last: number];

/** The box of a range of threads: of several planes whole ones, of several rows whole ones. */
export function boxOf({ start, end }: ThreadRange, planeThreads: number, rowThreads: number, columns: number): Box {
  const planes: Span = [Math.floor(start / planeThreads), Math.floor((end - 1) / planeThreads)];
  const wholePlane: Span = [0, planeThreads / rowThreads - 1];
  const wholeRow: Span = [0, columns - 1];
  if (planes[0] !== planes[1]) return [planes, wholePlane, wholeRow];
  const inPlane = (thread: number) => thread - planes[0] * planeThreads;
  const rows: Span = [Math.floor(inPlane(start) / rowThreads), Math.floor(inPlane(end - 1) / rowThreads)];
  if (rows[0] !== rows[1]) return [planes, rows, wholeRow];
  const column = (thread: number) => Math.floor((inPlane(thread) - rows[0] * rowThreads) * columns / rowThreads);
  return [planes, rows, [column(start), column(end - 1)]];
}

/** Smallest and largest of start + planes*steps[0] + rows*steps[1] + columns*steps[2] over a box. */
export function extent(box: Box, steps: readonly number[], start: number): [number, number] {
  let [least, most] = [start, start];
  box.forEach(([first, last], i) => {
    least += Math.min(first * steps[i], last * steps[i]);
    most += Math.max(first * steps[i], last * steps[i]);
  });
  return [least, most];
}
