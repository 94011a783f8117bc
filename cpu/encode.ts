/** Kernel calls as bytes in shared memory: the form in which workers read them. */
import type { KernelCall, Operator } from "../kernels/wasm/kernel.ts";
import { encodeParams } from "../kernels/wasm/params.ts";
import { CALL, COMMAND, COPY, COPY_ITEM_BYTES } from "./protocol.ts";

/** A call whose slots can be resolved. */
export interface PlacedCall {
  readonly call: KernelCall;
  readonly addressOf: (slot: string) => number;
}

/** An encoded list of calls: their records one after the other, then their parameters. */
export interface EncodedCalls {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Adds the block's address to the pointers in it. */
  readonly relocate: (address: number) => void;
}

const align = (bytes: number) => Math.ceil(bytes / 16) * 16;

/** Name of the built-in copy among the kernels. */
const COPY_KERNEL = "copy";

/** A copy of bytes from one address to another as a call. */
function copyCall(bytes: number): KernelCall {
  return {
    kernel: COPY_KERNEL,
    params: [
      { type: "address", slot: "source" },
      { type: "address", slot: "target" },
      { type: "address", slot: "length" },
    ],
    items: Math.ceil(bytes / COPY_ITEM_BYTES),
    scratchBytes: 0,
  };
}

/** A copy of bytes as an operator over slots "source", "target" and "length", the last of which is a number. */
export function copyOperator(bytes: number): Operator {
  return { algorithm: "copy", calls: [copyCall(bytes)], temporaries: {}, flops: 0, bytes, coreSeconds: 0 };
}

/**
 * Encodes calls; calls without items are left out.
 * @throws RangeError if a call names a kernel that the module lacks.
 */
export function encodeCalls(calls: readonly PlacedCall[], kernels: ReadonlyMap<string, number>): EncodedCalls {
  const blocks = calls.filter(({ call }) => call.items > 0).map(({ call, addressOf }) => {
    const kernel = call.kernel === COPY_KERNEL ? COPY : kernels.get(call.kernel);
    if (kernel === undefined) throw new RangeError(`Encoding a call: there is no kernel ${call.kernel}`);
    return { kernel, items: call.items, firstItem: call.firstItem ?? 0, params: encodeParams(call.params, addressOf) };
  });
  const offsets: number[] = [];
  let end = align(blocks.length * CALL.bytes);
  for (const { params } of blocks) {
    offsets.push(end);
    end += align(params.length);
  }
  const bytes = new Uint8Array(end);
  const view = new DataView(bytes.buffer);
  blocks.forEach(({ kernel, items, firstItem, params }, i) => {
    view.setInt32(i * CALL.bytes + CALL.kernel, kernel, true);
    view.setInt32(i * CALL.bytes + CALL.items, items, true);
    view.setInt32(i * CALL.bytes + CALL.firstItem, firstItem, true);
    bytes.set(params, offsets[i]);
  });
  return {
    bytes,
    count: blocks.length,
    relocate: (address) =>
      offsets.forEach((offset, i) => view.setBigUint64(i * CALL.bytes + CALL.params, BigInt(address + offset), true)),
  };
}

/** A command over encoded calls, to be linked into the list. */
export function encodeCommand(calls: number, count: number, scratch: number, scratchBytes: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(COMMAND.bytes));
  view.setBigUint64(COMMAND.calls, BigInt(calls), true);
  view.setBigUint64(COMMAND.count, BigInt(count), true);
  view.setBigUint64(COMMAND.scratch, BigInt(scratch), true);
  view.setBigUint64(COMMAND.scratchBytes, BigInt(scratchBytes), true);
  return new Uint8Array(view.buffer);
}
