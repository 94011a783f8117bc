/**
 * Forward passes: latency (each run awaited), throughput (all runs, one wait), the host's time to record one, and the sum of its steps on
 * the device's clock. The peak of f32 products is what the device's share can be held against.
 */
import { timedNetwork } from "../../../core/cases/networks.ts";
import type { Precision } from "../../../core/engine/engine.ts";
import { gemmPeakKernel, peakTiles } from "../../../kernels/wgsl/conv/peak.ts";
import { sum } from "../../../kernels/operators/arithmetic.ts";
import { repeat } from "./budget.ts";
import { type EnginePart, measureTimes, precisionsOf, watchMemory } from "./engine_part.ts";

/** f32 TFLOP/s of large square products, by register tile. */
export async function measurePeak({ engine, sizes: { peak: size }, limit, report }: EnginePart): Promise<void> {
  const { device: { limits }, timeOperator } = engine;
  const tiles = peakTiles({
    workgroupMemoryBytes: limits.maxComputeWorkgroupStorageSize,
    workgroupThreads: limits.maxComputeInvocationsPerWorkgroup,
    maxBindings: limits.maxStorageBuffersPerShaderStage,
    maxBindingBytes: limits.maxStorageBufferBindingSize,
  });
  const bytes = size * size * 4;
  let best = { kernel: "", teraflops: 0 };
  for (const tile of tiles) {
    const operator = gemmPeakKernel(size, tile);
    if (!limit.allows(`peak of ${operator.algorithm}`)) continue;
    const milliseconds = await timeOperator(operator, { a: bytes, b: bytes, c: bytes });
    const teraflops = operator.flops / milliseconds / 1e9;
    report.detail(operator.algorithm, teraflops);
    if (teraflops > best.teraflops) best = { kernel: operator.algorithm, teraflops };
  }
  report.measure("f32 products", best.teraflops, "TFLOP/s");
  report.say(`f32 peak: ${best.teraflops.toFixed(2)} TFLOP/s (${best.kernel})`);
}

export async function measureForward(part: EnginePart): Promise<void> {
  for (const batch of part.sizes.batches) {
    for (const precision of precisionsOf(part.engine)) {
      const name = `${precision}, batch ${batch}`;
      if (part.limit.allows(name)) await measureNetwork(part, name, precision, batch);
    }
  }
}

async function measureNetwork(part: EnginePart, name: string, precision: Precision, batch: number): Promise<void> {
  const { engine, sizes: { edge, features, runs }, limit, report, clock } = part;
  const memoryReport = await watchMemory(part);
  const start = clock();
  using prepared = await timedNetwork(edge, features, 3, batch).prepare(engine, precision);
  await engine.flush();
  report.measure(`${name}: ready after`, clock() - start, "ms");
  const { program, weights } = prepared;
  const { memory: { weights: weightBytes, activations, scratch }, steps } = program;

  const latency = await repeat(clock, limit, { piece: `${name}: latency`, runs }, async () => {
    engine.run(program, weights);
    await engine.flush();
  });
  if (latency.length === 0) return;
  measureTimes(report, `${name}: latency`, latency);
  await memoryReport(name, weightBytes + activations + scratch);
  const best = Math.min(...latency);
  const flops = sum(steps.map((step) => step.flops));
  report.measure(`${name}: direct form`, flops / best / 1e9, "TFLOP/s");

  let each = NaN;
  if (limit.allows(`${name}: throughput`, runs * best)) {
    const from = clock();
    for (let run = 0; run < runs; run++) engine.run(program, weights);
    const recorded = clock();
    await engine.flush();
    each = (clock() - from) / runs;
    report.measure(`${name}: throughput`, each, "ms a run");
    report.measure(`${name}: host`, (recorded - from) / runs, "ms a run");
  }
  if (!limit.allows(`${name}: steps`, 2 * best)) return;
  const times = await engine.timeSteps(program, weights);
  report.measure(`${name}: device`, sum(times), "ms a run");
  report.detail(`${name}: steps`, steps.map(({ name, algorithm }, i) => ({ name, algorithm, milliseconds: times[i] })));
  report.say(
    `${name}: latency ${best.toFixed(2)} ms, throughput ${each.toFixed(2)} ms, on the device ${
      sum(times).toFixed(2)
    } ms, ${(flops / best / 1e9).toFixed(2)} TFLOP/s of the direct form`,
  );
}
