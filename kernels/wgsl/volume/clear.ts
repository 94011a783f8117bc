/** Setting any range of bytes to zero, whole words or not. */
import { type ArrayLayout, arrayView } from "../emit/views.ts";
import { cutRanges, walkedSegment } from "../emit/ranges.ts";
import { threadKernel, threadMain, u32 } from "../emit/thread_kernel.ts";
import type { WgslOperator } from "../kernel.ts";

export interface Clear {
  /** Elements are words of four bytes. */
  readonly words: ArrayLayout;
  /** Byte range [offset, offset + bytes) of the slot. */
  readonly offset: number;
  readonly bytes: number;
}

/** Fills a byte range of a slot with zeros. A thread clears a word; the first and the last one keep the bytes beside the range. */
export function planClear(spec: Clear): WgslOperator {
  const { offset, bytes } = spec;
  const first = Math.floor(offset / 4);
  const count = bytes === 0 ? 0 : Math.ceil((offset + bytes) / 4) - first;
  const walk = { layout: spec.words, elementOf: (thread: number) => first + thread };
  const bytesBefore = offset - first * 4;
  const bytesBehind = (first + count) * 4 - (offset + bytes);
  const dispatches = cutRanges(count, [walk]).map((range) => {
    const uniforms = {
      first: u32(first),
      last: u32(first + count - 1),
      // Bytes to keep, the first byte of a word being its lowest.
      keep_in_first: u32(2 ** (8 * bytesBefore) - 1),
      keep_in_last: u32(2 ** 32 - 2 ** (32 - 8 * bytesBehind)),
    };
    const views = [arrayView("words", spec.words, "u32", "read_write", walkedSegment(walk, range))];
    const text = `${threadMain("thread")}
  let word = p.first + thread;
  let keep = select(0u, p.keep_in_first, word == p.first) | select(0u, p.keep_in_last, word == p.last);
  if (keep == 0u) {
    store_words(word, 0u);
  } else {
    store_words(word, load_words(word) & keep);
  }
}
`;
    return threadKernel("clear", views, range, text, uniforms);
  });
  return { algorithm: "clear", dispatches, temporaries: {}, flops: 0, bytes };
}
