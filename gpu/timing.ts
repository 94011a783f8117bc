/** How long dispatches take on the device itself: its timestamps before and after, where it has them. For the bench and for tuning. */
import type { PreparedDispatch } from "./commands.ts";
import type { GpuDevice } from "./device.ts";
import type { Tools } from "./program.ts";

/** Timestamps are read in groups of this many pairs: a query set holds 4096. */
const PAIRS = 2048;

/** True if the device can tell the time. */
export function hasTimestamps({ device }: GpuDevice): boolean {
  return device.features.has("timestamp-query");
}

/** Runs groups of dispatches in order and returns the milliseconds of each: by the device's clock, or with about 11 ms of waiting in each. */
export async function timeInTurn(
  { gpu, commands }: Pick<Tools, "gpu" | "commands">,
  groups: readonly (readonly PreparedDispatch[])[],
): Promise<number[]> {
  await commands.wait();
  if (hasTimestamps(gpu)) return await timeGroups(gpu, groups);
  const times: number[] = [];
  for (const dispatches of groups) {
    const start = performance.now();
    for (const dispatch of dispatches) commands.dispatch(dispatch);
    await commands.wait();
    times.push(performance.now() - start);
  }
  gpu.check();
  return times;
}

/**
 * Runs groups of dispatches in order, `together` in a submission, and returns the milliseconds of each.
 * All that was enqueued before must have been submitted.
 */
export async function timeGroups(
  gpu: GpuDevice,
  groups: readonly (readonly PreparedDispatch[])[],
  together = 1,
): Promise<number[]> {
  const times: number[] = [];
  for (let start = 0; start < groups.length; start += PAIRS) {
    times.push(...await timeSome(gpu, groups.slice(start, start + PAIRS), together));
  }
  return times;
}

async function timeSome(
  gpu: GpuDevice,
  groups: readonly (readonly PreparedDispatch[])[],
  together: number,
): Promise<number[]> {
  const { device } = gpu;
  const bytes = groups.length * 16;
  const querySet = device.createQuerySet({ type: "timestamp", count: groups.length * 2 });
  const resolved = device.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  try {
    let encoder = device.createCommandEncoder();
    groups.forEach((dispatches, i) => {
      const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
      const pass = encoder.beginComputePass({ timestampWrites });
      for (const { pipeline, bindGroup, uniformOffset, workgroups } of dispatches) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup, uniformOffset === undefined ? [] : [uniformOffset]);
        pass.dispatchWorkgroups(...workgroups);
      }
      pass.end();
      if ((i + 1) % together !== 0) return;
      device.queue.submit([encoder.finish()]);
      encoder = device.createCommandEncoder();
    });
    encoder.resolveQuerySet(querySet, 0, groups.length * 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ).catch(gpu.blame);
    await gpu.settleErrors();
    const stamps = new BigUint64Array(staging.getMappedRange());
    // Nanoseconds; a device may set its clock back, which is no time.
    return groups.map((_, i) => Math.max(0, Number(stamps[2 * i + 1] - stamps[2 * i])) / 1e6);
  } finally {
    staging.destroy();
    resolved.destroy();
    querySet.destroy();
  }
}
