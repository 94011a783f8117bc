/** Writing bytes within words: what an upload does where it begins or ends in the middle of a word. */
import { type ArrayLayout, arrayView, touchedSegments } from "../emit/views.ts";
import { threadKernel, u32 } from "../emit/thread_kernel.ts";
import type { WgslOperator } from "../kernel.ts";

export interface MergeWord {
  /** Elements are words of four bytes. */
  readonly words: ArrayLayout;
  readonly word: number;
  /** Bits of the word that stay. */
  readonly keep: number;
  /** The others, 0 where bits stay. */
  readonly bits: number;
}

/** word = (word & keep) | bits. One thread; the host cannot write less than a word. */
export function planMergeWord({ words, word, keep, bits }: MergeWord): WgslOperator {
  const range = { start: 0, end: 1 };
  const views = [arrayView("words", words, "u32", "read_write", touchedSegments(words, [[word, word]]))];
  const uniforms = { word: u32(word), keep: u32(keep), bits: u32(bits) };
  const text = `@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x > 0u) { return; }
  store_words(p.word, (load_words(p.word) & p.keep) | p.bits);
}
`;
  const dispatches = [threadKernel("merge word", views, range, text, uniforms)];
  return { algorithm: "merge word", dispatches, temporaries: {}, flops: 0, bytes: 8 };
}
