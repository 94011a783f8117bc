/** Tensors on the GPU: flat arrays over segments of buffers, and what goes in and out of them. */
import { checkAlive, checkAlloc, checkRange } from "../core/engine/checks.ts";
import {
  ELEMENT_ARRAYS,
  type ElementArrays,
  type ElementType,
  type Engine,
  type TensorHandle,
} from "../core/engine/engine.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planClear } from "../kernels/wgsl/volume/clear.ts";
import { layoutOf, type Segments } from "./buffers.ts";
import type { Tools } from "./program.ts";
import { heard, readBytes } from "./readback.ts";
import { writeBytes } from "./upload.ts";

/** A tensor's segments, or nothing once it is disposed. */
interface TensorState {
  segments: Segments | undefined;
}

export interface Tensors {
  /** @throws RangeError if the tensor is disposed, or another engine's */
  segmentsOf(tensor: TensorHandle, doing: string): Segments;
  /** The port's calls. */
  readonly calls: Pick<Engine, "alloc" | "upload" | "clear" | "download">;
}

export function createTensors(
  { gpu, buffers, commands }: Tools,
  enqueue: (operator: WgslOperator, slots: Readonly<Record<string, Segments>>) => void,
): Tensors {
  const tensors = new WeakMap<TensorHandle, TensorState>();

  function segmentsOf(tensor: TensorHandle, doing: string): Segments {
    const segments = tensors.get(tensor)?.segments;
    checkAlive(segments !== undefined, tensor.label, doing);
    return segments as Segments;
  }

  const calls: Tensors["calls"] = {
    alloc<T extends ElementType>(type: T, length: number, label: string): TensorHandle<T> {
      checkAlloc(length, label);
      gpu.check();
      const state: TensorState = {
        segments: buffers.takeArray(length * ELEMENT_ARRAYS[type].BYTES_PER_ELEMENT, label),
      };
      const dispose = () => {
        if (state.segments) buffers.giveArray(state.segments);
        state.segments = undefined;
      };
      const handle: TensorHandle<T> = { type, length, label, [Symbol.dispose]: dispose };
      tensors.set(handle, state);
      return handle;
    },
    upload(target, data, offset = 0) {
      const doing = "Uploading";
      checkRange(target, offset, data.length, doing);
      gpu.check();
      const segments = segmentsOf(target, doing);
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const merge = (operator: WgslOperator) => enqueue(operator, { target: segments });
      writeBytes(commands, merge, segments, bytes, offset * data.BYTES_PER_ELEMENT);
    },
    clear(target, offset = 0, length = target.length - offset) {
      checkRange(target, offset, length, "Clearing");
      const size = ELEMENT_ARRAYS[target.type].BYTES_PER_ELEMENT;
      const segments = segmentsOf(target, "Clearing");
      const words = layoutOf("target", segments, 4);
      enqueue(planClear({ words, offset: offset * size, bytes: length * size }), { target: segments });
    },
    download: (source, offset = 0, length = source.length - offset) => heard(downloadNow(source, offset, length)),
  };

  async function downloadNow<T extends ElementType>(source: TensorHandle<T>, offset: number, length: number) {
    checkRange(source, offset, length, "Downloading");
    const segments = segmentsOf(source, "Downloading");
    const size = ELEMENT_ARRAYS[source.type].BYTES_PER_ELEMENT;
    const bytes = await readBytes(gpu, commands, segments, offset * size, length * size);
    return new ELEMENT_ARRAYS[source.type](bytes.buffer) as ElementArrays[T];
  }

  return { segmentsOf, calls };
}
