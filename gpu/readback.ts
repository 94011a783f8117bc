/** Copies from the device to the host. Waiting costs at least 11 ms however little is read, so copies asked for together wait together. */
import type { BufferRange, Segments } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import type { GpuDevice } from "./device.ts";

/** The most bytes of one copy to the host. */
const STAGING_BYTES = 128 * 2 ** 20;

/** How a copy is waited for. */
export interface Waiting {
  /** The copy is made at once, and the device waited for only after this. */
  readonly when?: Promise<void>;
  /** Called when the bytes are on their way: what it enqueues runs while they are waited for. */
  readonly meanwhile?: () => void;
  /** Where the buffers on the way come from; absent: made for this copy. */
  readonly staging?: Staging;
}

/** Buffers for copies that are made again and again: a new one is new memory of the host, which takes a driver long. */
export interface Staging extends Disposable {
  take(bytes: number): GPUBuffer;
  /** Takes it back, unmapped. */
  give(buffer: GPUBuffer): void;
}

export function createStaging({ device }: GpuDevice): Staging {
  const idle: GPUBuffer[] = [];
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  return {
    take(bytes) {
      const at = idle.findIndex(({ size }) => size === bytes);
      return at < 0 ? device.createBuffer({ label: "copy to the host", size: bytes, usage }) : idle.splice(at, 1)[0];
    },
    give: (buffer) => void idle.push(buffer),
    [Symbol.dispose]: () => idle.splice(0).forEach((buffer) => buffer.destroy()),
  };
}

/** Reads bytes [offset, offset + length) of an array as they are when the work enqueued so far is done. */
export async function readBytes(
  gpu: GpuDevice,
  commands: Commands,
  source: Segments,
  offset: number,
  length: number,
  waiting?: Waiting,
): Promise<Uint8Array<ArrayBuffer>> {
  const out = new Uint8Array(length);
  await readBytesInto(gpu, commands, source, offset, out, waiting);
  return out;
}

/** {@link readBytes}, as many as `out` is long, which may be in shared memory. */
export function readBytesInto(
  gpu: GpuDevice,
  commands: Commands,
  source: Segments,
  offset: number,
  out: Uint8Array,
  { when = Promise.resolve(), meanwhile, staging: kept }: Waiting = {},
): Promise<void> {
  const { length } = out;
  gpu.check();
  const errorsBefore = gpu.errors;
  // Copies are of whole words.
  const start = Math.floor(offset / 4) * 4;
  const end = Math.ceil((offset + length) / 4) * 4;
  const { take, give } = kept ?? createStaging(gpu);
  const pieces = length === 0 ? [] : piecesOf(source, start, end).map(({ range, at }) => {
    const staging = take(range.bytes);
    commands.copy(range, staging, 0);
    return { staging, at };
  });
  return finish();

  async function finish(): Promise<void> {
    // Others may be asked for in the same turn: they go to the GPU together.
    await when;
    try {
      await commands.wait(() => {
        const mapped = Promise.all(pieces.map(({ staging }) => staging.mapAsync(GPUMapMode.READ)));
        meanwhile?.();
        return mapped;
      });
      await gpu.settleErrors();
      // What failed may be gone again by now; what was computed in the meantime is still worthless.
      if (gpu.errors !== errorsBefore) throw gpu.lastError;
      for (const { staging, at } of pieces) {
        const bytes = new Uint8Array(staging.getMappedRange());
        const skip = Math.max(0, offset - at);
        out.set(bytes.subarray(skip, Math.min(bytes.length, offset + length - at)), at + skip - offset);
        staging.unmap();
      }
      if (kept) { for (const { staging } of pieces.splice(0)) give(staging); }
    } catch (error) {
      await gpu.blame(error);
    } finally {
      for (const { staging } of pieces) staging.destroy();
    }
  }
}

/**
 * The same promise, whose failure does not end the program where nobody waits for it any more: of several downloads that were asked for
 * together all fail with the device, and whoever waits hears of the first.
 */
export function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** The ranges that bytes [start, end) of an array lie in, in order, none longer than a copy may be. */
function piecesOf({ ranges, segmentBytes }: Segments, start: number, end: number) {
  const pieces: { readonly range: BufferRange; readonly at: number }[] = [];
  for (let at = start; at < end;) {
    const segment = Math.floor(at / segmentBytes);
    const inSegment = at - segment * segmentBytes;
    const bytes = Math.min(end - at, segmentBytes - inSegment, STAGING_BYTES);
    const { buffer, offset } = ranges[segment];
    pieces.push({ range: { buffer, offset: offset + inSegment, bytes }, at });
    at += bytes;
  }
  return pieces;
}
