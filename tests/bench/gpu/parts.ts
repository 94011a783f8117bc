/** The parts of the GPU bench, in order, with their shares of the budget. */
import { ourCommand } from "../our_command.ts";
import { createLimit, type Limit, type Part, type PartEnd } from "./budget.ts";
import { measureCt, measureUpstream } from "./ct_part.ts";
import { DAWN_FLAGS, type WebGpuWish } from "./dawn.ts";
import { ENGINE_PARTS, NO_WEBGPU, type PartRequest } from "./gpu_part.ts";
import { lastLine, runProgram, stopped } from "./processes.ts";
import { receive, type Report } from "./report.ts";
import type { Sizes } from "./sizes.ts";
import { findPython, measureTorch, type Python } from "./torch_part.ts";

export interface BenchSetting {
  readonly sizes: Sizes;
  readonly allowSoftware: boolean;
  /** For what parts write. */
  readonly folder: string;
  /** Torch and upstream on the CPU where there is no CUDA, to rehearse. */
  readonly onCpu: boolean;
  readonly clock: () => number;
  /** What the engine computes with in parts that are its own; the others are left out unless it is Deno's, beside which Dawn is measured. */
  readonly webgpu: WebGpuWish;
  /** What the driver calls the adapter. */
  readonly adapter: string;
  /** What `doctor` has found out about the GPU. */
  found(): Promise<Found>;
  /** Where a part's results go. */
  reportOf(part: string): Report;
}

/** With which engines are opened. */
export type Found = Pick<PartRequest, "refused" | "cacheBytes">;

/** For a part to end by itself before it is killed: of its time, and at least so many milliseconds. */
const GRACE = { share: 0.1, least: 3000 } as const;

/** Names of all parts, in order. */
export function gpuParts(setting: BenchSetting): Part[] {
  const { sizes, allowSoftware, folder, onCpu, clock, reportOf } = setting;
  let python: Python | string = "torch was not looked for";
  const limitOf = (name: string, milliseconds: number): [Limit, Report] => {
    const report = reportOf(name);
    return [createLimit(clock, milliseconds, report.cut), report];
  };
  const engine = (name: PartRequest["part"], share: number, least: number): Part => ({
    name,
    share,
    least,
    run: (limit) => runEnginePart(setting, name, limit),
  });
  const ctPart = (name: string, milliseconds: number) => {
    const [limit, report] = limitOf(name, milliseconds);
    return { sizes, folder, limit, report };
  };
  const parts: Part[] = [
    engine("self-test", 7, 2),
    { name: "doctor", share: 7, least: 2, run: (limit) => runDoctor(limit, reportOf("doctor"), allowSoftware) },
    engine("parity", 11, 3),
    {
      name: "torch",
      share: 14,
      least: 3,
      async run(milliseconds) {
        const [limit, report] = limitOf("torch", milliseconds);
        python = await findPython(limit);
        return await measureTorch(python, sizes, onCpu, limit, report);
      },
    },
    engine("peak", 2, 1),
    engine("forward", 11, 3),
    engine("training", 13, 3),
    engine("busy", 8, 3),
    { name: "ct", share: 11, least: 3, run: (milliseconds) => measureCt(ctPart("ct", milliseconds), allowSoftware) },
    {
      name: "upstream",
      share: 11,
      least: 3,
      run: (milliseconds) => measureUpstream(ctPart("upstream", milliseconds), python, onCpu),
    },
    {
      name: "beside",
      share: 8,
      least: 5,
      run: (limit) => runEnginePart({ ...setting, webgpu: { kind: "dawn", toggles: [] } }, "beside", limit),
    },
    engine("tuning", 12, 5),
  ];
  const own: readonly string[] = ENGINE_PARTS;
  return parts.filter(({ name }) =>
    // `doctor` asks Deno's alone; and Dawn is not measured beside itself.
    setting.webgpu.kind === "deno" ? name !== "self-test" : own.includes(name) && name !== "beside"
  );
}

const SCRIPT = new URL("./gpu_part.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;

async function runEnginePart(
  { sizes, allowSoftware, folder, webgpu, adapter, found, reportOf }: BenchSetting,
  part: PartRequest["part"],
  milliseconds: number,
): Promise<PartEnd> {
  const report = reportOf(part);
  const grace = Math.min(milliseconds / 2, Math.max(GRACE.least, GRACE.share * milliseconds));
  const until = Date.now() + milliseconds - grace;
  const own = webgpu.kind === "deno";
  // With another compiler of WGSL other things are found.
  const findings = own ? await found() : { refused: [] };
  const request: PartRequest = { part, sizes, until, allowSoftware, folder, webgpu, adapter, ...findings };
  const permissions = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys", "--allow-run"];
  const ended = await runProgram({
    command: [
      ...[Deno.execPath(), "run", "--quiet", "--config", CONFIG, ...(own ? ["--frozen"] : DAWN_FLAGS), ...permissions],
      ...[SCRIPT, JSON.stringify(request)],
    ],
    limit: milliseconds,
    onLine: (line) => receive(line, report),
  });
  if (ended.code === undefined) return stopped(ended);
  if (part === "beside" && ended.code === NO_WEBGPU) return { state: "skipped", why: lastLine(ended.stderr) };
  if (ended.code !== 0) return { state: "failed", why: ended.stderr.trim() || `exit code ${ended.code}` };
  return { state: "done" };
}

/** What `nnunet doctor` says; its self-test must pass. */
async function runDoctor(limit: number, report: Report, allowSoftware: boolean): Promise<PartEnd> {
  const lines: string[] = [];
  const ended = await runProgram({
    command: [...ourCommand("doctor"), ...(allowSoftware ? ["--allow_software_gpu"] : [])],
    limit,
    onLine: (line) => lines.push(line),
  });
  report.detail("lines", lines);
  if (ended.code === undefined) return stopped(ended);
  const from = lines.indexOf("GPU");
  for (const line of lines.slice(Math.max(0, from))) {
    if (line.startsWith("Engine")) break;
    report.say(line);
  }
  if (ended.code === 0) return { state: "done" };
  report.wrong("the self-test of `nnunet doctor`");
  return { state: "failed", why: lastLine(ended.stderr) || "see its lines" };
}
