/** A whole CT through the program as users run it, and through upstream's predict where Python has it. */
import { z } from "zod";
import { readJsonFile } from "../../../core/base/json.ts";
import { join } from "../../../core/base/path.ts";
import { ourCommand } from "../our_command.ts";
import type { Limit, PartEnd } from "./budget.ts";
import { driverMebibytes } from "./driver_memory.ts";
import { type MadeCt, makeCt } from "./made_ct.ts";
import { lastLine, runProgram, stopped } from "./processes.ts";
import type { Report } from "./report.ts";
import type { Sizes } from "./sizes.ts";
import type { Python } from "./torch_part.ts";

const reportSchema = z.object({
  engine: z.object({ description: z.string() }),
  cases: z.array(z.object({
    placement: z.string(),
    batch: z.number(),
    tiles: z.number(),
    forecastSeconds: z.number(),
    memory: z.record(z.string(), z.number()),
    timings: z.object({ read: z.number(), preprocess: z.number(), network: z.number(), export: z.number() }),
  })).length(1),
});

const MIB = 2 ** 20;
/** Between two looks at the driver's memory. */
const LOOK_MILLISECONDS = 500;

export interface CtPart {
  readonly sizes: Sizes;
  /** Where model, image and results may be; both parts are given the same. */
  readonly folder: string;
  readonly limit: Limit;
  readonly report: Report;
}

export async function measureCt(part: CtPart, allowSoftware: boolean): Promise<PartEnd> {
  const { sizes, folder, limit, report } = part;
  const ct = await makeCt(folder, sizes);
  const reportFile = join(folder, "report.json");
  const before = await driverMebibytes();
  const watch = before === undefined ? undefined : watchDriver();
  const ended = await runProgram({
    command: [
      ...ourCommand("predict_from_modelfolder"),
      ...flagsOf(ct, join(folder, "ours")),
      ...["-device", "gpu", "--report", reportFile],
      ...(allowSoftware ? ["--allow_software_gpu"] : []),
    ],
    limit: limit.left(),
  });
  const peak = await watch?.stop();
  if (ended.code === undefined) return stopped(ended);
  if (ended.code !== 0) return { state: "failed", why: lastLine(ended.stderr) };
  report.measure("wall", ended.seconds, "s");
  const { engine, cases: [{ placement, batch, tiles, forecastSeconds, memory, timings }] } = reportSchema.parse(
    (await readJsonFile(reportFile)).value,
  );
  for (const [name, seconds] of Object.entries(timings)) report.measure(name, seconds, "s");
  report.measure("network and resampling, forecast", forecastSeconds, "s");
  if (before !== undefined && peak !== undefined) report.measure("memory by the driver", peak - before, "MiB");
  for (const [name, bytes] of Object.entries(memory)) {
    if (bytes > 0) report.measure(`memory forecast, ${name}`, bytes / MIB, "MiB");
  }
  report.detail("run", { engine: engine.description, placement, batch, tiles });
  report.say(
    `a CT of ${sizes.ct.join(" x ")}, ${sizes.classes} classes: ${ended.seconds.toFixed(1)} s, the network ${
      timings.network.toFixed(1)
    } s for ${tiles} tiles`,
  );
  return { state: "done" };
}

/** Looks at the driver's memory now and then; `stop` gives the most that was seen. */
function watchDriver() {
  let most = 0;
  let running = true;
  const looking = (async () => {
    while (running) {
      most = Math.max(most, await driverMebibytes() ?? 0);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
    }
  })();
  return {
    async stop() {
      running = false;
      await looking;
      return most;
    },
  };
}

const SCRIPT = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as f; f()";

/** @param onCpu Without CUDA on the CPU, to rehearse */
export async function measureUpstream(part: CtPart, python: Python | string, onCpu: boolean): Promise<PartEnd> {
  const { folder, limit, report } = part;
  if (typeof python === "string") return { state: "skipped", why: python };
  if (!python.hasNnunet) return { state: "skipped", why: `${python.program} has no nnunetv2` };
  if (python.device === null && !onCpu) return { state: "skipped", why: `${python.program}: its torch has no CUDA` };
  const ct: MadeCt = { model: join(folder, "model"), images: join(folder, "images") };
  const ended = await runProgram({
    command: [
      ...[python.program, "-c", SCRIPT, ...flagsOf(ct, join(folder, "theirs"))],
      ...["-device", python.device === null ? "cpu" : "cuda", "-npp", "1", "-nps", "1"],
    ],
    env: { TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD: "1" },
    limit: limit.left(),
  });
  if (ended.code === undefined) {
    report.measure("wall, at least", ended.seconds, "s");
    return stopped(ended);
  }
  if (ended.code !== 0) return { state: "failed", why: lastLine(ended.stderr) };
  report.measure("wall", ended.seconds, "s");
  report.say(`upstream's predict: ${ended.seconds.toFixed(1)} s`);
  return { state: "done" };
}

const flagsOf = ({ model, images }: MadeCt, output: string) => ["-m", model, "-i", images, "-o", output, "-f", "0"];
