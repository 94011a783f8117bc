/** The kernels that compilers are tried with: of all cases, of a usual network's prediction and training, of all that is measured for it. */
import { architecture } from "../../core/cases/networks.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import type { TrainingOptions } from "../../core/engine/training.ts";
import { DICE_AND_CROSS_ENTROPY } from "../../core/graph/loss.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { plannedKernels } from "../../gpu/kernel_checksum.ts";
import { planProgram } from "../../gpu/program_plan.ts";
import { planTraining } from "../../gpu/training/plan.ts";
import { problemsOf } from "../../gpu/tune.ts";
import { measuredCandidates } from "../../kernels/wgsl/conv/measured.ts";
import { BASE_LIMITS, type ConvLimits } from "../../kernels/wgsl/conv/problem.ts";
import type { WgslDispatch } from "../../kernels/wgsl/kernel.ts";

/** A large GPU's, as lavapipe has them too. */
const LARGE_LIMITS: ConvLimits = {
  workgroupMemoryBytes: 32768,
  workgroupThreads: 1024,
  maxBindings: 32,
  maxBindingBytes: 2 ** 31 - 256,
};

export interface WgslText {
  readonly kernel: WgslDispatch;
  /** True if it is planned for the least that WebGPU promises. */
  readonly everywhere: boolean;
}

/** Each text once. */
export async function wgslTexts(): Promise<WgslText[]> {
  const texts = new Map<string, WgslText>();
  const add = (dispatches: readonly WgslDispatch[], everywhere: boolean) => {
    for (const kernel of dispatches) if (!texts.has(kernel.code)) texts.set(kernel.code, { kernel, everywhere });
  };
  add(await plannedKernels(ENGINE_CASES), true);
  const features = { featuresPerStage: [32, 64, 128, 256, 320, 320], convsPerStageDecoder: [2, 2, 2, 2, 2] };
  const graph = buildGraph(architecture(features), 1, 3);
  const patch = [128, 128, 128] as const;
  for (const precision of ["f32", "f16"] as const) {
    const training: TrainingOptions = {
      patch,
      batch: 2,
      precision,
      loss: { target: { kind: "labels" }, batchDice: false, ...DICE_AND_CROSS_ENTROPY },
      outputWeights: graph.outputs.map(() => 1),
    };
    for (const limits of [BASE_LIMITS, LARGE_LIMITS]) {
      const everywhere = limits === BASE_LIMITS;
      for (const { operator } of planProgram(graph, { patch, batch: 1, precision }, limits).steps) {
        add(operator.dispatches, everywhere);
      }
      for (const { operator } of planTraining(graph, training, limits).steps) add(operator.dispatches, everywhere);
    }
    for (const problem of problemsOf(graph, training, LARGE_LIMITS).values()) {
      for (const { operator } of measuredCandidates(problem)) add(operator.dispatches, false);
    }
  }
  return [...texts.values()];
}
