/** The tensors of the CPU engine: ranges of the shared memory, written and read in the order of the stream. */
import { checkAlive, checkAlloc, checkRange } from "../core/engine/checks.ts";
import {
  ELEMENT_ARRAYS,
  type ElementArrays,
  type ElementType,
  type Engine,
  type TensorHandle,
} from "../core/engine/engine.ts";
import type { Operator } from "../kernels/wasm/kernel.ts";
import { planClear } from "../kernels/wasm/volume/clear.ts";
import { copyOperator } from "./encode.ts";
import type { Region, Stream } from "./stream.ts";

/** What the other parts of the engine work with. */
export interface Tensors {
  readonly calls: Pick<Engine, "alloc" | "upload" | "clear" | "download">;
  /** @throws UserError naming `what` if there is no memory left. */
  allocate(bytes: number, what: string): Region;
  /** Gives the memory back once the commands and downloads that use it are done. */
  release(region: Region): void;
  /** @throws RangeError if the tensor is not this engine's, or released. */
  regionOf(tensor: TensorHandle, doing: string): Region;
  /** Enqueues one operator whose slots are whole regions, or addresses; `used` are the regions that it touches. */
  enqueue(operator: Operator, slots: Readonly<Record<string, Region | number>>, used?: readonly Region[]): void;
}

export function createTensors(stream: Stream): Tensors {
  const { memory } = stream;
  const tensors = new WeakMap<TensorHandle, Region>();

  function allocate(bytes: number, what: string): Region {
    const { address, busyUntil } = memory.allocate(bytes, what);
    return { address, bytes, lastUse: busyUntil, openReads: new Set(), alive: true };
  }

  function release(region: Region): void {
    if (!region.alive) return;
    region.alive = false;
    if (region.openReads.size === 0) memory.free(region.address, region.lastUse);
    else stream.afterwards(() => memory.free(region.address, region.lastUse));
  }

  function regionOf(tensor: TensorHandle, doing: string): Region {
    const region = tensors.get(tensor);
    checkAlive(region?.alive === true, tensor.label, doing);
    return region as Region;
  }

  function enqueue(
    operator: Operator,
    slots: Readonly<Record<string, Region | number>>,
    used: readonly Region[] = Object.values(slots).filter((slot) => typeof slot !== "number"),
  ): void {
    const addressOf = (slot: string) => {
      const found = slots[slot];
      if (found === undefined) throw new RangeError(`Resolving a kernel's operands: there is no slot ${slot}`);
      return typeof found === "number" ? found : found.address;
    };
    const encoded = stream.encode(operator.calls.map((call) => ({ call, addressOf })));
    stream.submit(encoded, used);
    stream.release(encoded);
  }

  const calls: Tensors["calls"] = {
    alloc<T extends ElementType>(type: T, length: number, label: string): TensorHandle<T> {
      checkAlloc(length, label);
      const region = allocate(length * ELEMENT_ARRAYS[type].BYTES_PER_ELEMENT, label);
      const handle: TensorHandle<T> = { type, length, label, [Symbol.dispose]: () => release(region) };
      tensors.set(handle, region);
      return handle;
    },
    upload(target, data, offset = 0) {
      const doing = "Uploading";
      checkRange(target, offset, data.length, doing);
      stream.check();
      const region = regionOf(target, doing);
      const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const start = offset * data.BYTES_PER_ELEMENT;
      if (stream.isIdle(region)) {
        memory.bytes(region.address + start, source.length).set(source);
        return;
      }
      const staging = memory.allocateIdle(source.length, `uploading ${target.label}`);
      memory.bytes(staging, source.length).set(source);
      const slots = { source: staging, target: region.address + start, length: source.length };
      enqueue(copyOperator(source.length), slots, [region]);
      memory.free(staging, stream.issued);
    },
    clear(target, offset = 0, length = target.length - offset) {
      checkRange(target, offset, length, "Clearing");
      const size = ELEMENT_ARRAYS[target.type].BYTES_PER_ELEMENT;
      const region = regionOf(target, "Clearing");
      enqueue(planClear({ slot: "target", offset: offset * size, bytes: length * size }), { target: region });
    },
    download<T extends ElementType>(source: TensorHandle<T>, offset = 0, length = source.length - offset) {
      checkRange(source, offset, length, "Downloading");
      const region = regionOf(source, "Downloading");
      const size = ELEMENT_ARRAYS[source.type].BYTES_PER_ELEMENT;
      return stream.read(region, () => {
        const bytes = memory.bytes(region.address + offset * size, length * size).slice();
        return new ELEMENT_ARRAYS[source.type](bytes.buffer) as ElementArrays[T];
      });
    },
  };
  return { calls, allocate, release, regionOf, enqueue };
}
