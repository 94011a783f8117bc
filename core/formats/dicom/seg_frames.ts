/** The pixels of a DICOM segmentation: frames of one bit a pixel, one after the other without gaps. Source: PS3.5 section 8.1.1. */
import { createHash } from "node:crypto";
import type { LabelsOnSlices, SegmentPlace } from "./seg_places.ts";
import type { Segment } from "./write_segment.ts";

/** One frame: where a segment is in a slice. */
export interface SegmentFrame {
  readonly label: number;
  readonly place: SegmentPlace;
}

/** A class and where it is. */
export interface PlacedSegment extends Segment {
  readonly places: readonly SegmentPlace[];
}

/** A frame for each place, segment by segment. */
export function framesOf(segments: readonly PlacedSegment[]): SegmentFrame[] {
  return segments.flatMap(({ label, places }) => places.map((place) => ({ label, place })));
}

/** Of segments and their pixels, in hexadecimal: objects of other content have other UIDs. */
export function contentHash(segments: readonly PlacedSegment[], labels: LabelsOnSlices): string {
  const hash = createHash("sha256");
  const told = segments.map(({ label, name, colour, codes, places }) => ({ label, name, colour, codes, places }));
  hash.update(JSON.stringify(told));
  for (const piece of packFrames(framesOf(segments), labels)) hash.update(piece);
  return hash.digest("hex");
}

/** Bytes of the pixels of `frames` frames, padded to an even number. */
export function frameBytes(frames: number, { rows, columns }: Pick<LabelsOnSlices, "rows" | "columns">): number {
  return 2 * Math.ceil(frames * rows * columns / 16);
}

/** The pixels' bytes, frame by frame; the first pixel of a frame follows the last of the one before, if need be in the same byte. */
export function* packFrames(
  frames: Iterable<SegmentFrame>,
  labels: LabelsOnSlices,
): Generator<Uint8Array<ArrayBuffer>> {
  const { rows, columns } = labels;
  const size = rows * columns;
  let count = 0;
  let total = 0;
  // Bits of the last byte that is not full.
  let [kept, keptBits] = [0, 0];
  for (const frame of frames) {
    const bits = keptBits + size;
    const packed = new Uint8Array(Math.ceil(bits / 8));
    packed[0] = kept;
    packFrame(packed, keptBits, frame, labels);
    const whole = bits >> 3;
    keptBits = bits & 7;
    kept = keptBits > 0 ? packed[whole] : 0;
    count++;
    total += whole;
    yield packed.subarray(0, whole);
  }
  const rest = new Uint8Array(frameBytes(count, labels) - total);
  if (keptBits > 0) rest[0] = kept;
  yield rest;
}

/** Sets the bits of the frame's pixels, which begin at the bit `first`. */
function packFrame(packed: Uint8Array, first: number, { label, place }: SegmentFrame, labels: LabelsOnSlices): void {
  const { data, columns, offset, strides: [sliceStride, rowStride, stride] } = labels;
  for (let row = place.top; row <= place.bottom; row++) {
    let at = offset + place.slice * sliceStride + row * rowStride + place.left * stride;
    let bit = first + row * columns + place.left;
    for (let column = place.left; column <= place.right; column++, at += stride, bit++) {
      if (data[at] === label) packed[bit >> 3] |= 1 << (bit & 7);
    }
  }
}
