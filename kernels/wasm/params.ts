/** Parameter blocks: one table of names and types describes what the host writes and what a kernel reads. */
import type { Vec3 } from "../../core/base/shape.ts";
import type { Param } from "./kernel.ts";

/** Names of a kernel's parameters in the order of its block, and their types; "axes": three i32, `<name>Z`, `<name>Y` and `<name>X`. */
export type ParamTypes = Readonly<Record<string, Param["type"] | "axes">>;

/** The address of a named slot plus a fixed byte offset. */
export interface SlotAddress {
  readonly slot: string;
  readonly offset?: number;
}

/** Values for a block: numbers, and slots for addresses. */
export type ParamValues<L extends ParamTypes> = {
  readonly [K in keyof L]: L[K] extends "address" ? SlotAddress : L[K] extends "axes" ? Vec3 : number;
};

export function at(slot: string, offset = 0): SlotAddress {
  return { slot, offset };
}

const sizeOf = (type: Param["type"]) => type === "address" ? 8 : 4;
const align = (offset: number, size: number) => Math.ceil(offset / size) * size;

/** The parameters of a layout one by one. */
export function eachParam(layout: ParamTypes): readonly (readonly [name: string, type: Param["type"]])[] {
  return Object.entries(layout).flatMap(([name, type]) =>
    type === "axes" ? ["Z", "Y", "X"].map((axis) => [name + axis, "i32"] as const) : [[name, type] as const]
  );
}

/** Byte offset of every parameter in its block. */
export function paramOffsets(layout: ParamTypes): Record<string, number> {
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const [name, type] of eachParam(layout)) {
    offsets[name] = align(end, sizeOf(type));
    end = offsets[name] + sizeOf(type);
  }
  return offsets;
}

/** A call's parameters by name, in the layout's order; a name that the layout does not have is a type error, spread or not. */
export function listParams<L extends ParamTypes, V extends ParamValues<L>>(
  layout: L,
  values: V & { readonly [K in Exclude<keyof V, keyof L>]: never },
): Param[] {
  return Object.entries(layout).flatMap(([name, type]): Param[] => {
    const value = values[name] as number | SlotAddress | Vec3;
    if (typeof value !== "number") {
      return "slot" in value ? [{ type: "address", ...value }] : value.map((value) => ({ type: "i32", value }));
    }
    if (type === "i32" || type === "f32") return [{ type, value }];
    throw new TypeError(`Parameter ${name} is of type ${type}, got the number ${value}`);
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
