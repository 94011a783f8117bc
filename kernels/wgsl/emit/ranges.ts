/**
 * Ranges of threads. A kernel that walks arrays in order is cut where any of them goes on in the next segment, so that every dispatch binds
 * one segment of each ({@link cutRanges}); one that looks around is halved until what it binds is little ({@link cutToFit}).
 */
import { type ArrayLayout, type ArrayView, bindingsOf, touchedSegments } from "./views.ts";

/** Threads [start, end) of a kernel, counted over all its dispatches. */
export interface ThreadRange {
  readonly start: number;
  readonly end: number;
}

/** Threads of a workgroup: the most that every device has. */
export const WORKGROUP = 256;
/** Threads of a dispatch: as many as fit one dimension of workgroups. Short enough to cut submissions between them. */
export const MAX_THREADS = 65535 * WORKGROUP;
/** Storage buffers that every device can bind to a kernel. */
export const MAX_BINDINGS = 8;

/** An array that threads walk in order: `elementOf` never falls as the thread's number grows. */
export interface Walk {
  readonly layout: ArrayLayout;
  readonly elementOf: (thread: number) => number;
}

/** Cuts threads [0, count) where a walked array goes on in its next segment, and where a dispatch would be too long. */
export function cutRanges(count: number, walks: readonly Walk[], longest = MAX_THREADS): ThreadRange[] {
  const ranges: ThreadRange[] = [];
  for (let start = 0; start < count;) {
    let end = Math.min(count, start + longest);
    for (const { layout, elementOf } of walks) {
      const limit = (Math.floor(elementOf(start) / layout.segmentLength) + 1) * layout.segmentLength;
      if (elementOf(end - 1) < limit) continue;
      // The first thread at or beyond the limit is in (below, end].
      let below = start;
      end--;
      while (end - below > 1) {
        const middle = Math.floor((below + end) / 2);
        if (elementOf(middle) < limit) below = middle;
        else end = middle;
      }
    }
    ranges.push({ start, end });
    start = end;
  }
  return ranges;
}

/** The segment that a walked array is in over a range made by {@link cutRanges}. */
export function walkedSegment({ layout, elementOf }: Walk, { start, end }: ThreadRange): ArrayView["segments"] {
  return touchedSegments(layout, [[elementOf(start), elementOf(end - 1)]]);
}

/** Halves a range until `fits` or it is one workgroup; parts begin at multiples of the first of `grains` (falling) that divides them. */
export function halveUntil(
  range: ThreadRange,
  grains: readonly number[],
  fits: (range: ThreadRange) => boolean,
): ThreadRange[] {
  const { start, end } = range;
  if (end - start <= WORKGROUP || fits(range)) return [range];
  const half = (start + end) / 2;
  const middle = [...grains, 1].map((grain) => Math.ceil(half / grain) * grain).find((m) => m > start && m < end);
  if (middle === undefined) return [range];
  return [...halveUntil({ start, end: middle }, grains, fits), ...halveUntil({ start: middle, end }, grains, fits)];
}

/**
 * Cuts threads [0, count) as {@link cutRanges} and halves what would bind more than every device can, at `grains` as {@link halveUntil}.
 */
export function cutToFit(
  count: number,
  walks: readonly Walk[],
  grains: readonly number[],
  viewsOf: (range: ThreadRange) => readonly ArrayView[],
  longest?: number,
): ThreadRange[] {
  const fits = (range: ThreadRange) => bindingsOf(viewsOf(range)) <= MAX_BINDINGS;
  return cutRanges(count, walks, longest).flatMap((range) => halveUntil(range, grains, fits));
}
