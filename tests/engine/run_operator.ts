/** Runs an operator's kernel calls on one thread in a small shared memory, with guards around every slot and the scratch. */
import { assertEquals } from "../assert.ts";
import type { Kernel } from "../../kernels/wasm/emit/module_builder.ts";
import { emitModule, encodeParams } from "../../kernels/wasm/module.ts";
import type { Operator } from "../../kernels/wasm/kernel.ts";

/** Named arrays of an operator: inputs, outputs, or both. */
export type Slots = Readonly<Record<string, ArrayBufferView<ArrayBufferLike>>>;

export interface RunOptions {
  /** Items in descending order: results must be the same. */
  readonly reversed?: boolean;
}

const PAGE = 65536;
const GUARD = 64;
const GUARD_BYTE = 0xa5;
/** What temporaries and scratch hold before: as f32 a NaN, so that reading it shows. */
const UNDEFINED_BYTE = 0xff;

type KernelExport = (params: bigint, item: number, scratch: bigint) => void;

/** An instance of a module with these kernels, and its memory of `pages`. */
export function instantiate(kernels: readonly Kernel[], pages: number) {
  const memory = new WebAssembly.Memory({
    address: "i64",
    shared: true,
    initial: BigInt(pages),
    maximum: BigInt(pages),
  } as unknown as WebAssembly.MemoryDescriptor);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(emitModule(kernels)), { env: { memory } });
  return { memory, exports: instance.exports as Record<string, KernelExport> };
}

/**
 * A function that runs operators over arrays: copies the slots in, runs every item of every call, copies the slots back.
 * It fails where a kernel writes outside its slots or scratch. Scratch is made undefined anew for every item.
 */
export function operatorRunner(kernels: readonly Kernel[], pages = 512) {
  const { memory, exports } = instantiate(kernels, pages);
  const bytes = new Uint8Array(memory.buffer);
  return (operator: Operator, slots: Slots, options: RunOptions = {}): void => {
    const ranges = new Map<string, { at: number; length: number }>();
    let end = PAGE;
    const place = (name: string, length: number) => {
      const at = Math.ceil((end + GUARD) / 64) * 64;
      ranges.set(name, { at, length });
      end = at + length + GUARD;
      if (end > bytes.length) throw new RangeError(`Placing ${name}: ${end} bytes exceed ${bytes.length}`);
    };
    for (const [name, array] of Object.entries(slots)) place(name, array.byteLength);
    for (const [name, length] of Object.entries(operator.temporaries)) place(name, length);
    place("scratch", Math.max(0, ...operator.calls.map((call) => call.scratchBytes)));
    const addressOf = (name: string): { at: number; length: number } => {
      const range = ranges.get(name);
      if (!range) throw new RangeError(`The operator names slot ${name}, which is not there`);
      return range;
    };
    const blocks = operator.calls.map((call) => encodeParams(call.params, (slot) => addressOf(slot).at));
    const blockAt = blocks.map((block) => {
      const at = Math.ceil((end + GUARD) / 64) * 64;
      end = at + block.length;
      return at;
    });
    if (end > bytes.length) throw new RangeError(`Placing parameters: ${end} bytes exceed ${bytes.length}`);

    bytes.fill(GUARD_BYTE, PAGE, end + GUARD);
    for (const { at, length } of ranges.values()) bytes.fill(UNDEFINED_BYTE, at, at + length);
    for (const [name, array] of Object.entries(slots)) bytes.set(bytesOf(array), addressOf(name).at);
    blocks.forEach((block, i) => bytes.set(block, blockAt[i]));

    const scratch = addressOf("scratch");
    operator.calls.forEach((call, i) => {
      for (let k = 0; k < call.items; k++) {
        bytes.fill(UNDEFINED_BYTE, scratch.at, scratch.at + scratch.length);
        const item = (call.firstItem ?? 0) + (options.reversed ? call.items - 1 - k : k);
        exports[call.kernel](BigInt(blockAt[i]), item, BigInt(scratch.at));
        // The scratch a call asked for, not the largest of all calls.
        const spill = bytes.subarray(scratch.at + call.scratchBytes, scratch.at + scratch.length);
        assertEquals(spill.findIndex((b) => b !== UNDEFINED_BYTE), -1, `${call.kernel} wrote behind its scratch`);
      }
    });

    for (const [name, { at, length }] of ranges) {
      for (const [side, from] of [["before", at - GUARD], ["behind", at + length]] as const) {
        const guard = bytes.subarray(from, from + GUARD);
        assertEquals(guard.findIndex((b) => b !== GUARD_BYTE), -1, `${operator.algorithm} wrote ${side} ${name}`);
      }
    }
    for (const [name, array] of Object.entries(slots)) {
      const { at, length } = addressOf(name);
      bytesOf(array).set(bytes.subarray(at, at + length));
    }
  };
}

function bytesOf(array: ArrayBufferView<ArrayBufferLike>): Uint8Array<ArrayBufferLike> {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Numbers in [-1, 1) that are the same on every run (a linear congruential generator). */
export function noise(length: number, seed: number): Float32Array {
  const values = new Float32Array(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = state / 2 ** 31 - 1;
  }
  return values;
}

/** Channels-last noise whose padding lanes are zero: `voxels` times `channels` padded to four, or to `stride`. */
export function paddedNoise(voxels: number, channels: number, seed: number, stride = (channels + 3) & ~3) {
  const values = noise(voxels * stride, seed);
  for (let i = 0; i < values.length; i++) if (i % stride >= channels) values[i] = 0;
  return values;
}
