/**
 * The engine port in plain TypeScript on one thread: what engines are compared with, and what the predictor is tested with.
 * It completes late: each call waits for a timer before it runs, so that nothing can depend on work being done when a call returns.
 */
import { checkAlive, checkAlloc, checkRange } from "../../core/engine/checks.ts";
import {
  type CompileOptions,
  ELEMENT_ARRAYS,
  type ElementArrays,
  type ElementType,
  type Engine,
  type Program,
  type StepCost,
  type TensorHandle,
  type WeightSet,
} from "../../core/engine/engine.ts";
import { type Graph, inferShapes, inputsOf } from "../../core/graph/graph.ts";
import { voxelCount } from "../../core/base/shape.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import { CPU_COSTS } from "../../cpu/costs.ts";
import { evaluateGraph, readWeights, type Weights } from "./reference_network.ts";
import { createReferenceVolumeCalls, type ProgramState } from "./reference_volume.ts";

/** The reference engine; `delay` is the least time in milliseconds that each call is held back. */
export function createReferenceEngine(delay = 0): Promise<Engine> {
  const tensors = new WeakMap<TensorHandle, ElementArrays[ElementType]>();
  const programs = new WeakMap<Program, ProgramState>();
  const weightSets = new WeakMap<WeightSet, Weights>();
  let disposed = false;
  let queue: Promise<void> = Promise.resolve();
  let failure: unknown;

  function enqueue(work: () => void): void {
    checkAlive(!disposed, "the engine", "Enqueuing");
    queue = queue.then(async () => {
      await new Promise((resolve) => setTimeout(resolve, delay));
      if (failure !== undefined) return;
      try {
        work();
      } catch (error) {
        failure = error;
      }
    });
  }

  async function flush(): Promise<void> {
    await queue;
    if (failure !== undefined) throw failure;
  }

  function dataOf<T extends ElementType>(tensor: TensorHandle<T>, doing: string): ElementArrays[T] {
    const data = tensors.get(tensor);
    checkAlive(data !== undefined, tensor.label, doing);
    return data as ElementArrays[T];
  }

  function stateOf(program: Program, doing: string): ProgramState {
    const state = programs.get(program);
    checkAlive(state !== undefined, "the program", doing);
    return state as ProgramState;
  }

  const forecast: Engine["forecast"] = (graph, options) => {
    const shapes = inferShapes(graph, options.patch);
    let weights = 0;
    for (const { shape } of weightShapes(graph)) weights += 4 * shape.reduce((a, b) => a * b, 1);
    const activations = shapes.reduce((sum, s) => sum + 4 * s.channels * voxelCount(s.grid), 0) * options.batch;
    return { memory: { weights, activations, scratch: 0 }, steps: stepsOf(graph, options) };
  };

  const engine: Engine = {
    kind: "cpu",
    description: "reference engine, plain TypeScript",
    costs: CPU_COSTS,
    forecast,
    compile(graph, options) {
      const shapes = inferShapes(graph, options.patch);
      const sizeOf = (id: number) => shapes[id].channels * voxelCount(shapes[id].grid);
      const empty = (id: number) => Array.from({ length: options.batch }, () => new Float32Array(sizeOf(id)));
      const program: Program = {
        graph,
        batch: options.batch,
        patch: options.patch,
        outputChannels: shapes[graph.outputs[0]].channels,
        ...forecast(graph, options),
        [Symbol.dispose]: () => void programs.delete(program),
      };
      programs.set(program, { inputs: empty(0), outputs: empty(graph.outputs[0]) });
      return Promise.resolve(program);
    },
    loadWeights(program, source) {
      const weights = readWeights(program.graph, source);
      let bytes = 0;
      for (const array of weights.values()) bytes += array.byteLength;
      const set: WeightSet = { bytes, [Symbol.dispose]: () => void weightSets.delete(set) };
      weightSets.set(set, weights);
      return Promise.resolve(set);
    },
    alloc<T extends ElementType>(type: T, length: number, label: string): TensorHandle<T> {
      checkAlloc(length, label);
      const handle: TensorHandle<T> = { type, length, label, [Symbol.dispose]: () => void tensors.delete(handle) };
      // What was never written is nothing to rely on.
      tensors.set(handle, new ELEMENT_ARRAYS[type](length).fill(type === "f32" ? NaN : 99));
      return handle;
    },
    upload(target, data, offset = 0) {
      checkRange(target, offset, data.length, "Uploading");
      const into = dataOf(target, "Uploading");
      const copy = data.slice();
      enqueue(() => into.set(copy, offset));
    },
    clear(target, offset = 0, length = target.length - offset) {
      checkRange(target, offset, length, "Clearing");
      const into = dataOf(target, "Clearing");
      enqueue(() => into.fill(0, offset, offset + length));
    },
    async download<T extends ElementType>(source: TensorHandle<T>, offset = 0, length = source.length - offset) {
      checkRange(source, offset, length, "Downloading");
      const data = dataOf(source, "Downloading");
      let copy: ElementArrays[ElementType] | undefined;
      enqueue(() => copy = data.slice(offset, offset + length));
      await flush();
      return copy as ElementArrays[T];
    },
    flush,
    ...createReferenceVolumeCalls({ dataOf, stateOf, enqueue }),
    run(program, set) {
      const state = stateOf(program, "Running the network");
      const weights = weightSets.get(set);
      checkAlive(weights !== undefined, "the weight set", "Running the network");
      enqueue(() => {
        state.inputs.forEach((input, sample) => {
          const [logits] = evaluateGraph(program.graph, program.patch, weights as Weights, input);
          state.outputs[sample] = logits;
        });
      });
    },
    async downloadOutput(program, sample) {
      const state = stateOf(program, "Downloading the output");
      checkAlive(sample >= 0 && sample < program.batch, `sample ${sample}`, "Downloading the output");
      let copy = new Float32Array();
      enqueue(() => copy = state.outputs[sample].slice());
      await flush();
      return copy;
    },
    async [Symbol.asyncDispose]() {
      disposed = true;
      await queue;
    },
  };
  return Promise.resolve(engine);
}

function stepsOf(graph: Graph, { patch, batch }: CompileOptions): StepCost[] {
  const shapes = inferShapes(graph, patch);
  return graph.nodes.map((node, id) => {
    const from = inputsOf(node).map((input) => shapes[input].channels).join("+");
    const { channels, grid } = shapes[id];
    let flops = channels * voxelCount(grid) * batch;
    if (node.kind === "conv") flops *= 2 * voxelCount(node.kernel) * shapes[node.input].channels;
    if (node.kind === "transposedConv") flops *= 2 * shapes[node.input].channels;
    const weight = "weight" in node && node.weight ? ` ${node.weight}` : "";
    return {
      name: `${node.kind}${weight} ${from}->${channels} ${grid.join("x")}`,
      algorithm: "definition",
      flops,
      seconds: flops / 1e8,
    };
  });
}
