/** Runs operators on one thread for tests and benches: lays out memory, guards it with sentinels, calls the kernels item by item. */
import { convOutputGrid } from "../../kernels/operators/conv/problem.ts";
import type { ConvOperator, ConvProblem } from "../../kernels/wasm/conv/problem.ts";
import type { Operand, Operator } from "../../kernels/wasm/kernel.ts";
import { emitModule, encodeParams } from "../../kernels/wasm/module.ts";
import { WASM_KERNELS } from "../../cpu/wasm_kernels.ts";
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";

const SENTINEL = 12345.678;
const GUARD_BYTES = 256;

export interface Machine {
  readonly memory: WebAssembly.Memory;
  floats(address: number, length: number): Float32Array;
  /** Reserves zeroed bytes between sentinels. */
  reserve(slot: string, bytes: number): number;
  addressOf(slot: string): number;
  run(operator: Operator): void;
  /** Throws if a guard between slots was overwritten. */
  checkGuards(): void;
}

type KernelExport = (params: bigint, item: number, scratch: bigint) => void;

let compiled: WebAssembly.Module | undefined;

export function createMachine(megabytes: number): Machine {
  const pages = BigInt(megabytes * 16);
  const descriptor = { address: "i64", shared: true, initial: pages, maximum: pages };
  const memory = new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
  compiled ??= new WebAssembly.Module(emitModule(WASM_KERNELS));
  const exported = new WebAssembly.Instance(compiled, { env: { memory } }).exports;
  const slots = new Map<string, number>();
  const guards: number[] = [];
  let end = 1024;
  const floats = (address: number, length: number) => new Float32Array(memory.buffer, address, length);
  const guard = () => {
    floats(end, GUARD_BYTES / 4).fill(SENTINEL);
    guards.push(end);
    end += GUARD_BYTES;
  };
  guard();
  const machine: Machine = {
    memory,
    floats,
    reserve(slot, bytes) {
      const start = end;
      slots.set(slot, start);
      end += Math.ceil(bytes / 4) * 4;
      guard();
      end = Math.ceil(end / 64) * 64;
      if (end > memory.buffer.byteLength) throw new RangeError(`Reserving ${slot}: the test memory is too small`);
      return start;
    },
    addressOf(slot) {
      const address = slots.get(slot);
      if (address === undefined) throw new RangeError(`No slot ${slot}`);
      return address;
    },
    run(operator) {
      for (const [slot, bytes] of Object.entries(operator.temporaries)) {
        if (!slots.has(slot)) machine.reserve(slot, bytes);
      }
      operator.calls.forEach((call, index) => {
        const block = encodeParams(call.params, machine.addressOf);
        const key = `${operator.algorithm}.${index}.${call.scratchBytes}`;
        if (!slots.has(`params.${key}`)) machine.reserve(`params.${key}`, block.length);
        if (!slots.has(`scratch.${key}`)) machine.reserve(`scratch.${key}`, call.scratchBytes);
        new Uint8Array(memory.buffer).set(block, machine.addressOf(`params.${key}`));
        const kernel = exported[call.kernel] as KernelExport;
        const [params, scratch] = ["params", "scratch"].map((kind) => BigInt(machine.addressOf(`${kind}.${key}`)));
        const first = call.firstItem ?? 0;
        for (let item = first; item < first + call.items; item++) kernel(params, item, scratch);
      });
    },
    checkGuards() {
      const expected = Math.fround(SENTINEL);
      for (const start of guards) {
        if (!floats(start, GUARD_BYTES / 4).every((v) => v === expected)) {
          throw new Error(`The guard at ${start} was overwritten`);
        }
      }
    },
  };
  return machine;
}

/** A convolution's data in torch's layouts. */
export interface ConvCase {
  readonly batch: number;
  readonly grid: Vec3;
  readonly parts: readonly number[];
  readonly outputs: number;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  readonly norm: boolean;
  readonly statistics?: boolean;
  /** Unrelated channels before and after the operand's range and the output's, multiples of four. */
  readonly around?: number;
  /** Parts from this one on lie in a tensor of their own. */
  readonly secondPart?: number;
}

const paddedChannels = (parts: readonly number[]) => parts.reduce((sum, n) => sum + padToFour(n), 0);

/** Reproducible numbers in [-1, 1). */
export function noise(length: number, seed: number): Float32Array {
  let state = seed * 2654435761 % 4294967296 | 1;
  return Float32Array.from({ length }, () => {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) + 0x9e3779b9 | 0;
    const mixed = Math.imul(state ^ state >>> 13, 0x297a2d39);
    return ((mixed ^ mixed >>> 16) >>> 0) / 2147483648 - 1;
  });
}

export function problemOf(c: ConvCase, name = "test"): ConvProblem {
  const around = c.around ?? 0;
  const strideOf = (parts: readonly number[]) => paddedChannels(parts) + 2 * around;
  const input: Operand = {
    slot: "input",
    channelStride: strideOf(c.parts.slice(0, c.secondPart)),
    channelOffset: around,
    parts: c.parts,
    ...(c.secondPart !== undefined && {
      second: {
        slot: "second",
        channelStride: strideOf(c.parts.slice(c.secondPart)),
        channelOffset: around,
        firstPart: c.secondPart,
      },
    }),
    ...(c.norm ? { normSlot: "norm" } : {}),
  };
  const paddedOut = padToFour(c.outputs);
  return {
    name,
    batch: c.batch,
    inputGrid: c.grid,
    kernel: c.kernel,
    stride: c.stride,
    input,
    output: {
      slot: "output",
      channelStride: paddedOut + 2 * around,
      channelOffset: around,
      channels: c.outputs,
      ...(c.statistics ? { statisticsSlot: "statistics" } : {}),
    },
    outputChannels: c.outputs,
    weightSlot: "weights",
    statistics: c.statistics ?? false,
  };
}

export interface ConvData {
  /** Per sample (channels, z, y, x), raw. */
  readonly inputs: readonly Float32Array[];
  /** Per sample: scales, shifts, slopes, one a channel each. */
  readonly norms: readonly (readonly [Float32Array, Float32Array, Float32Array])[];
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

export function makeData(c: ConvCase, seed = 1): ConvData {
  const channels = c.parts.reduce((a, b) => a + b, 0);
  const taps = c.kernel[0] * c.kernel[1] * c.kernel[2];
  const samples = Array.from({ length: c.batch }, (_, n) => n);
  return {
    inputs: samples.map((n) => noise(channels * voxelCount(c.grid), seed + 10 * n)),
    norms: samples.map((n) => [
      noise(channels, seed + 10 * n + 1).map((v) => 1 + 0.5 * v),
      noise(channels, seed + 10 * n + 2),
      noise(channels, seed + 10 * n + 3).map((v) => 0.01 + 0.005 * v),
    ]),
    weight: noise(c.outputs * channels * taps, seed + 4).map((v) => v / Math.sqrt(channels * taps / 3)),
    bias: noise(c.outputs, seed + 5),
  };
}

/** A sample after norm and activation, as the reference takes it. */
export function normalised(c: ConvCase, data: ConvData, sample: number): Float32Array {
  if (!c.norm) return data.inputs[sample];
  const voxels = voxelCount(c.grid);
  const [scale, shift, slope] = data.norms[sample];
  return data.inputs[sample].map((v, i) => {
    const channel = Math.floor(i / voxels);
    const y = v * scale[channel] + shift[channel];
    return Math.max(y, y * slope[channel]);
  });
}

export interface ConvResult {
  /** Per sample (channels, z, y, x). */
  readonly outputs: readonly Float32Array[];
  /** All of the output tensor, as it lies in memory. */
  readonly memory: Float32Array;
  readonly statistics: Float32Array;
}

/** Positions in memory of the real channels of an operand of these parts. */
function positionsOf(parts: readonly number[]): number[] {
  let start = 0;
  return parts.flatMap((n) => {
    const positions = Array.from({ length: n }, (_, i) => start + i);
    start += padToFour(n);
    return positions;
  });
}

/** Puts the case into a machine's memory and packs the weights; {@link readResult} gets the result back. */
export function prepare(
  machine: Machine,
  c: ConvCase,
  data: ConvData,
  problem: ConvProblem,
  operator: ConvOperator,
  outputGrid: Vec3,
): void {
  const voxels = voxelCount(c.grid);
  const { input, input: { second } } = problem;
  const positions = positionsOf(c.parts);
  const padded = paddedChannels(c.parts);
  const firstPadded = paddedChannels(c.parts.slice(0, c.secondPart));
  const fill = (slot: string, channelStride: number, channelOffset: number, from: number, to: number) => {
    const length = c.batch * voxels * channelStride;
    const tensor = machine.floats(machine.reserve(slot, length * 4), length);
    tensor.fill(1e9);
    data.inputs.forEach((sample, n) => {
      for (let v = 0; v < voxels; v++) {
        const at = (n * voxels + v) * channelStride + channelOffset - from;
        tensor.fill(0, at + from, at + to);
        positions.forEach((p, i) => {
          if (p >= from && p < to) tensor[at + p] = sample[i * voxels + v];
        });
      }
    });
  };
  fill(input.slot, input.channelStride, input.channelOffset, 0, firstPadded);
  if (second) fill(second.slot, second.channelStride, second.channelOffset, firstPadded, padded);
  if (c.norm) {
    const norm = machine.floats(machine.reserve("norm", c.batch * 3 * padded * 4), c.batch * 3 * padded);
    norm.fill(7);
    data.norms.forEach((kinds, n) =>
      kinds.forEach((values, k) => positions.forEach((p, i) => norm[(n * 3 + k) * padded + p] = values[i]))
    );
  }
  const outputFloats = c.batch * voxelCount(outputGrid) * problem.output.channelStride;
  machine.floats(machine.reserve("output", outputFloats * 4), outputFloats).fill(-777);
  if (operator.statistics) machine.reserve("statistics", operator.statistics.bytes);
  const address = machine.reserve("weights", operator.weightBytes);
  machine.floats(address, operator.weightBytes / 4).fill(NaN);
  if (operator.packing) machine.reserve(operator.packing.sourceSlot, operator.packing.sourceBytes);
  packWeights(machine, data, operator, problem.weightSlot);
}

/** Packs weights as an engine does: by kernels where there are some. */
export function packWeights(machine: Machine, data: ConvData, operator: ConvOperator, weightSlot: string): void {
  const { packing } = operator;
  if (!packing) {
    const packed = machine.floats(machine.addressOf(weightSlot), operator.weightBytes / 4);
    operator.pack(data.weight, data.bias, packed);
    return;
  }
  const source = machine.floats(machine.addressOf(packing.sourceSlot), packing.sourceBytes / 4);
  source.set(data.weight);
  source.set(data.bias, data.weight.length);
  machine.run({ algorithm: "packing", calls: packing.calls, temporaries: {}, flops: 0, bytes: 0, coreSeconds: 0 });
}

export function readResult(
  machine: Machine,
  c: ConvCase,
  problem: ConvProblem,
  operator: ConvOperator,
  outputGrid: Vec3,
): ConvResult {
  const voxels = voxelCount(outputGrid);
  const { channelStride, channelOffset } = problem.output;
  const memory = machine.floats(machine.addressOf("output"), c.batch * voxels * channelStride).slice();
  const outputs = Array.from({ length: c.batch }, (_, n) => {
    const sample = new Float32Array(c.outputs * voxels);
    for (let v = 0; v < voxels; v++) {
      for (let o = 0; o < c.outputs; o++) {
        sample[o * voxels + v] = memory[(n * voxels + v) * channelStride + channelOffset + o];
      }
    }
    return sample;
  });
  const statistics = operator.statistics
    ? machine.floats(machine.addressOf("statistics"), operator.statistics.bytes / 4).slice()
    : new Float32Array();
  return { outputs, memory, statistics };
}

/** Runs one operator for a case from scratch. */
export function runConv(
  c: ConvCase,
  data: ConvData,
  plan: (problem: ConvProblem) => ConvOperator,
  outputGrid: Vec3 = convOutputGrid(c.grid, c.kernel, c.stride),
  megabytes = 256,
): ConvResult {
  const machine = createMachine(megabytes);
  const problem = problemOf(c);
  const operator = plan(problem);
  prepare(machine, c, data, problem, operator, outputGrid);
  machine.run(operator);
  machine.checkGuards();
  return readResult(machine, c, problem, operator, outputGrid);
}
