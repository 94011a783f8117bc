/** Copies from the host to the device: whole words by the queue, bytes within a word by a kernel. */
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planMergeWord } from "../kernels/wgsl/volume/words.ts";
import { type ArrayExtent, layoutOf, type Segments } from "./buffers.ts";
import type { Commands } from "./commands.ts";

/** An array's bytes. */
export function bytesOf(array: Float32Array | Int16Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Writes `data` to bytes from `offset` on; the array's own end may be within a word. */
export function writeBytes(
  commands: Commands,
  enqueue: (operator: WgslOperator) => void,
  target: Segments,
  data: Uint8Array<ArrayBufferLike>,
  offset: number,
): void {
  mergedWords(target, data, offset).forEach(enqueue);
  const { firstWhole, endWhole } = wholeWords(data.length, offset);
  for (let at = firstWhole * 4; at < endWhole * 4;) {
    const segment = Math.floor(at / target.segmentBytes);
    const inSegment = at - segment * target.segmentBytes;
    const bytes = Math.min(endWhole * 4 - at, target.segmentBytes - inSegment);
    const range = target.ranges[segment];
    const part = data.subarray(at - offset, at - offset + bytes);
    commands.write({ buffer: range.buffer, offset: range.offset + inSegment, bytes }, part);
    at += bytes;
  }
}

/** Words, those of `length` bytes from `offset` on that are whole. */
function wholeWords(length: number, offset: number) {
  return { firstWhole: Math.ceil(offset / 4), endWhole: Math.floor((offset + length) / 4) };
}

/** What sets the bytes of words that are written in part: the first, the last, or none. */
export function mergedWords(target: ArrayExtent, data: Uint8Array<ArrayBufferLike>, offset: number): WgslOperator[] {
  if (data.length === 0) return [];
  const { firstWhole, endWhole } = wholeWords(data.length, offset);
  const ends = new Set([Math.floor(offset / 4), Math.floor((offset + data.length - 1) / 4)]);
  return [...ends].filter((word) => word < firstWhole || word >= endWhole)
    .map((word) => mergeWord(target, data, offset, word));
}

function mergeWord(target: ArrayExtent, data: Uint8Array, offset: number, word: number): WgslOperator {
  let [keep, bits] = [0, 0];
  for (let i = 0; i < 4; i++) {
    const value = data[word * 4 + i - offset];
    if (value === undefined) keep += 0xff * 2 ** (8 * i);
    else bits += value * 2 ** (8 * i);
  }
  return planMergeWord({ words: layoutOf("target", target, 4), word, keep, bits });
}
