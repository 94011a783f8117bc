/**
 * Speed of what lies around a network, through the port, beside what the memory gives: sizes of core/cases. GB/s counts every byte of the
 * sources and targets once; the best of several runs is shown.
 *
 *   deno task bench volume [--threads N] [--gpu] [part of a name]
 */
import type { TimedWork } from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { measureMemory } from "./roofline.ts";

const RUNS = 12;

/** Milliseconds of the best run, after one that is not counted. */
async function best(engine: Engine, run: TimedWork["run"]): Promise<number> {
  let least = Infinity;
  for (let i = 0; i <= RUNS; i++) {
    const start = performance.now();
    await run();
    await engine.flush();
    if (i > 0) least = Math.min(least, performance.now() - start);
  }
  return least;
}

function report(name: string, voxels: number, milliseconds: number, moved: number): void {
  const line = `${name.padEnd(64)} ${milliseconds.toFixed(1).padStart(8)} ms ${
    (voxels / milliseconds / 1e3).toFixed(1).padStart(8)
  } Mvoxel/s ${(moved / milliseconds / 1e6).toFixed(2).padStart(7)} GB/s\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
}

export async function bench(args: readonly string[]): Promise<number> {
  const at = args.indexOf("--threads");
  const threads = at < 0 ? 1 : Number(args[at + 1]);
  const gpu = args.includes("--gpu");
  const filter = args.find((arg, i) => !arg.startsWith("--") && args[i - 1] !== "--threads") ?? "";
  if (!gpu) {
    const { bytes, milliseconds } = await measureMemory(threads);
    report("memory: read two, write one", bytes / 12, milliseconds, bytes);
  }
  await using engine = gpu ? await createGpuEngine({ allowSoftware: true }) : await createCpuEngine({ threads });
  for (const { family, timed = [] } of ENGINE_CASES) {
    if (family !== "volume") continue;
    for (const { name, prepare } of timed) {
      if (!name.includes(filter)) continue;
      using work = await prepare(engine, "f32");
      report(name, work.voxels, await best(engine, work.run), work.bytes);
    }
  }
  return 0;
}
