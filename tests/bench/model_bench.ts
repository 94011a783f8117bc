/**
 * The time of a forward pass of nnU-Net's default 3-D network (128^3, one sample) as modelled for GPUs that are not at hand: from the plan that
 * a device of such limits gets, each kernel's arithmetic and bytes against what the device has, and the host's time for its dispatches.
 *
 *   deno task bench model [--edge 128] [--batch 1] [--dispatch-us 7] [--cache 6,12,24,64,256] [--steps]
 *
 * A roofline, so a bound from below but for {@link EFFICIENCY}; for comparing plans with each other, not for promises. --dispatch-us: what
 * recording and submitting a dispatch takes the host, as `deno task bench host` measures it. --cache: MiB of a convolution's transformed tiles
 * that are kept at a time; the fastest is taken, as the engine measures it on a device. --steps lists the steps of 2 % and more.
 */
import type { Vec3 } from "../../core/base/shape.ts";
import { timedNetwork } from "../../core/cases/networks.ts";
import type { Precision } from "../../core/engine/engine.ts";
import { planProgram } from "../../gpu/program_plan.ts";
import type { MeasuredProblem } from "../../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../../kernels/wgsl/conv/problem.ts";
import { BLOCKS, WHOLE } from "../../kernels/wgsl/conv/tile_storage.ts";
import type { WgslDispatch, WgslOperator } from "../../kernels/wgsl/kernel.ts";
import type { SchemeTriple } from "../../kernels/operators/conv/scheme.ts";
import { say } from "./say.ts";

/** What a GPU has on paper, and what Vulkan or Metal lets a kernel have of it. */
export interface ModelledGpu {
  readonly name: string;
  /** f32 multiplications and additions a second. */
  readonly flops: number;
  /** Bytes a second of its memory and of its last cache, and what that holds. */
  readonly memory: number;
  readonly cache: number;
  readonly cacheBytes: number;
  /** Units that workgroups are given to: multiprocessors, Xe cores. */
  readonly units: number;
  /** Seconds from the end of a dispatch to the start of the next that needs it. */
  readonly launch: number;
  readonly limits: ConvLimits;
}

const limits = (workgroupMemoryBytes: number, maxBindingBytes: number): ConvLimits => ({
  workgroupMemoryBytes,
  workgroupThreads: 1024,
  maxBindings: 16,
  maxBindingBytes,
});
const GIB = 2 ** 30;
const MIB = 2 ** 20;

/** Makers' data sheets; bandwidths of caches and gaps between dispatches as published measurements have them, roughly. */
export const GPUS: readonly ModelledGpu[] = [
  {
    name: "H200",
    flops: 66.9e12,
    memory: 4.8e12,
    cache: 6e12,
    cacheBytes: 50 * MIB,
    units: 132,
    launch: 2.5e-6,
    limits: limits(49152, 2 * GIB - 256),
  },
  {
    name: "RTX 4070",
    flops: 29.1e12,
    memory: 504e9,
    cache: 2.5e12,
    cacheBytes: 36 * MIB,
    units: 46,
    launch: 2.5e-6,
    limits: limits(49152, 2 * GIB - 256),
  },
  {
    name: "Arc A770",
    flops: 17.2e12,
    memory: 560e9,
    cache: 1.8e12,
    cacheBytes: 16 * MIB,
    units: 32,
    launch: 5e-6,
    limits: limits(32768, 1 * GIB),
  },
  {
    name: "M3",
    flops: 4.1e12,
    memory: 100e9,
    cache: 3e11,
    cacheBytes: 8 * MIB,
    units: 10,
    launch: 5e-6,
    limits: limits(32768, 1 * GIB),
  },
];

/** Of the arithmetic's peak that products in WGSL reach. */
const EFFICIENCY = 0.6;
/** Of the cache that two arrays may take and still be found there. */
const CACHE_SHARE = 0.75;

export interface ModelledTime {
  readonly dispatches: number;
  /** Seconds on the device, those between dispatches included; and the host's. */
  readonly device: number;
  readonly gaps: number;
  readonly host: number;
  /** Multiplications and additions as done, after transforms. */
  readonly flops: number;
  /** Bytes from and to the device's memory, and its cache. */
  readonly memoryBytes: number;
  readonly cacheBytes: number;
  readonly steps: readonly ModelledStep[];
}

export interface ModelledStep extends Work {
  readonly name: string;
  readonly algorithm: string;
  readonly dispatches: number;
  readonly seconds: number;
}

interface Work {
  readonly flops: number;
  readonly memoryBytes: number;
  readonly cacheBytes: number;
}

interface ModelledPass {
  readonly edge: number;
  readonly features: readonly number[];
  readonly batch: number;
  readonly precision: Precision;
  /** Of the host for a dispatch. */
  readonly dispatchSeconds: number;
  /** Of transformed tiles that are kept at a time; the planner's own unless given. */
  readonly tileBytes?: number;
}

/** The modelled time of a forward pass. */
export function modelledForward(gpu: ModelledGpu, pass: ModelledPass): ModelledTime {
  const { edge, features, batch, precision, dispatchSeconds, tileBytes } = pass;
  const problems = new Map<string, MeasuredProblem>();
  const plan = planProgram(
    timedNetwork(edge, features).graph,
    { patch: [edge, edge, edge], batch, precision },
    { ...gpu.limits, ...(tileBytes !== undefined && { cacheBytes: tileBytes }) },
    // Of a batch and of its single sample: the last one is what is computed.
    (problem) => void problems.set(problem.name, problem),
  );
  const steps = plan.steps.map(({ name, operator }): ModelledStep => {
    const layer = /^(?:transposed )?conv (\S+) /.exec(name)?.[1];
    const work = workOf(gpu, operator, layer === undefined ? undefined : problems.get(layer), batch);
    const { algorithm, dispatches: { length } } = operator;
    const seconds = work.reduce((sum, one) => sum + secondsOf(gpu, one), 0) + length * gpu.launch;
    const total = (pick: (one: Work) => number) => work.reduce((sum, one) => sum + pick(one), 0);
    return {
      name,
      algorithm,
      dispatches: length,
      seconds,
      flops: total(({ flops }) => flops),
      memoryBytes: total(({ memoryBytes }) => memoryBytes),
      cacheBytes: total(({ cacheBytes }) => cacheBytes),
    };
  });
  const total = (pick: (step: ModelledStep) => number) => steps.reduce((sum, step) => sum + pick(step), 0);
  const dispatches = total((step) => step.dispatches);
  return {
    steps,
    dispatches,
    device: total(({ seconds }) => seconds),
    gaps: dispatches * gpu.launch,
    host: dispatches * dispatchSeconds,
    flops: total(({ flops }) => flops),
    memoryBytes: total(({ memoryBytes }) => memoryBytes),
    cacheBytes: total(({ cacheBytes }) => cacheBytes),
  };
}

interface Phase extends Work {
  /** Of threads, beside the products: each takes the time of a multiplication and addition. */
  readonly instructions: number;
  /** Of the device that has something to do. */
  readonly busy: number;
}

function secondsOf({ flops, memory, cache }: ModelledGpu, work: Phase): number {
  return Math.max(
    (work.flops + 2 * work.instructions) / (flops * EFFICIENCY * work.busy),
    work.memoryBytes / memory,
    (work.memoryBytes + work.cacheBytes) / cache,
  );
}

/** What an operator does, in phases that follow each other. */
function workOf(
  gpu: ModelledGpu,
  operator: WgslOperator,
  problem: MeasuredProblem | undefined,
  batch: number,
): Phase[] {
  const { flops, bytes, dispatches } = operator;
  if (problem && "kernel" in problem && !("weightGradientSlot" in problem)) {
    const schemes = schemesOf(operator);
    if (schemes) return winogradWork(gpu, operator, schemes, problem, batch);
  }
  return [{ flops, instructions: 0, memoryBytes: bytes, cacheBytes: 0, busy: busyShare(gpu, dispatches) }];
}

/** Workgroups against whole rounds of the units. */
function busyShare({ units }: ModelledGpu, dispatches: readonly WgslDispatch[]): number {
  const counts = dispatches.map(({ workgroups: [x, y, z] }) => x * y * z);
  const rounds = counts.reduce((sum, count) => sum + Math.ceil(count / units), 0);
  return counts.reduce((sum, count) => sum + count, 0) / (rounds * units);
}

function schemesOf(operator: WgslOperator): SchemeTriple | undefined {
  if (!("packing" in operator)) return undefined;
  const packing = operator.packing as { readonly kind: string; readonly schemes?: SchemeTriple };
  return packing.kind === "winograd" ? packing.schemes : undefined;
}

type Convolution = Extract<MeasuredProblem, { readonly kernel: Vec3; readonly outputChannels: number }>;

/** Input transform to V, products to M, output transform: chunk by chunk, V and M in the cache where they fit. */
function winogradWork(
  gpu: ModelledGpu,
  operator: WgslOperator,
  schemes: SchemeTriple,
  { input, inputGrid, outputChannels, output, stride }: Convolution,
  batch: number,
): Phase[] {
  const padded = (channels: number) => Math.ceil(channels / 4) * 4;
  const grid = inputGrid.map((n, axis) => Math.ceil(n / stride[axis]));
  const inputs = padded(input.parts.reduce((sum, part) => sum + padded(part), 0));
  const outputs = padded(outputChannels);
  const points = schemes.reduce((product, scheme) => product * scheme.points, 1);
  const tiles = batch * grid.reduce((product, n, axis) => product * Math.ceil(n / schemes[axis].outputs), 1);
  const temporaries = Object.values(operator.temporaries);
  const held = temporaries.reduce((sum, bytes) => sum + bytes, 0);
  const chunk = Number(/ by (\d+)/.exec(operator.algorithm)?.[1] ?? tiles);
  const chunks = Math.ceil(tiles / chunk);
  // Bytes of a number in V and M: what they hold of a chunk's.
  const scalar = Math.min(4, held / (chunk * points * (inputs + outputs)));
  const fits = held <= CACHE_SHARE * gpu.cacheBytes;
  const split = (bytes: number) => fits ? { memoryBytes: 0, cacheBytes: bytes } : { memoryBytes: bytes, cacheBytes: 0 };
  const v = split(tiles * points * inputs * scalar);
  const m = split(tiles * points * outputs * scalar);
  const weightBytes = "weightBytes" in operator ? Number(operator.weightBytes) : 0;
  const weightsStay = fits && held + weightBytes <= CACHE_SHARE * gpu.cacheBytes;
  const voxelBytes = (type: "f32" | "f16") => (type === "f16" ? 2 : 4);
  const read = batch * inputGrid.reduce((a, b) => a * b) * inputs * voxelBytes(input.layout.type);
  const written = batch * grid.reduce((a, b) => a * b) * outputs * voxelBytes(output.layout.type);
  const of = (kind: string) => busyShare(gpu, operator.dispatches.filter(({ name }) => name.includes(kind)));
  const { packing, unpacking } = scalar < 4 ? BLOCKS : WHOLE;
  const [packedV, packedM] = [inputs, outputs].map((channels) => tiles * points * channels / 4 * packing);
  const [unpackedV, unpackedM] = [inputs, outputs].map((channels) => tiles * points * channels / 4 * unpacking);
  // V is read for each tile of columns.
  const columns = operator.dispatches.find(({ name }) => name.includes("product"))?.workgroups[0] ?? 1;
  return [
    {
      flops: 0,
      instructions: packedV,
      memoryBytes: read + v.memoryBytes,
      cacheBytes: v.cacheBytes,
      busy: of("input"),
    },
    {
      flops: 2 * tiles * points * inputs * outputs,
      instructions: packedM + columns * unpackedV,
      memoryBytes: v.memoryBytes + m.memoryBytes + weightBytes * (weightsStay ? 1 : chunks),
      cacheBytes: v.cacheBytes + m.cacheBytes + (weightsStay ? weightBytes * (chunks - 1) : 0),
      busy: of("product"),
    },
    {
      flops: 0,
      instructions: unpackedM,
      memoryBytes: written + m.memoryBytes,
      cacheBytes: m.cacheBytes,
      busy: of("output"),
    },
  ];
}

const FEATURES = [32, 64, 128, 256, 320, 320];

export function bench(args: readonly string[]): number {
  const text = (name: string, otherwise: string) => args.includes(name) ? args[args.indexOf(name) + 1] : otherwise;
  const choices = text("--cache", "6,12,24,64,256").split(",").map((mebibytes) => Number(mebibytes) * MIB);
  const pass = {
    edge: Number(text("--edge", "128")),
    batch: Number(text("--batch", "1")),
    features: FEATURES,
    dispatchSeconds: Number(text("--dispatch-us", "7")) * 1e-6,
  };
  say("GPU        type  tiles MiB  dispatches  device ms (gaps)  host ms  longer ms  GFLOP done  memory GB  cache GB");
  for (const gpu of GPUS) {
    for (const precision of ["f32", "f16"] as const) {
      const all = choices.map((tileBytes) => ({
        tileBytes,
        time: modelledForward(gpu, { ...pass, precision, tileBytes }),
      }));
      const { tileBytes, time } = all.reduce((a, b) => (longerOf(b.time) < longerOf(a.time) ? b : a));
      say(describe(gpu.name, precision, tileBytes, time));
      if (args.includes("--steps")) listSteps(time);
    }
  }
  return 0;
}

/** Recording goes on while the device computes. */
const longerOf = ({ device, host }: ModelledTime) => Math.max(device, host);

function describe(name: string, precision: Precision, tileBytes: number, time: ModelledTime): string {
  const ms = (seconds: number) => (1e3 * seconds).toFixed(2);
  const giga = (value: number) => (value / 1e9).toFixed(value < 1e11 ? 2 : 0);
  return [
    name.padEnd(9),
    precision.padStart(5),
    String(tileBytes / MIB).padStart(10),
    String(time.dispatches).padStart(11),
    `${ms(time.device)} (${ms(time.gaps)})`.padStart(17),
    ms(time.host).padStart(8),
    ms(longerOf(time)).padStart(10),
    giga(time.flops).padStart(11),
    giga(time.memoryBytes).padStart(10),
    giga(time.cacheBytes).padStart(9),
  ].join(" ");
}

function listSteps({ steps, device }: ModelledTime): void {
  for (const { name, algorithm, dispatches, seconds, flops, memoryBytes, cacheBytes } of steps) {
    if (seconds < 0.02 * device) continue;
    say(
      `  ${(1e6 * seconds).toFixed(0).padStart(7)} us ${String(dispatches).padStart(4)} dispatches ${
        (flops / 1e9).toFixed(1).padStart(7)
      } GFLOP ${(memoryBytes / 1e6).toFixed(0).padStart(6)} + ${(cacheBytes / 1e6).toFixed(0).padStart(6)} MB  ${
        algorithm.padEnd(36)
      } ${name}`,
    );
  }
}
