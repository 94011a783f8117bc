/**
 * The engine's buffers. An array is one buffer, or several where the device binds or allocates less at a time than it is long. Work
 * runs in the order in which it was enqueued, so a buffer that is given back can be handed out again at once.
 */
import { UserError } from "../core/base/errors.ts";
import type { ArrayLayout } from "../kernels/wgsl/emit/views.ts";
import type { GpuDevice } from "./device.ts";

export interface DeviceBuffer {
  /** Unique, for keys. */
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

/** What a kernel binds. */
export interface BufferRange {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** A slot's segments: all of `segmentBytes` but the last, which may be shorter. */
export interface Segments {
  readonly ranges: readonly BufferRange[];
  readonly segmentBytes: number;
  readonly bytes: number;
}

/** What kernels must know of an array's segments. */
export interface ArrayExtent {
  readonly ranges: { readonly length: number };
  readonly segmentBytes: number;
  readonly bytes: number;
}

/** Sizes of what arrays are cut into. */
export interface BufferLimits {
  /** The most bytes of one binding, a multiple of 256. */
  readonly bindingBytes: number;
  readonly memoryBytes: number;
}

export interface Buffers {
  /** A buffer of at least `bytes`, from the pool if one fits. @throws UserError naming `what` beyond the memory limit. */
  take(bytes: number, what: string): DeviceBuffer;
  /** Gives a buffer back; enqueued commands may still use it. */
  give(buffer: DeviceBuffer): void;
  /** An array in as many segments as the limits ask for. */
  takeArray(bytes: number, what: string): Segments;
  /** An array in segments of `segmentBytes`, which a binding holds. */
  takeSegments(bytes: number, segmentBytes: number, what: string): Segments;
  giveArray(segments: Segments): void;
  /** Bytes handed out. */
  readonly used: number;
  /** Bytes on the device, those kept for reuse included, and the most there were. */
  readonly held: number;
  readonly highWater: number;
}

/** Bindings begin at multiples of this: the largest that WebGPU allows a device to ask for. */
export const BINDING_ALIGNMENT = 256;
/** Arrays are padded to this, so that kernels may see them as vectors. */
const ARRAY_ALIGNMENT = 16;
/** Idle buffers are kept up to this many bytes. */
const IDLE_BYTES = 512 * 2 ** 20;
/** A buffer may be this much larger than what is asked for. */
const SLACK = 1.25;

/** Bytes that an array takes, and of each of its segments but the last. */
export function extentOf(
  request: number,
  bindingBytes: number,
): { readonly bytes: number; readonly segmentBytes: number } {
  const bytes = roundUp(Math.max(request, ARRAY_ALIGNMENT), ARRAY_ALIGNMENT);
  return { bytes, segmentBytes: Math.min(bytes, bindingBytes) };
}

/** Rounds up to whole multiples. */
export function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}

/** A whole buffer's first bytes as a slot of one segment. */
export function oneSegment(buffer: DeviceBuffer, bytes = buffer.bytes, offset = 0): Segments {
  return { ranges: [{ buffer, offset, bytes }], segmentBytes: bytes, bytes };
}

/** How kernels see segments as elements of `elementBytes`. */
export function layoutOf(
  slot: string,
  { ranges, segmentBytes, bytes }: ArrayExtent,
  elementBytes: number,
): ArrayLayout {
  return {
    slot,
    length: Math.floor(bytes / elementBytes),
    segments: ranges.length,
    segmentLength: Math.floor(segmentBytes / elementBytes),
  };
}

/** Buffers that are given back together. */
export interface HeldBuffers extends Disposable {
  /** As {@link Buffers.take}. */
  take(bytes: number, what: string): DeviceBuffer;
  /** False once they were given back. */
  readonly alive: boolean;
}

export function holdBuffers(buffers: Pick<Buffers, "take" | "give">): HeldBuffers {
  const taken: DeviceBuffer[] = [];
  let alive = true;
  return {
    take(bytes, what) {
      const buffer = buffers.take(bytes, what);
      taken.push(buffer);
      return buffer;
    },
    get alive() {
      return alive;
    },
    [Symbol.dispose]() {
      alive = false;
      taken.splice(0).forEach(buffers.give);
    },
  };
}

/** @param onDestroy is called before a buffer is destroyed: commands that use it must have been submitted then. */
export function createBuffers(
  gpu: GpuDevice,
  limits: BufferLimits,
  onDestroy: (buffer: DeviceBuffer) => void,
): Buffers {
  const { device } = gpu;
  /** Oldest first. */
  let idle: DeviceBuffer[] = [];
  const recoveries = new Map<DeviceBuffer, () => void>();
  const given = new WeakSet<DeviceBuffer>();
  let nextId = 0;
  let used = 0;
  let held = 0;
  let highWater = 0;

  function destroy(buffer: DeviceBuffer): void {
    onDestroy(buffer);
    held -= buffer.bytes;
    buffer.buffer.destroy();
  }

  /** Destroys idle buffers, the oldest first, until at most so many bytes are kept. */
  function trim(keep: number): void {
    let bytes = idle.reduce((sum, buffer) => sum + buffer.bytes, 0);
    while (idle.length > 0 && bytes > keep) {
      const [oldest, ...others] = idle;
      idle = others;
      bytes -= oldest.bytes;
      destroy(oldest);
    }
  }

  function create(bytes: number, what: string): DeviceBuffer {
    const lack = (problem: string) =>
      new UserError({
        doing: `allocating GPU memory for ${what}`,
        problem: `${mebibytes(bytes)} are needed and ${mebibytes(used)} are in use, ${problem}`,
        remedy: "give --max-memory so that less is kept at once, close other programs that use the GPU, or -device cpu",
      });
    if (held + bytes > limits.memoryBytes) trim(Math.max(0, limits.memoryBytes - used - bytes));
    if (held + bytes > limits.memoryBytes) throw lack(`of at most ${mebibytes(limits.memoryBytes)}`);
    const id = nextId++;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer: DeviceBuffer = gpu.guardMemory(
      () => ({ id, bytes, buffer: device.createBuffer({ label: what, size: bytes, usage }) }),
      () => lack(`and ${gpu.facts.name} has no more`),
      (recovered) => {
        if (!given.has(buffer)) {
          recoveries.set(buffer, recovered);
          return;
        }
        idle = idle.filter((other) => other !== buffer);
        destroy(buffer);
        recovered();
      },
    );
    held += bytes;
    highWater = Math.max(highWater, held);
    return buffer;
  }

  const buffers: Buffers = {
    take(request, what) {
      const bytes = roundUp(Math.max(request, ARRAY_ALIGNMENT), ARRAY_ALIGNMENT);
      const fitting = idle.filter((buffer) => buffer.bytes >= bytes && buffer.bytes <= bytes * SLACK);
      const best = fitting.reduce<DeviceBuffer | undefined>(
        (chosen, buffer) => (!chosen || buffer.bytes < chosen.bytes ? buffer : chosen),
        undefined,
      );
      if (best) idle = idle.filter((buffer) => buffer !== best);
      const buffer = best ?? create(bytes, what);
      given.delete(buffer);
      used += buffer.bytes;
      return buffer;
    },
    give(buffer) {
      if (given.has(buffer)) return;
      given.add(buffer);
      used -= buffer.bytes;
      const recovered = recoveries.get(buffer);
      if (recovered) {
        // It never existed: nothing can be made of it.
        recoveries.delete(buffer);
        destroy(buffer);
        recovered();
        return;
      }
      idle.push(buffer);
      trim(IDLE_BYTES);
    },
    takeArray(request, what) {
      const { bytes, segmentBytes } = extentOf(request, limits.bindingBytes);
      return buffers.takeSegments(bytes, segmentBytes, what);
    },
    takeSegments(bytes, segmentBytes, what) {
      const ranges: BufferRange[] = [];
      try {
        for (let start = 0; start < bytes; start += segmentBytes) {
          const length = Math.min(segmentBytes, bytes - start);
          ranges.push({ buffer: buffers.take(length, what), offset: 0, bytes: length });
        }
      } catch (error) {
        for (const { buffer } of ranges) buffers.give(buffer);
        throw error;
      }
      return { ranges, segmentBytes, bytes };
    },
    giveArray({ ranges }) {
      for (const { buffer } of ranges) buffers.give(buffer);
    },
    get used() {
      return used;
    },
    get held() {
      return held;
    },
    get highWater() {
      return highWater;
    },
  };
  return buffers;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20).toLocaleString("en")} MiB`;
}
