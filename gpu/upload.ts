/** Copies from the host to the device: whole words by the queue, bytes within a word by a kernel. */
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planMergeWord } from "../kernels/wgsl/volume/words.ts";
import { layoutOf, type Segments } from "./buffers.ts";
import type { Commands } from "./commands.ts";

/** Writes `data` to bytes from `offset` on; the array's own end may be within a word. */
export function writeBytes(
  commands: Commands,
  enqueue: (operator: WgslOperator) => void,
  target: Segments,
  data: Uint8Array<ArrayBufferLike>,
  offset: number,
): void {
  const end = offset + data.length;
  if (data.length === 0) return;
  const firstWhole = Math.ceil(offset / 4);
  const endWhole = Math.floor(end / 4);
  for (const word of new Set([Math.floor(offset / 4), Math.floor((end - 1) / 4)])) {
    if (word < firstWhole || word >= endWhole) enqueue(mergeWord(target, data, offset, word));
  }
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

function mergeWord(target: Segments, data: Uint8Array, offset: number, word: number): WgslOperator {
  let [keep, bits] = [0, 0];
  for (let i = 0; i < 4; i++) {
    const value = data[word * 4 + i - offset];
    if (value === undefined) keep += 0xff * 2 ** (8 * i);
    else bits += value * 2 ** (8 * i);
  }
  return planMergeWord({ words: layoutOf("target", target, 4), word, keep, bits });
}
