/** Setting any range of bytes to zero, whole words or not. */
import type { ArrayLayout } from "./elementwise_segments.ts";
import type { WgslOperator } from "./kernel.ts";

export interface Clear {
  /** Elements are words of four bytes. */
  readonly words: ArrayLayout;
  /** Byte range [offset, offset + bytes) of the slot. */
  readonly offset: number;
  readonly bytes: number;
}

export function planClear(_spec: Clear): WgslOperator {
  throw new Error("not written yet");
}
