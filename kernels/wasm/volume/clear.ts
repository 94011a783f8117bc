/** Setting memory to zero, shared among the threads. */
import { distance } from "../elementwise/simd.ts";
import { i32, i64 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator } from "../kernel.ts";
import { listParams, type ParamTypes } from "../params.ts";

export interface Clear {
  readonly slot: string;
  /** Byte range [offset, offset + bytes) of the slot. */
  readonly offset: number;
  readonly bytes: number;
}

/** Bytes an item clears. */
const ITEM_BYTES = 1 << 20;

/** Lengths are in two parts because a range may exceed 2 GiB: whole items of {@link ITEM_BYTES} and a last one of `rest` bytes. */
const CLEAR_FIELDS = {
  target: "address",
  itemBytes: "i32",
  wholeItems: "i32",
  rest: "i32",
} as const satisfies ParamTypes;

/** Fills a byte range of a slot with zeros. */
export function planClear(spec: Clear): Operator {
  const wholeItems = Math.floor(spec.bytes / ITEM_BYTES);
  const rest = spec.bytes - wholeItems * ITEM_BYTES;
  const params = listParams(CLEAR_FIELDS, {
    target: { slot: spec.slot, offset: spec.offset },
    itemBytes: ITEM_BYTES,
    wholeItems,
    rest,
  });
  const items = wholeItems + (rest > 0 ? 1 : 0);
  return {
    algorithm: "clear",
    calls: items === 0 ? [] : [{ kernel: "clear_bytes", params, items, scratchBytes: 0 }],
    temporaries: {},
    flops: 0,
    bytes: spec.bytes,
    coreSeconds: spec.bytes / 12e9,
  };
}

const clearKernel = kernelOf("clear_bytes", CLEAR_FIELDS, (f, p, item) => {
  const from = i64.add(p.target, distance(item, i64.extendS(p.itemBytes)));
  f.zeroBytes(from, i64.extendS(i32.select(p.itemBytes, p.rest, i32.ltS(item, p.wholeItems))));
});

export const CLEAR_KERNELS: readonly Kernel[] = [clearKernel];
