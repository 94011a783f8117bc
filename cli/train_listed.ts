/** `train --folds`: one training after the other, or one on each of several GPUs. What fails is that fold's alone. */
import { Interrupted, UserError } from "../core/base/errors.ts";
import type { TrainHooks } from "../core/train/train_request.ts";
import type { AdapterChoice } from "../gpu/adapter.ts";
import type { CommandContext, CountProgress } from "./commands/command.ts";
import { wantedGpus } from "./engines/wanted_gpus.ts";
import type { TrainValues } from "./flags/train_flags.ts";
import type { FoldRequest } from "./gpus/fold_messages.ts";
import { GpuFailed, MOST_FAILURES, trainBeside } from "./gpus/fold_thread.ts";
import { diceText, engineOpener, epochFields, epochLine } from "./training_request.ts";

/**
 * Trains all folds. @returns false if one could not be trained
 * @throws Interrupted, checkpoints written; UserError where going on is in vain
 */
export async function trainListed(
  requests: readonly FoldRequest[],
  values: TrainValues,
  context: CommandContext,
): Promise<boolean> {
  const gpus = await wantedGpus(values, context.warn);
  const say = (line: string) => {
    if (!values.quiet) context.print(line);
  };
  const left = [...requests];
  const failed: string[] = [];
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);

  async function work(gpu: AdapterChoice | undefined): Promise<void> {
    let failures = 0;
    for (let request = left.shift(); request && !signal.aborted; request = left.shift()) {
      const { fold, configurationName: configuration } = request.task;
      const fields = { configuration, fold, ...(gpu && { gpu: gpu.name }) };
      const tell = (state: string, more: Readonly<Record<string, unknown>> = {}) =>
        context.event?.("fold", { ...fields, state, ...more });
      say(`fold ${fold}: is trained${gpu ? ` on GPU ${gpu.name}` : ""}`);
      tell("begun");
      try {
        const dice = await trainFold(
          request,
          gpu,
          gpus?.length ?? 1,
          values,
          hooksOf(request, gpu, values, context, signal),
        );
        say(`fold ${fold}: validation: mean Dice ${diceText(dice)}`);
        tell("done", { dice });
      } catch (error) {
        if (
          !(error instanceof GpuFailed || error instanceof UserError) ||
          (error instanceof UserError && error.parts.endsRun)
        ) {
          stop.abort();
          throw error;
        }
        context.printError(`error: fold ${fold}: ${error.message}`);
        tell("failed");
        failed.push(`${fold}`);
        if (!(error instanceof GpuFailed)) continue;
        const isGone = ++failures >= MOST_FAILURES;
        context.event?.("gpu_failed", { gpu: gpu?.name, message: error.message, isGone });
        if (isGone) return context.warn(`GPU ${gpu?.name} has failed ${failures} times and is not used any more`);
      }
    }
  }

  const lanes = gpus && gpus.length > 1 ? gpus : [gpus?.[0]];
  const ends = await Promise.allSettled(lanes.map(work));
  for (const end of ends) if (end.status === "rejected" && !(end.reason instanceof Interrupted)) throw end.reason;
  if (context.signal.aborted) throw new Interrupted("stopped; the same command with --c goes on from there");
  failed.push(...left.map(({ task }) => `${task.fold}`));
  if (failed.length === 0) return true;
  context.printError(
    `these folds could not be trained: ${failed.join(", ")}; the same command with --c goes on with them`,
  );
  return false;
}

/** @returns the mean Dice of the validation */
async function trainFold(
  request: FoldRequest,
  gpu: AdapterChoice | undefined,
  count: number,
  values: TrainValues,
  hooks: TrainHooks,
): Promise<number> {
  if (gpu && count > 1) return await trainBeside(request, gpu, count, values, hooks);
  const { trainModel } = await import("../core/train/train_model.ts");
  const { openEngine, learnFromFailure } = engineOpener({ ...values, ...(gpu && { gpu }) }, hooks.info);
  return (await trainModel({ ...request, openEngine, learnFromFailure }, hooks)).summary.foregroundMean.Dice;
}

function hooksOf(
  { task: { fold, configurationName: configuration } }: FoldRequest,
  gpu: AdapterChoice | undefined,
  { quiet }: TrainValues,
  { print, warn, count, event }: CommandContext,
  signal: AbortSignal,
): TrainHooks {
  let cases: CountProgress | undefined;
  const say = (line: string) => {
    if (!quiet) print(`fold ${fold}: ${line}`);
  };
  return {
    info: say,
    warn: (line) => warn(`fold ${fold}: ${line}`),
    onEpoch(progress) {
      if (!event) return say(epochLine(progress));
      event("epoch", { configuration, fold, ...(gpu && { gpu: gpu.name }), ...epochFields(progress) });
    },
    onCase(done, of) {
      cases ??= count(`fold ${fold}: validation cases predicted`, quiet ? "none" : "bar");
      cases(done, of);
    },
    signal,
  };
}
