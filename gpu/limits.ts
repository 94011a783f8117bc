/** A device's limits, as operators are planned with. */
import { UserError } from "../core/base/errors.ts";
import { machineMemory } from "../core/base/memory_allowance.ts";
import type { OwnMemory } from "../core/engine/engine.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import { BindingLimitError } from "../kernels/wgsl/conv/touched.ts";
import { BINDING_ALIGNMENT } from "./buffers.ts";
import type { GpuDevice } from "./device.ts";
import { avoidanceOf, refusalOf } from "./refused.ts";

/** A buffer that every device gives, and one that some do not, whatever they promise. */
const [MODEST_BUFFER, LARGE_BUFFER] = [192 * 2 ** 20, 512 * 2 ** 20];

/**
 * What can be allocated at a time: wgpu 29 reports devices whose memory the host sees through a small window (256 MiB, no resizable BAR)
 * as out of memory above about 240 MiB a buffer. So a large one is tried.
 */
async function largestBuffer({ device }: Pick<GpuDevice, "device">): Promise<number> {
  if (device.limits.maxBufferSize < LARGE_BUFFER) return Infinity;
  device.pushErrorScope("out-of-memory");
  const buffer = device.createBuffer({ size: LARGE_BUFFER, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const error = await device.popErrorScope();
  buffer.destroy();
  return error ? MODEST_BUFFER : Infinity;
}

/** Memory is asked for in pieces of at least and at most so many bytes: a device may bind few at a time, and still give more. */
const ASKED_PIECE = [2 ** 27, 2 ** 30] as const;
/** In all, at least and at most so many are asked for: a share of what the machine has, as the device may have no other. */
const ASKED = { share: 1 / 4, least: 2 * 2 ** 30, most: 8 * 2 ** 30 };
/** Activations of a batch may take this share of what is free, and never need more than so many bytes. */
const COMFORTABLE = { share: 1 / 4, most: 2 * 2 ** 30 };

/**
 * What the device has of memory. WebGPU does not say: so it is taken and given back, untouched. A software adapter has the program's.
 * @param limit Bytes that may be used of it
 */
export async function ownMemory(
  { device, facts }: GpuDevice,
  { maxBindingBytes }: ConvLimits,
  limit = Infinity,
): Promise<OwnMemory | undefined> {
  if (facts.software && limit === Infinity) return undefined;
  const asked = Math.min(ASKED.most, Math.max(ASKED.least, (machineMemory() ?? Infinity) * ASKED.share));
  const most = Math.min(limit, asked);
  const piece = Math.max(ASKED_PIECE[0], Math.min(ASKED_PIECE[1], maxBindingBytes));
  const free = facts.software ? most : await takeable(device, piece, most);
  const comfortable = Math.floor(Math.min(COMFORTABLE.most, free * COMFORTABLE.share));
  return free < asked ? { free, comfortable } : { comfortable };
}

/** Bytes, `most` at most, that the device gives in pieces. */
async function takeable(device: GPUDevice, piece: number, most: number): Promise<number> {
  const taken: GPUBuffer[] = [];
  let bytes = 0;
  while (bytes < most) {
    device.pushErrorScope("out-of-memory");
    taken.push(device.createBuffer({ size: piece, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST }));
    if (await device.popErrorScope()) break;
    bytes += piece;
  }
  for (const buffer of taken) buffer.destroy();
  return Math.min(bytes, most);
}

/**
 * What convolutions are planned with.
 * @param forced a binding limit below the device's
 * @param refused keys of kernels that the driver does not compile, and of ways that the GPU computes wrong by
 */
export async function convLimits(
  gpu: Pick<GpuDevice, "device">,
  forced = Infinity,
  refused: ReadonlySet<string> = new Set(),
): Promise<ConvLimits> {
  const { limits } = gpu.device;
  const { maxStorageBufferBindingSize, maxBufferSize } = limits;
  const binding = Math.min(maxStorageBufferBindingSize, maxBufferSize, forced, await largestBuffer(gpu));
  return {
    workgroupMemoryBytes: limits.maxComputeWorkgroupStorageSize,
    // All threads of a workgroup lie along x.
    workgroupThreads: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
    maxBindings: limits.maxStorageBuffersPerShaderStage,
    maxBindingBytes: Math.max(1, Math.floor(binding / BINDING_ALIGNMENT)) * BINDING_ALIGNMENT,
    refuses: refusalOf(refused),
    avoids: avoidanceOf(refused),
  };
}

/** What is planned. @throws UserError where a device binds too little for a layer, or refuses it, whatever way it is computed. */
export function withinBindings<T>(doing: string, plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof BindingLimitError)) throw error;
    throw new UserError({
      doing,
      problem: `the GPU has no way to compute a layer (${error.message})`,
      remedy: "use -device cpu",
    }, { cause: error });
  }
}
