/** Parameter blocks: one table of names and types describes what the host writes and what a kernel reads. */
import type { Param } from "./kernel.ts";

/** Names of a kernel's parameters in the order of its block, and their types. */
export type ParamTypes = Readonly<Record<string, Param["type"]>>;

/** The address of a named slot plus a fixed byte offset. */
export interface SlotAddress {
  readonly slot: string;
  readonly offset?: number;
}

/** Values for a block: numbers, and slots for addresses. */
export type ParamValues<L extends ParamTypes> = {
  readonly [K in keyof L]: L[K] extends "address" ? SlotAddress : number;
};

export function at(slot: string, offset = 0): SlotAddress {
  return { slot, offset };
}

const sizeOf = (type: Param["type"]) => type === "address" ? 8 : 4;
const align = (offset: number, size: number) => Math.ceil(offset / size) * size;

/** Byte offset of every parameter in its block. */
export function paramOffsets(layout: ParamTypes): Record<string, number> {
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const [name, type] of Object.entries(layout)) {
    offsets[name] = align(end, sizeOf(type));
    end = offsets[name] + sizeOf(type);
  }
  return offsets;
}

/** A call's parameters by name, in the layout's order. */
export function listParams<L extends ParamTypes>(layout: L, values: ParamValues<L>): Param[] {
  return Object.entries(layout).map(([name, type]): Param => {
    const value = values[name] as number | SlotAddress;
    if (typeof value !== "number") return { type: "address", ...value };
    if (type === "address") throw new TypeError(`Parameter ${name} is an address, got the number ${value}`);
    return { type, value };
  });
}

/** Bytes of a parameter block; its length is a multiple of 8 and it must lie at a multiple of 8. */
export function encodeParams(params: readonly Param[], addressOf: (slot: string) => number): Uint8Array<ArrayBuffer> {
  const offsets: number[] = [];
  let end = 0;
  for (const { type } of params) {
    offsets.push(align(end, sizeOf(type)));
    end = offsets[offsets.length - 1] + sizeOf(type);
  }
  const bytes = new Uint8Array(align(end, 8));
  const view = new DataView(bytes.buffer);
  params.forEach((param, i) => {
    if (param.type === "address") {
      view.setBigUint64(offsets[i], BigInt(addressOf(param.slot) + (param.offset ?? 0)), true);
    } else if (param.type === "i32") view.setInt32(offsets[i], param.value, true);
    else view.setFloat32(offsets[i], param.value, true);
  });
  return bytes;
}
