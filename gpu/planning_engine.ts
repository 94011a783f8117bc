/**
 * An engine that plans every call as the GPU engine does and runs nothing: kernels are handed over instead of enqueued, and what is
 * downloaded is zeros. It takes no device.
 */
import { voxelCount } from "../core/base/shape.ts";
import {
  ELEMENT_ARRAYS,
  type ElementArrays,
  type ElementType,
  type Engine,
  type Program,
  type TensorHandle,
} from "../core/engine/engine.ts";
import type { TrainingEngine, TrainingProgram } from "../core/engine/training.ts";
import { packResampleTables } from "../kernels/wgsl/volume/resample.ts";
import { planGatherPatches } from "../kernels/wgsl/volume/gather.ts";
import { planClear } from "../kernels/wgsl/volume/clear.ts";
import type { WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { type ArrayExtent, extentOf, layoutOf } from "./buffers.ts";
import { gpuCosts } from "./costs.ts";
import { planProgram, programCosts, type ProgramPlan } from "./program_plan.ts";
import { type RunPlan, stepCosts } from "./run_plan.ts";
import { planTraining, type TrainingPlan } from "./training/plan.ts";
import { mergedWords } from "./upload.ts";
import { createVolumeCalls } from "./volume_calls.ts";

/**
 * @param note told of every operator that is planned
 * @param wanted told of every convolution that has several ways; chooses one
 */
export function createPlanningEngine(
  limits: ConvLimits,
  note: (operator: WgslOperator) => void,
  wanted?: WantedCandidate,
): Engine & TrainingEngine {
  const programs = new WeakMap<Program, ProgramPlan>();
  const trainings = new WeakMap<TrainingProgram, TrainingPlan>();

  function arrayOf(bytes: number): ArrayExtent {
    const extent = extentOf(bytes, limits.maxBindingBytes);
    return { ...extent, ranges: { length: Math.ceil(extent.bytes / extent.segmentBytes) } };
  }
  const arrayOfTensor = ({ type, length }: TensorHandle) => arrayOf(length * ELEMENT_ARRAYS[type].BYTES_PER_ELEMENT);

  function planOf<P extends object, Plan>(plans: WeakMap<P, Plan>, program: P): Plan {
    const plan = plans.get(program);
    if (plan === undefined) throw new RangeError("Planning a call: the program is another engine's");
    return plan;
  }

  function slotOf({ blocks }: RunPlan, name: string): ArrayExtent {
    const block = blocks.get(name);
    if (!block) throw new RangeError(`Planning a call: there is no slot ${name}`);
    return { ranges: block.segments, segmentBytes: block.segmentBytes, bytes: block.bytes };
  }

  const volumes = createVolumeCalls<ArrayExtent>({
    segmentsOf: arrayOfTensor,
    programOf(program) {
      const plan = planOf(programs, program);
      return { plan, slot: (name) => slotOf(plan, name) };
    },
    enqueue: note,
    tables: { get: ({ ring, tables }, rule) => arrayOf(packResampleTables(ring, tables, rule?.values).length) },
  });

  const zeros = (program: TrainingProgram, chosen: (hasGradient: boolean) => boolean) =>
    new Map(
      program.parameters.filter(({ hasGradient }) => chosen(hasGradient))
        .map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
    );
  const dispose = () => {};

  return {
    kind: "gpu",
    description: "GPU, plans alone",
    costs: gpuCosts(1),
    forecast: (graph, options) => programCosts(planProgram(graph, options, limits, wanted), 1),
    compile(graph, options) {
      const plan = planProgram(graph, options, limits, wanted);
      for (const { operator } of plan.steps) note(operator);
      const program: Program = {
        graph,
        batch: options.batch,
        patch: options.patch,
        outputChannels: plan.outputChannels,
        ...programCosts(plan, 1),
        [Symbol.dispose]: dispose,
      };
      programs.set(program, plan);
      return Promise.resolve(program);
    },
    loadWeights(program) {
      for (const block of planOf(programs, program).weights.blocks) {
        const dispatches = block.kind === "packed" ? block.kernels() ?? [] : [];
        note({ algorithm: "weight packing", dispatches, temporaries: {}, flops: 0, bytes: block.bytes });
      }
      return Promise.resolve({ bytes: program.memory.weights, [Symbol.dispose]: dispose });
    },
    alloc: <T extends ElementType>(type: T, length: number, label: string): TensorHandle<T> => ({
      type,
      length,
      label,
      [Symbol.dispose]: dispose,
    }),
    upload(target, data, offset = 0) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      mergedWords(arrayOfTensor(target), bytes, offset * data.BYTES_PER_ELEMENT).forEach(note);
    },
    clear(target, offset = 0, length = target.length - offset) {
      const size = ELEMENT_ARRAYS[target.type].BYTES_PER_ELEMENT;
      const words = layoutOf("target", arrayOfTensor(target), 4);
      note(planClear({ words, offset: offset * size, bytes: length * size }));
    },
    download: <T extends ElementType>(source: TensorHandle<T>, offset = 0, length = source.length - offset) =>
      Promise.resolve(new ELEMENT_ARRAYS[source.type](length) as ElementArrays[T]),
    flush: () => Promise.resolve(),
    ...volumes,
    run: () => {},
    downloadOutput(program) {
      const { outputGrid, outputChannels } = planOf(programs, program);
      return Promise.resolve(new Float32Array(outputChannels * voxelCount(outputGrid)));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),

    forecastTraining: (graph, options) => trainingCostsOf(planTraining(graph, options, limits, wanted)),
    compileTraining(graph, options) {
      const plan = planTraining(graph, options, limits, wanted);
      for (const { operator } of plan.steps) note(operator);
      const { parameters } = plan.layout;
      const program: TrainingProgram = {
        graph,
        patch: options.patch,
        batch: options.batch,
        ...trainingCostsOf(plan),
        parameters: parameters.map(({ name, shape, hasGradient }) => ({ name, shape, hasGradient })),
        [Symbol.dispose]: dispose,
      };
      trainings.set(program, plan);
      return Promise.resolve(program);
    },
    setParameters: () => Promise.resolve(),
    readParameters: (program) => Promise.resolve({ values: zeros(program, () => true), kept: {} }),
    setSample(program, sample, image) {
      const { inputChannels, input } = planOf(trainings, program);
      note(planGatherPatches({
        volume: layoutOf("image", arrayOf(image.byteLength), 4),
        channels: inputChannels,
        grid: program.patch,
        patches: [{ origin: [0, 0, 0], mirror: [false, false, false] }],
        patch: program.patch,
        input,
        firstSample: sample,
      }));
    },
    trainStep: () => Promise.resolve({ loss: 0, gradientNorm: 0, skipped: false }),
    validationStep(program) {
      const none = () => new Float64Array(planOf(trainings, program).outputs[0]?.channels ?? 0);
      return Promise.resolve({ loss: 0, truePositives: none(), falsePositives: none(), falseNegatives: none() });
    },
    readGradients: (program) => Promise.resolve(zeros(program, (hasGradient) => hasGradient)),
    readLogits(program, output) {
      const { channels = 0, grid = [0, 0, 0] as const } = planOf(trainings, program).outputs[output] ?? {};
      return Promise.resolve(new Float32Array(channels * voxelCount(grid)));
    },
  };
}

function trainingCostsOf(plan: TrainingPlan) {
  const floats = plan.layout.chunks.reduce((sum, chunk) => sum + chunk.floats, 0);
  const memory = { parameters: 4 * floats, activations: plan.buffers.bytes, scratch: plan.uniformBytes };
  return { memory, steps: stepCosts(plan.steps, 1) };
}
