/** A single operator made ready to run, with buffers of its own for what is not given: for measuring kernels outside programs. */
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import type { Segments } from "./buffers.ts";
import { checkFits, type Commands, nominalSeconds, type PreparedDispatch, SUBMISSION_SECONDS } from "./commands.ts";
import type { GpuDevice } from "./device.ts";
import type { Tools } from "./program.ts";
import { hasTimestamps, timeGroups } from "./timing.ts";
import { uniformBytesOf, writeUniforms } from "./uniforms.ts";

export interface PreparedOperator extends Disposable {
  readonly dispatches: readonly PreparedDispatch[];
}

/** A slot that is taken for the operator alone. */
export interface OwnSlot {
  readonly slot: string;
  readonly bytes: number;
  readonly segmentBytes: number;
  /** What it holds at the start; undefined: anything. */
  readonly data?: Float32Array<ArrayBuffer>;
}

/**
 * Compiles an operator's kernels and binds them.
 * @param slots what is there already
 * @throws UserError if there is not enough memory, or the device cannot run a kernel
 */
export async function prepareOperator(
  { gpu, buffers, commands, pipelines }: Tools,
  operator: WgslOperator & { readonly seconds?: number },
  slots: ReadonlyMap<string, Segments>,
  own: readonly OwnSlot[],
): Promise<PreparedOperator> {
  const { dispatches, temporaries, seconds = nominalSeconds(operator) } = operator;
  for (const dispatch of dispatches) checkFits(dispatch, gpu);
  await Promise.all(dispatches.map(pipelines.compile));
  const taken: Segments[] = [];
  const give = () => taken.splice(0).forEach(buffers.giveArray);
  const take = (bytes: number, segmentBytes = bytes) => {
    const segments = buffers.takeSegments(bytes, segmentBytes, "a kernel that is measured");
    taken.push(segments);
    return segments;
  };
  try {
    const all = new Map(slots);
    for (const { slot, bytes, segmentBytes, data } of own) {
      const segments = take(bytes, segmentBytes);
      all.set(slot, segments);
      if (!data) continue;
      segments.ranges.forEach((range, i) => {
        commands.write(range, new Uint8Array(data.buffer, i * segments.segmentBytes, range.bytes));
      });
    }
    for (const [name, bytes] of Object.entries(temporaries)) all.set(name, take(bytes));
    const { ranges: [{ buffer }] } = take(uniformBytesOf(dispatches));
    const offsets = writeUniforms(commands, dispatches, buffer);
    await gpu.settleErrors();
    const slotOf = (name: string) => {
      const found = all.get(name);
      if (!found) throw new RangeError(`Resolving a kernel's operands: there is no slot ${name}`);
      return found;
    };
    return {
      dispatches: dispatches.map((dispatch, i) => {
        const place = { buffer, offset: offsets[i] };
        return commands.prepare(dispatch, pipelines.ready(dispatch), slotOf, place, seconds / dispatches.length);
      }),
      [Symbol.dispose]: give,
    };
  } catch (error) {
    give();
    throw error;
  }
}

/** Runs of an operator that is measured, and the milliseconds they may take together. */
const [RUNS, RUN_MILLISECONDS] = [10, 400];
/** An operator whose first run takes this many times what makes it hopeless is not run again; later runs are faster than the first. */
const FIRST_RUN = 2;

/**
 * Milliseconds of the fastest of several runs, after one that is not counted; by the device's clock if it has one, all runs with one wait.
 * @param hopeless an operator that takes longer need not be run again
 */
export async function timeOperator(
  { gpu, commands }: Tools,
  { dispatches }: PreparedOperator,
  hopeless = Infinity,
): Promise<number> {
  await commands.wait();
  const time = hasTimestamps(gpu)
    ? await timeByDevice(gpu, dispatches, hopeless)
    : await timeByWaiting(commands, dispatches, hopeless);
  await gpu.settleErrors();
  return time;
}

async function timeByDevice(gpu: GpuDevice, dispatches: readonly PreparedDispatch[], hopeless: number) {
  const [first] = await timeGroups(gpu, [dispatches]);
  if (first > FIRST_RUN * hopeless) return first;
  const runs = Math.max(1, Math.min(RUNS, Math.floor(RUN_MILLISECONDS / first)));
  const together = Math.max(1, Math.floor(1000 * SUBMISSION_SECONDS / first));
  return Math.min(...await timeGroups(gpu, new Array(runs).fill(dispatches), together));
}

async function timeByWaiting(
  { dispatch, wait }: Pick<Commands, "dispatch" | "wait">,
  dispatches: readonly PreparedDispatch[],
  hopeless: number,
): Promise<number> {
  const run = async () => {
    const start = performance.now();
    dispatches.forEach(dispatch);
    await wait();
    return performance.now() - start;
  };
  let time = Infinity;
  let spent = await run();
  for (let i = 0; i < RUNS && (i === 0 || spent < RUN_MILLISECONDS); i++) {
    const milliseconds = await run();
    spent += milliseconds;
    time = Math.min(time, milliseconds);
    if (time > hopeless) break;
  }
  return time;
}
