/**
 * Runs a WGSL operator's dispatches over arrays on whatever adapter there is (lavapipe in CI), every segment of a slot in a buffer of
 * its own with guards around it. Tests are to be ignored where there is no adapter: `ignore: !gpuPresent`.
 */
import { assert, assertEquals } from "../assert.ts";
import type { WgslDispatch, WgslOperator } from "../../kernels/wgsl/kernel.ts";

/** What a slot holds; a temporary where the operator says so. Its length is a multiple of four bytes. */
export type SlotArray = Float32Array | Float16Array | Uint32Array | Int32Array | Uint8Array | Uint16Array | Int16Array;

export interface SlotData {
  readonly array: SlotArray;
  /** Bytes of each segment but the last; absent: one segment. */
  readonly segmentBytes?: number;
}

const adapter = await navigator.gpu?.requestAdapter() ?? null;
export const gpuPresent = adapter !== null;
export const halfPresent = adapter?.features.has("shader-f16") ?? false;
const device = await adapter?.requestDevice({
  requiredFeatures: halfPresent ? ["shader-f16"] : [],
  requiredLimits: {},
});

const GUARD = 256;
const GUARD_BYTE = 0xa5;
const MAX_WORKGROUPS = 65535;
const pipelines = new Map<string, Promise<GPUComputePipeline>>();

/** Runs the operator and copies what it wrote back into the arrays. Fails where it writes outside of them or breaks the contract. */
export async function runWgsl(operator: WgslOperator, slots: Readonly<Record<string, SlotData>>): Promise<void> {
  if (!device) throw new RangeError("Running a kernel: there is no adapter");
  const temporaries = Object.entries(operator.temporaries).map(([name, bytes]) =>
    // What is undefined reads as NaN.
    [name, { array: new Uint8Array(Math.ceil(bytes / 4) * 4).fill(0xff) }] as const
  );
  const all: Record<string, SlotData> = { ...slots, ...Object.fromEntries(temporaries) };
  const segments = Object.entries(all).flatMap(([slot, data]) => upload(device, slot, data));
  device.pushErrorScope("validation");
  const encoder = device.createCommandEncoder();
  const uniformBuffers: GPUBuffer[] = [];
  for (const dispatch of operator.dispatches) {
    checkContract(dispatch);
    const pipeline = await pipelineOf(device, dispatch.code);
    const entries: GPUBindGroupEntry[] = dispatch.bindings.map(({ slot, segment }, binding) => {
      const found = segments.find((s) => s.slot === slot && s.segment === segment);
      if (!found) throw new RangeError(`${dispatch.name} binds segment ${segment} of ${slot}, which is not there`);
      return { binding, resource: { buffer: found.buffer, offset: GUARD, size: found.size } };
    });
    if (dispatch.uniforms) {
      const buffer = device.createBuffer({
        size: dispatch.uniforms.length * 4,
        usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      });
      device.queue.writeBuffer(buffer, 0, uniformBytes(dispatch.uniforms));
      uniformBuffers.push(buffer);
      entries.push({ binding: entries.length, resource: { buffer } });
    }
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(...dispatch.workgroups);
    pass.end();
  }
  const staging = segments.map(({ buffer, size }) => {
    const total = size + 2 * GUARD;
    const copy = device.createBuffer({ size: total, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, total);
    return copy;
  });
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  assertEquals(error?.message, undefined, operator.algorithm);
  for (const [i, { slot, segment, bytes, size, buffer }] of segments.entries()) {
    await staging[i].mapAsync(GPUMapMode.READ);
    const read = new Uint8Array(staging[i].getMappedRange());
    const guards = [...read.subarray(0, GUARD), ...read.subarray(GUARD + size)];
    assertEquals(
      guards.findIndex((b) => b !== GUARD_BYTE),
      -1,
      `${operator.algorithm} wrote beside ${slot} ${segment}`,
    );
    bytes.set(read.subarray(GUARD, GUARD + size));
    staging[i].unmap();
    staging[i].destroy();
    buffer.destroy();
  }
  for (const buffer of uniformBuffers) buffer.destroy();
}

function upload(device: GPUDevice, slot: string, { array, segmentBytes = array.byteLength }: SlotData) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  assertEquals(bytes.length % 4, 0, `bytes of ${slot}`);
  const count = Math.max(1, Math.ceil(bytes.length / segmentBytes));
  return Array.from({ length: count }, (_, segment) => {
    const part = bytes.subarray(segment * segmentBytes, (segment + 1) * segmentBytes);
    const size = part.length;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = device.createBuffer({ size: size + 2 * GUARD, usage });
    const content = new Uint8Array(size + 2 * GUARD).fill(GUARD_BYTE);
    content.set(part, GUARD);
    device.queue.writeBuffer(buffer, 0, content);
    return { slot, segment, bytes: part, size, buffer };
  });
}

function pipelineOf(device: GPUDevice, code: string): Promise<GPUComputePipeline> {
  let pipeline = pipelines.get(code);
  if (!pipeline) {
    const module = device.createShaderModule({ code });
    pipeline = device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } })
      .catch(async (error) => {
        const { messages } = await module.getCompilationInfo();
        throw new Error([error.message, ...messages.map((m) => `line ${m.lineNum}: ${m.message}`), code].join("\n"));
      });
    pipelines.set(code, pipeline);
  }
  return pipeline;
}

function uniformBytes(uniforms: NonNullable<WgslDispatch["uniforms"]>): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(uniforms.length * 4));
  uniforms.forEach(({ type, value }, i) => {
    if (type === "f32") return view.setFloat32(i * 4, value, true);
    const [least, most] = type === "u32" ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
    assert(Number.isInteger(value) && value >= least && value <= most, `${value} is no ${type}`);
    view.setUint32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

function checkContract({ name, bindings, uniforms, workgroups }: WgslDispatch): void {
  assert(workgroups.every((n) => n >= 1 && n <= MAX_WORKGROUPS), `${name}: ${workgroups} workgroups`);
  assert((uniforms?.length ?? 4) % 4 === 0, `${name}: the uniform block is no multiple of 16 bytes`);
  for (const { slot, access, segment } of bindings) {
    const same = bindings.filter((other) => other.slot === slot && other.segment === segment);
    assert(same.length === 1 || access === "read", `${name} binds segment ${segment} of ${slot} twice`);
  }
}

/** The layout of a slot in segments of `segmentLength` elements, and its data for {@link runWgsl}. */
export function segmented(slot: string, array: SlotArray, elementBytes: number, segmentLength?: number) {
  const length = array.byteLength / elementBytes;
  const perSegment = segmentLength ?? length;
  const segments = Math.max(1, Math.ceil(length / perSegment));
  return {
    layout: { slot, length, segments, segmentLength: perSegment },
    data: { array, segmentBytes: perSegment * elementBytes } satisfies SlotData,
  };
}

/** Activations in either storage type, elements being four channels. */
export function activations(slot: string, values: Float32Array, type: "f32" | "f16", segmentLength?: number) {
  const array = type === "f16" ? Float16Array.from(values) : values.slice();
  const { layout, data } = segmented(slot, array, type === "f16" ? 8 : 16, segmentLength);
  return { layout: { ...layout, type }, data };
}
