/**
 * Each kernel of a program run alone, once. On a GPU that was lost this finds the kernel that it was lost by: a driver gives the device up
 * for one that takes too long, and does not say which of many that were under way. A kernel that the device is lost at is a suspect, as
 * devices are lost by other things too. The next trial, on another device, runs it last: if all others go well and it does not, it is the
 * one.
 */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import type { PreparedDispatch } from "./commands.ts";
import type { DeviceProgram, DeviceWeights, Tools } from "./program.ts";
import { kernelKey, notRunError, type RefusedKernel } from "./refused.ts";
import type { RunPlan } from "./run_plan.ts";

/** A kernel takes too long if it takes more than so many seconds, and so many times as long as others of the same forecast. */
const [TOO_LONG, TIMES] = [1, 10];

interface Trial {
  readonly kernel: WgslDispatch;
  readonly dispatch: PreparedDispatch;
}

/**
 * @param program Of a prediction or a training
 * @param suspects keys of kernels that earlier devices were lost at
 * @param suspect is told of another one
 * @throws UserError naming the kernel that the device is lost by, or that takes too long; it is `refused` unless it is a suspect only
 */
export async function tryKernels<P extends RunPlan>(
  tools: Tools,
  program: DeviceProgram<P>,
  weights: DeviceWeights,
  suspects: ReadonlySet<string>,
  suspect: (kernel: RefusedKernel) => void,
): Promise<void> {
  const { gpu, commands, pipelines } = tools;
  await commands.wait();
  gpu.check();
  const times: (Trial & { readonly seconds: number })[] = [];
  const run = async ({ kernel, dispatch }: Trial): Promise<number> => {
    const start = performance.now();
    commands.dispatch(dispatch);
    // A device that is gone may say so here; it is asked below.
    await commands.wait().catch(() => {});
    if (pipelines.isAlive()) return (performance.now() - start) / 1000;
    const why = "the device was lost while it alone ran";
    const lost: RefusedKernel = { key: kernelKey(kernel), name: kernel.name, why };
    if (suspects.has(lost.key)) throw pipelines.refuse(kernel, why);
    suspect(lost);
    const error = notRunError(lost, gpu.facts.name);
    gpu.explainLoss(error);
    throw error;
  };
  const isSuspect = ({ kernel }: Trial) => suspects.has(kernelKey(kernel));
  const trials = trialsOf(program, weights);
  for (const trial of [...trials.filter((one) => !isSuspect(one)), ...trials.filter(isSuspect)]) {
    const seconds = await run(trial);
    // Once more, as it may have been the machine that was busy.
    times.push({ ...trial, seconds: seconds < TOO_LONG ? seconds : Math.min(seconds, await run(trial)) });
  }
  gpu.check();
  const sum = (of: (time: typeof times[number]) => number) => times.reduce((total, time) => total + of(time), 0);
  const [seconds, forecast] = [sum((time) => time.seconds), sum(({ dispatch }) => dispatch.seconds)];
  for (const { kernel, dispatch, ...time } of times) {
    const pace = (seconds - time.seconds) / (forecast - dispatch.seconds);
    const times = time.seconds / (pace * dispatch.seconds);
    if (time.seconds < TOO_LONG || !(times > TIMES)) continue;
    throw pipelines.refuse(
      kernel,
      `it takes ${time.seconds.toFixed(1)} s, ${Math.round(times)} times as long as others of its size`,
    );
  }
}

/** The longest dispatch of each kernel. */
function trialsOf<P extends RunPlan>(program: DeviceProgram<P>, weights: DeviceWeights): Trial[] {
  const longest = new Map<string, Trial>();
  const steps = program.dispatches(weights);
  program.plan.steps.forEach(({ operator }, step) =>
    operator.dispatches.forEach((kernel, i) => {
      const dispatch = steps[step][i];
      const known = longest.get(kernel.code);
      if (!known || dispatch.seconds > known.dispatch.seconds) longest.set(kernel.code, { kernel, dispatch });
    })
  );
  return [...longest.values()];
}
