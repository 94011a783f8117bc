/**
 * A worker of the CPU engine: runs every command's kernel calls beside the other workers until it is told to stop.
 * It is started from one static URL so that bundlers find it.
 */
/// <reference lib="deno.worker" />
import {
  CALL,
  COMMAND,
  CONTROL,
  COPY,
  COPY_ITEM_BYTES,
  COPY_PARAMS,
  ERROR_TEXT,
  type WorkerMessage,
  type WorkerStart,
} from "./protocol.ts";

type Kernel = (params: bigint, item: number, scratch: bigint) => void;

/** How often a waiting worker looks before it sleeps: about the time that waking it would take. */
const SPINS = 2000;

const port = self as unknown as DedicatedWorkerGlobalScope;

port.onmessage = ({ data }: MessageEvent<WorkerStart>) => {
  const say = (message: WorkerMessage) => port.postMessage(message);
  let commands;
  try {
    commands = prepare(data);
  } catch (error) {
    say({ kind: "failed", message: String(error) });
    port.close();
    return;
  }
  say({ kind: "ready" });
  commands();
  say({ kind: "ended" });
  port.close();
};

function prepare(start: WorkerStart): () => void {
  const { memory, thread, threads } = start;
  const control = new Int32Array(start.control);
  const { exports } = new WebAssembly.Instance(start.module, { env: { memory } });
  const kernels = start.kernels.map((name) => exports[name] as Kernel);
  let view = new DataView(memory.buffer);

  /** A view that reaches `end`: another thread may have grown the memory since the last one was made. */
  function reach(end: number): DataView {
    if (view.byteLength < end) view = new DataView(memory.buffer);
    if (view.byteLength < end) {
      throw new RangeError(`address ${end} lies beyond the memory of ${view.byteLength} bytes`);
    }
    return view;
  }

  function readAddress(address: number): number {
    return Number(reach(address + 8).getBigUint64(address, true));
  }

  function copy(params: number, item: number): void {
    const [source, target, length] = [COPY_PARAMS.source, COPY_PARAMS.target, COPY_PARAMS.length]
      .map((field) => readAddress(params + field));
    const from = item * COPY_ITEM_BYTES;
    const bytes = Math.min(COPY_ITEM_BYTES, length - from);
    reach(Math.max(source, target) + length);
    new Uint8Array(memory.buffer, target + from, bytes).set(new Uint8Array(memory.buffer, source + from, bytes));
  }

  /** Runs items until none is left, or all work is to end. */
  function takeItems(call: number, scratch: bigint): void {
    const kernel = reach(call + CALL.bytes).getInt32(call + CALL.kernel, true);
    const items = view.getInt32(call + CALL.items, true);
    const first = view.getInt32(call + CALL.firstItem, true);
    const params = readAddress(call + CALL.params);
    const block = BigInt(params);
    for (;;) {
      const taken = Atomics.add(control, CONTROL.nextItem, 1);
      if (taken >= items || Atomics.load(control, CONTROL.failed) || Atomics.load(control, CONTROL.stop)) return;
      const item = first + taken;
      try {
        if (kernel === COPY) copy(params, item);
        else kernels[kernel](block, item, scratch);
      } catch (error) {
        const name = kernel === COPY ? "copy" : start.kernels[kernel];
        reportError(control, `kernel ${name}, item ${taken} of ${items}: ${error}`);
      }
    }
  }

  /** Waits until every worker has come here; the last one prepares the next call. */
  function meet(endsCommand: boolean): void {
    const generation = Atomics.load(control, CONTROL.generation);
    if (Atomics.add(control, CONTROL.arrived, 1) === threads - 1) {
      Atomics.store(control, CONTROL.arrived, 0);
      Atomics.store(control, CONTROL.nextItem, 0);
      if (endsCommand) {
        Atomics.add(control, CONTROL.completed, 1);
        Atomics.notify(control, CONTROL.completed);
      }
      Atomics.add(control, CONTROL.generation, 1);
      Atomics.notify(control, CONTROL.generation);
      return;
    }
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.load(control, CONTROL.generation) !== generation) return;
    }
    while (Atomics.load(control, CONTROL.generation) === generation && !Atomics.load(control, CONTROL.stop)) {
      Atomics.wait(control, CONTROL.generation, generation);
    }
  }

  return () => {
    let command = start.firstCommand;
    for (let done = 0;; done++) {
      while (Atomics.load(control, CONTROL.published) === done && !Atomics.load(control, CONTROL.stop)) {
        Atomics.wait(control, CONTROL.published, done);
      }
      if (Atomics.load(control, CONTROL.stop)) return;
      command = readAddress(command + COMMAND.next);
      const calls = readAddress(command + COMMAND.calls);
      const count = readAddress(command + COMMAND.count);
      const scratch = BigInt(
        readAddress(command + COMMAND.scratch) + thread * readAddress(command + COMMAND.scratchBytes),
      );
      for (let i = 0; i < count; i++) {
        takeItems(calls + i * CALL.bytes, scratch);
        meet(i === count - 1);
        if (Atomics.load(control, CONTROL.stop)) return;
      }
    }
  };
}

/** The first error is kept. It is complete before this worker arrives at the meeting, so the main thread finds it whole. */
function reportError(control: Int32Array, message: string): void {
  if (Atomics.compareExchange(control, CONTROL.failed, 0, 1) !== 0) return;
  const text = new TextEncoder().encode(message).slice(0, ERROR_TEXT.bytes);
  new Uint8Array(control.buffer, ERROR_TEXT.offset).set(text);
  Atomics.store(control, CONTROL.errorBytes, text.length);
  Atomics.store(control, CONTROL.failed, 2);
}
