/** What dispatches bind: groups that are made for a program once, and those of single dispatches, which are kept for the next time. */
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { type BufferRange, type DeviceBuffer, roundUp, type Segments } from "./buffers.ts";
import { type Pipeline, uniformBlockBytes } from "./pipelines.ts";

/** Bind groups kept for dispatches outside programs. */
const KEPT_GROUPS = 4096;

type SlotSegments = (slot: string) => Segments;

export interface BindGroups {
  /** A group of its own. @throws RangeError where a buffer would be read and written, or a slot lacks a segment */
  make(dispatch: WgslDispatch, pipeline: Pipeline, slots: SlotSegments, uniforms: DeviceBuffer): GPUBindGroup;
  /** The group of a dispatch outside programs: the same arrays are used again and again. */
  shared(dispatch: WgslDispatch, pipeline: Pipeline, slots: SlotSegments): GPUBindGroup;
  /** Forgets the shared groups that bind a buffer. */
  forget(buffer: DeviceBuffer): void;
}

/** @param uniforms What dispatches outside programs have their uniforms in */
export function createBindGroups(device: GPUDevice, uniforms: DeviceBuffer): BindGroups {
  const groups = new Map<string, GPUBindGroup>();
  const groupsOf = new Map<number, Set<string>>();
  return {
    make: (dispatch, pipeline, slots, uniformsIn) =>
      makeGroup(device, dispatch, pipeline, rangesOf(dispatch, slots), uniformsIn),
    shared(dispatch, pipeline, slots) {
      const ranges = rangesOf(dispatch, slots);
      const places = ranges.map(({ buffer, offset, bytes }) => `${buffer.id}:${offset}:${bytes}`).join(" ");
      const key = `${pipeline.layoutKey} ${places}`;
      const known = groups.get(key);
      if (known) return known;
      if (groups.size >= KEPT_GROUPS) {
        groups.clear();
        groupsOf.clear();
      }
      const group = makeGroup(device, dispatch, pipeline, ranges, uniforms);
      groups.set(key, group);
      for (const { buffer: { id } } of ranges) {
        const keys = groupsOf.get(id) ?? new Set<string>();
        groupsOf.set(id, keys.add(key));
      }
      return group;
    },
    forget({ id }) {
      for (const key of groupsOf.get(id) ?? []) groups.delete(key);
      groupsOf.delete(id);
    },
  };
}

/** What a dispatch binds, in order. */
function rangesOf(dispatch: WgslDispatch, slots: SlotSegments): BufferRange[] {
  return dispatch.bindings.map(({ slot, segment }) => {
    const range = slots(slot).ranges[segment];
    if (!range) throw new RangeError(`Binding ${dispatch.name}: there is no segment ${segment} of ${slot}`);
    return range;
  });
}

function makeGroup(
  device: GPUDevice,
  dispatch: WgslDispatch,
  { layout }: Pipeline,
  ranges: readonly BufferRange[],
  uniforms: DeviceBuffer,
): GPUBindGroup {
  checkAliasing(dispatch, ranges);
  const entries: GPUBindGroupEntry[] = ranges.map(({ buffer, offset, bytes }, binding) => ({
    binding,
    // Whole vec4: wgpu 29 may hold a dispatch's bindings against what the pipeline before it needs. Arrays lie at least so far apart.
    resource: { buffer: buffer.buffer, offset, size: roundUp(bytes, 16) },
  }));
  if (dispatch.uniforms) {
    const size = uniformBlockBytes(dispatch);
    entries.push({ binding: entries.length, resource: { buffer: uniforms.buffer, offset: 0, size } });
  }
  return device.createBindGroup({ label: dispatch.name, layout, entries });
}

/** A buffer must not be read and written in one dispatch, and what is written must not overlap. @throws RangeError */
function checkAliasing(dispatch: WgslDispatch, ranges: readonly BufferRange[]): void {
  const isWritten = (i: number) => dispatch.bindings[i].access !== "read";
  const apart = (a: BufferRange, b: BufferRange) => a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
  ranges.forEach((range, i) => {
    if (!isWritten(i)) return;
    const other = ranges.findIndex((another, j) =>
      j !== i && another.buffer === range.buffer && !(isWritten(j) && apart(another, range))
    );
    if (other >= 0) {
      const [a, b] = [dispatch.bindings[i].slot, dispatch.bindings[other].slot];
      throw new RangeError(`Binding ${dispatch.name}: ${a} is written in the buffer of ${b}`);
    }
  });
}
