/** The engine on another WebGPU, beside Deno's on the same card: whether it is right there, and what it takes. */
import { createCpuEngine } from "../../../cpu/engine.ts";
import { selfTest } from "../../../cli/engines/self_test.ts";
import { createLimit, type Part, runParts } from "./budget.ts";
import type { EnginePart } from "./engine_part.ts";
import { measureForward } from "./forward_part.ts";
import { measureParity } from "./parity_part.ts";
import { prefixed } from "./report.ts";
import { measureTraining } from "./training_part.ts";

/** The self-test of `nnunet doctor`, which asks Deno's WebGPU alone. */
export async function measureSelfTest({ engine, report }: EnginePart): Promise<void> {
  await using cpu = await createCpuEngine();
  const { cases, skipped, failures, halfFailures, worst, seconds } = await selfTest(engine, cpu);
  for (const failure of [...failures, ...halfFailures]) report.wrong(failure);
  report.measure("worst", worst, "of the spread");
  report.say(
    `${engine.adapter.name}: ${
      cases - failures.length - halfFailures.length
    } of ${cases} cases as on the CPU, ${skipped} ` +
      `left out, ${worst.toExponential(1)} of the spread at worst, ${seconds.toFixed(1)} s`,
  );
}

/** Measures what has parts of its own on Deno's WebGPU, under names that begin with those. */
export async function measureBeside(given: EnginePart): Promise<void> {
  const { limit, clock, report } = given;
  const failures: string[] = [];
  const piece = (name: string, share: number, measure: (part: EnginePart) => Promise<void>): Part => ({
    name,
    share,
    least: 1,
    async run(milliseconds) {
      const own = prefixed(report, `${name}: `);
      await measure({ ...given, report: own, limit: createLimit(clock, milliseconds, own.cut) });
      return { state: "done" };
    },
  });
  const pieces = [
    piece("self-test", 3, measureSelfTest),
    piece("parity", 4, measureParity),
    piece("forward", 3, measureForward),
    piece("training", 3, measureTraining),
  ];
  await runParts(pieces, limit.left() / 1000, clock, (name, { state, why }) => {
    if (state === "failed") failures.push(`${name}: ${why}`);
    if (state === "skipped") report.cut(name);
    return Promise.resolve();
  });
  if (failures.length > 0) throw new Error(failures.join("; "));
}
