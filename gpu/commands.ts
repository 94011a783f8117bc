/**
 * The queue as the engine uses it: dispatches are collected and submitted in pieces of an estimated 200 ms, so that no driver takes
 * the GPU for hung and desktops stay alive. Uniforms of single dispatches travel with their submission; those of programs stay.
 */
import { UserError } from "../core/base/errors.ts";
import type { WgslDispatch, WgslOperator } from "../kernels/wgsl/kernel.ts";
import { createBindGroups } from "./bind_groups.ts";
import { BINDING_ALIGNMENT, type BufferRange, type DeviceBuffer, roundUp, type Segments } from "./buffers.ts";
import type { GpuDevice } from "./device.ts";
import type { Pipeline } from "./pipelines.ts";
import { uniformBytes } from "./uniform_bytes.ts";

/** A dispatch with everything made beforehand. */
export interface PreparedDispatch {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  /** Where its uniforms are in the bound buffer, if it has any. */
  readonly uniformOffset?: number;
  readonly workgroups: WgslDispatch["workgroups"];
  /** Forecast for a nominal large GPU. */
  readonly seconds: number;
}

export interface Commands {
  /** Makes a dispatch ready; its uniforms are at an offset of `uniforms`. */
  prepare(
    dispatch: WgslDispatch,
    pipeline: Pipeline,
    slots: (slot: string) => Segments,
    uniforms: UniformPlace | undefined,
    seconds: number,
  ): PreparedDispatch;
  dispatch(prepared: PreparedDispatch): void;
  /** Enqueues an operator whose pipelines are compiled now if they are not yet. */
  operator(
    operator: WgslOperator,
    pipelineOf: (dispatch: WgslDispatch) => Pipeline,
    slots: (slot: string) => Segments,
  ): void;
  /** Writes bytes (whole words) after what was enqueued. */
  write(target: BufferRange, data: Uint8Array<ArrayBufferLike>): void;
  copy(source: BufferRange, target: GPUBuffer, targetOffset: number): void;
  /** Hands what was collected to the GPU. */
  submit(): void;
  /** Forgets what was prepared for a buffer that is going to be destroyed. */
  forget(buffer: DeviceBuffer): void;
  /**
   * Waits until all that was enqueued is done; `until` is resolved by then, if the caller waits for something of its own.
   * @throws the device's failure
   */
  wait(until?: () => Promise<unknown>): Promise<void>;
  /** How much slower than the nominal GPU this one is, as far as is known. */
  readonly slowness: number;
  /** Submissions so far. */
  readonly submissions: number;
}

export interface UniformPlace {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
}

/** A submission is estimated to take at most this, unless one dispatch alone takes longer. */
export const SUBMISSION_SECONDS = 0.2;
/** Bytes of uniforms a submission can take with it. */
export const UNIFORM_BYTES = 2 ** 18;
/** Uploads are handed over in pieces, so that the copies made of them can go. */
const WRITE_BYTES = 64 * 2 ** 20;
/** A GPU that has nothing to do gets the first dispatches as soon as there are so many, while the rest is recorded. */
const FIRST_DISPATCHES = 50;
/** How much slower than assumed a GPU may be whose pace was not measured yet: its work is cut as if it were. */
const CAUTION = 10;
/** A call that takes so long was held. */
const HELD_MILLISECONDS = 5;
/** What a dispatch costs, whatever it does. */
export const DISPATCH_SECONDS = 5e-6;
/** Bytes a second of the nominal GPU, for operators that only forecast bytes; and its arithmetic. */
const NOMINAL = { bytes: 1e12, flops: 1e13 };

/** Forecast for the nominal GPU of an operator that gives none. */
export function nominalSeconds({ flops, bytes }: Pick<WgslOperator, "flops" | "bytes">): number {
  return Math.max(flops / NOMINAL.flops, bytes / NOMINAL.bytes);
}

/** @param clock milliseconds */
export function createCommands(gpu: GpuDevice, clock: () => number = () => performance.now()): Commands {
  const { device } = gpu;
  const { queue } = device;
  const uniformBuffer: DeviceBuffer = {
    id: -1,
    bytes: UNIFORM_BYTES,
    buffer: device.createBuffer({
      label: "uniforms",
      size: UNIFORM_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    }),
  };
  const uniforms = new Uint8Array(UNIFORM_BYTES);
  let uniformsUsed = 0;
  /** In a typed array: others are read element by element, which takes as long as recording a dispatch. */
  const dynamicOffset = new Uint32Array(1);
  let encoder: GPUCommandEncoder | undefined;
  let pass: GPUComputePassEncoder | undefined;
  let pending = 0;
  let recorded = 0;
  let scheduled = false;
  /** Nominal seconds of all work submitted, and how much of it has been measured. */
  let submittedSeconds = 0;
  let measuredSeconds = 0;
  /** When the queue got work after it was last known to be idle. */
  let busySince: number | undefined;
  let submissions = 0;
  /** True once WebGPU is known to hold the thread, when something is waited for, until the queue is idle; Deno's does. */
  let holds = false;
  /** How much slower than the nominal GPU this one is; measured as work gets done. */
  const assumed = gpu.facts.software ? 2000 : 5;
  let slowness = assumed;
  /** True once the pace is known to be no worse. */
  let known = gpu.facts.software;
  const groups = createBindGroups(device, uniformBuffer);
  const marks: GPUBuffer[] = [];

  function open(): GPUCommandEncoder {
    if (encoder) return encoder;
    encoder = device.createCommandEncoder();
    // Whatever the caller does next, work that was enqueued begins.
    if (!scheduled) {
      scheduled = true;
      queueMicrotask(() => {
        scheduled = false;
        if (!gpu.failure) submit();
      });
    }
    return encoder;
  }

  function endPass(): void {
    pass?.end();
    pass = undefined;
  }

  function submit(): void {
    if (!encoder) return;
    endPass();
    if (uniformsUsed > 0) queue.writeBuffer(uniformBuffer.buffer, 0, uniforms, 0, uniformsUsed);
    queue.submit([encoder.finish()]);
    encoder = undefined;
    uniformsUsed = 0;
    recorded = 0;
    busySince ??= clock();
    submittedSeconds += pending;
    pending = 0;
    submissions++;
  }

  /** Submits what there is if a dispatch more would make it too long. */
  function cutBefore(seconds: number): void {
    const pace = known ? slowness : CAUTION * slowness;
    if (pending > 0 && (pending + seconds + DISPATCH_SECONDS) * pace > SUBMISSION_SECONDS) submit();
  }

  function record(prepared: PreparedDispatch): void {
    const commands = open();
    pass ??= commands.beginComputePass();
    pass.setPipeline(prepared.pipeline);
    if (prepared.uniformOffset === undefined) pass.setBindGroup(0, prepared.bindGroup);
    else {
      dynamicOffset[0] = prepared.uniformOffset;
      pass.setBindGroup(0, prepared.bindGroup, dynamicOffset, 0, 1);
    }
    const [x, y, z] = prepared.workgroups;
    pass.dispatchWorkgroups(x, y, z);
    pending += prepared.seconds + DISPATCH_SECONDS;
    if (++recorded >= FIRST_DISPATCHES && busySince === undefined) submit();
  }

  /** The queue is idle, unless more was submitted since; it has been waited for since `started`. */
  function noteIdle(started: number, upTo: number): void {
    if (busySince === undefined || submittedSeconds !== upTo) return;
    const [now, busy] = [clock(), busySince];
    busySince = undefined;
    // Copies alone, which are no work that was forecast, say nothing of its pace.
    if (upTo === measuredSeconds) return;
    // Short times say more of waiting than of the GPU; and it must have been the GPU that was waited for.
    const seconds = (now - busy) / 1000;
    const measured = seconds / (upTo - measuredSeconds);
    if (seconds > 0.05 && now - started > 0.8 * (now - busy)) {
      // The first time there is nothing but a guess to be mixed with it.
      slowness = Math.max(0.1, known ? (slowness + measured) / 2 : measured);
      known = true;
    }
    // Waiting included it took no longer than was assumed.
    known ||= measured <= slowness;
    // Of little work, what else the machine did makes the most: the GPU is not slower than all work shows it to be.
    slowness = Math.min(slowness, Math.max(assumed, 2 * measured));
    measuredSeconds = upTo;
  }

  /**
   * Copies a word after all that was enqueued; what is returned waits until it is there. Deno ends the program where it waits for the queue
   * of a device that is lost (ext/webgpu/queue.rs: "called `Result::unwrap()` on an `Err` value: Device(Lost)"), and not where it maps.
   */
  function mark(): () => Promise<void> {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const buffer = marks.pop() ?? device.createBuffer({ label: "end of the work", size: 4, usage });
    const commands = open();
    endPass();
    commands.copyBufferToBuffer(uniformBuffer.buffer, 0, buffer, 0, 4);
    return async () => {
      await buffer.mapAsync(GPUMapMode.READ).catch(gpu.blame);
      buffer.unmap();
      marks.push(buffer);
    };
  }

  /** Keeps uniforms for the submission that is being collected. */
  function placeUniforms(dispatch: WgslDispatch): number | undefined {
    if (!dispatch.uniforms) return undefined;
    const bytes = uniformBytes(dispatch.uniforms);
    if (uniformsUsed + bytes.length > UNIFORM_BYTES) submit();
    const offset = uniformsUsed;
    uniforms.set(bytes, offset);
    uniformsUsed = roundUp(offset + bytes.length, BINDING_ALIGNMENT);
    return offset;
  }

  return {
    prepare(dispatch, pipeline, slots, place, seconds) {
      const { name, workgroups } = dispatch;
      const bindGroup = groups.make(dispatch, pipeline, slots, place?.buffer ?? uniformBuffer);
      const prepared = { name, pipeline: pipeline.pipeline, bindGroup, workgroups, seconds };
      return dispatch.uniforms ? { ...prepared, uniformOffset: place?.offset ?? 0 } : prepared;
    },
    dispatch(prepared) {
      cutBefore(prepared.seconds);
      record(prepared);
    },
    operator(operator, pipelineOf, slots) {
      gpu.check();
      const seconds = nominalSeconds(operator) / Math.max(1, operator.dispatches.length);
      for (const one of operator.dispatches) {
        const pipeline = pipelineOf(one);
        const bindGroup = groups.shared(one, pipeline, slots);
        // Before its uniforms are placed: they belong to the submission it is in.
        cutBefore(seconds);
        const uniformOffset = placeUniforms(one);
        const { name, workgroups } = one;
        const prepared = { name, pipeline: pipeline.pipeline, bindGroup, workgroups, seconds };
        record(uniformOffset === undefined ? prepared : { ...prepared, uniformOffset });
      }
    },
    write({ buffer, offset }, data) {
      submit();
      for (let start = 0; start < data.length; start += WRITE_BYTES) {
        const end = Math.min(data.length, start + WRITE_BYTES);
        queue.writeBuffer(buffer.buffer, offset + start, data as Uint8Array<ArrayBuffer>, start, end - start);
        if (end < data.length) queue.submit([]);
      }
    },
    copy({ buffer, offset, bytes }, target, targetOffset) {
      const commands = open();
      endPass();
      commands.copyBufferToBuffer(buffer.buffer, offset, target, targetOffset, bytes);
    },
    submit,
    forget(buffer) {
      submit();
      groups.forget(buffer);
    },
    async wait(own) {
      const until = own ?? mark();
      submit();
      const upTo = submittedSeconds;
      const started = clock();
      const done = until();
      // What is enqueued while the answer comes is work for an idle GPU then.
      holds ||= clock() - started > HELD_MILLISECONDS;
      if (holds) noteIdle(started, upTo);
      await done;
      noteIdle(started, upTo);
    },
    get slowness() {
      return slowness;
    },
    get submissions() {
      return submissions;
    },
  };
}

/** @throws UserError where a device runs fewer workgroups or binds fewer buffers than a kernel asks for */
export function checkFits(dispatch: WgslDispatch, { device, facts }: GpuDevice): void {
  const { maxComputeWorkgroupsPerDimension: groups, maxStorageBuffersPerShaderStage: buffers } = device.limits;
  if (dispatch.bindings.length <= buffers && dispatch.workgroups.every((n) => n <= groups)) return;
  throw new UserError({
    doing: `preparing the kernel ${dispatch.name}`,
    problem: `it binds ${dispatch.bindings.length} buffers and runs ${dispatch.workgroups.join(" x ")} workgroups; ` +
      `${facts.name} allows ${buffers} and ${groups}`,
    remedy: "update the graphics driver, or compute with -device cpu",
  });
}
