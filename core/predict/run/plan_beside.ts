/** What may go on beside a case's network: reading the next case, writing the last one. */
import { UserError } from "../../base/errors.ts";
import type { MemoryAllowance } from "../../base/memory_allowance.ts";
import type { PreprocessedCase } from "../../preprocess/case.ts";
import type { Model } from "../model/model_folder.ts";
import type { LoadedNetwork } from "../model/network.ts";
import type { Session } from "../model/session.ts";
import { type CasePlan, planCase } from "../stream/case_plan.ts";
import type { CaseToPredict, PredictionOptions } from "./request.ts";
import { allowBeside, allowReading, BESIDE_GROWTH_BYTES, forecastReading, type ReadingLane } from "./run_memory.ts";

/** What a network may take longer for the next case to be read beside it. */
const BESIDE_TIME = 1.05;

/** A case that is being written. */
export interface Writing {
  readonly done: Promise<void>;
  /** Of memory that it holds. */
  readonly bytes: number;
}

/** Of a run, what its cases are planned by. */
export interface PlanningRun {
  readonly model: Model;
  readonly options:
    & Required<Pick<PredictionOptions, "stepSize" | "mirroring" | "saveProbabilities">>
    & Pick<PredictionOptions, "maxMemory">;
  readonly aim: Session["aim"];
  /** Of memory that the program itself has. */
  readonly runtimeBytes: number;
  readonly lane?: ReadingLane;
}

/** The cases around the one that is planned. */
export interface Neighbours {
  /** The case that may be read while the network runs. */
  readonly following?: CaseToPredict;
  /** The case before. */
  readonly writing: Writing;
}

export interface PlannedBeside {
  readonly plan: CasePlan;
  /** Absent if the following case has to wait. */
  readonly beside?: { readonly memory: MemoryAllowance | undefined };
}

/**
 * Plans a case. Under a limit the next case is read, and the last one written, beside the network only where that fits and costs the
 * network little.
 * @throws UserError if the case does not fit alone
 */
export async function planBeside(
  { model, options, aim, runtimeBytes, lane }: PlanningRun,
  network: LoadedNetwork,
  input: PreprocessedCase,
  { following, writing }: Neighbours,
): Promise<PlannedBeside> {
  const { stepSize, mirroring, saveProbabilities, maxMemory } = options;
  const plan = (besideBytes: number) =>
    planCase(model, network, input, {
      stepSize,
      mirroring,
      saveProbabilities,
      runtimeBytes,
      besideBytes,
      ...(maxMemory !== undefined && { maxMemory }),
      ...(aim !== undefined && { aim }),
    });
  if (maxMemory === undefined) {
    if (!following) return { plan: plan(0) };
    return { plan: plan(input.data.byteLength), beside: { memory: allowReading(maxMemory, false, lane) } };
  }
  const alone = plan(0);
  const next = following ? await forecastReading(following, model.plans, model.configuration) : 0;
  const both = tryPlan(() => plan(writing.bytes + next + (following ? BESIDE_GROWTH_BYTES : 0)));
  if (both && both.stream.seconds <= alone.stream.seconds * BESIDE_TIME) {
    return following ? { plan: both, beside: { memory: allowBeside(maxMemory, next) } } : { plan: both };
  }
  await writing.done.catch(() => {});
  return { plan: alone };
}

function tryPlan(plan: () => CasePlan): CasePlan | undefined {
  try {
    return plan();
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
