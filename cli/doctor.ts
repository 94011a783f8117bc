/** The `doctor` command: what this machine offers, which engine would be used and why, and what to install. */
import { foldersIn, isFolder, roots } from "../core/dataset/dataset_names.ts";
import { readEnvironment } from "../core/dataset/environment.ts";
import { join } from "../core/base/path.ts";
import type { Command } from "./commands.ts";
import { describeGpu, probeGpu } from "./gpu_probe.ts";
import { wrap } from "./help.ts";
import { parseCommandLine } from "./parse_command_line.ts";
import { decideEngine } from "./select_engine.ts";
import { formatBytes, print } from "./terminal.ts";
import { UPSTREAM_VERSION, VERSION } from "./version.ts";

export const doctor: Command = {
  flags: {},
  details: ["Changes nothing and needs no network. Exit code 0."],
  async run(args, shownName) {
    if (!parseCommandLine("doctor", doctor, args, shownName)) return 0;
    const sections: [string, string[]][] = [
      ["Program", describeProgram()],
      ["Processor", await describeProcessor()],
      ["Memory", describeMemory()],
      ["GPU", describeGpu(await probeGpu())],
      ["Engine", describeEngine()],
      ["Folders", await describeFolders()],
    ];
    for (const [title, lines] of sections) {
      print(`${title}\n${lines.flatMap((line) => wrap(line, 98, "  ")).map((line) => `  ${line}`).join("\n")}\n`);
    }
    return 0;
  },
};

function describeProgram(): string[] {
  const kind = Deno.build.standalone ? "one executable" : "run by Deno";
  return [
    `nnunet ${VERSION}, follows nnU-Net ${UPSTREAM_VERSION}; ${kind}`,
    `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}, ${Deno.build.os} ${Deno.build.arch}`,
  ];
}

async function describeProcessor(): Promise<string[]> {
  const lines = [`${navigator.hardwareConcurrency} threads`];
  const model = await processorModel();
  if (model) lines.unshift(model.name);
  if (model?.features.length) lines.push(`vector instructions: ${model.features.join(", ")}`);
  const wasm: [string, readonly number[]][] = [["128-bit SIMD", SIMD], ["relaxed SIMD", RELAXED_SIMD], [
    "64-bit memory",
    MEMORY64,
  ], [
    "threads",
    SHARED,
  ]];
  const absent = wasm.filter(([, bytes]) => !WebAssembly.validate(new Uint8Array(bytes))).map(([name]) => name);
  lines.push(
    absent.length === 0
      ? `WebAssembly: ${wasm.map(([name]) => name).join(", ")}: all there`
      : `WebAssembly lacks ${absent.join(", ")}: the CPU engine needs them; use Deno 2.9 or newer`,
  );
  return lines;
}

/** Smallest modules that use a feature: header, then type, memory, function and code sections. */
const HEADER = [0, 97, 115, 109, 1, 0, 0, 0];
/** (func (result v128) i32.const 0 i8x16.splat) */
const SIMD = [...HEADER, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
/** (func (result v128) three splats, f32x4.relaxed_madd) */
const RELAXED_SIMD = [
  ...[...HEADER, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0],
  ...[65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11],
];
/** (memory i64 0) */
const MEMORY64 = [...HEADER, 5, 3, 1, 4, 0];
/** (memory 0 1 shared) */
const SHARED = [...HEADER, 5, 4, 1, 3, 0, 1];

async function processorModel(): Promise<{ readonly name: string; readonly features: string[] } | null> {
  if (Deno.build.os !== "linux") return null;
  let text: string;
  try {
    text = await Deno.readTextFile("/proc/cpuinfo");
  } catch {
    return null;
  }
  const field = (name: RegExp) => name.exec(text)?.[1].trim();
  const flags = new Set((field(/^(?:flags|Features)\s*:(.*)$/m) ?? "").split(" "));
  const wanted = ["sse4_1", "avx", "f16c", "fma", "avx2", "avx512f", "asimd", "sve"];
  return {
    name: field(/^model name\s*:(.*)$/m) ?? "unknown processor",
    features: wanted.filter((flag) => flags.has(flag)),
  };
}

function describeMemory(): string[] {
  const { total, available, swapTotal } = Deno.systemMemoryInfo();
  const lines = [
    `${formatBytes(total)}, ${formatBytes(available)} of it free; swap ${swapTotal ? formatBytes(swapTotal) : "none"}`,
  ];
  lines.push("A run says beforehand what it will take; --max-memory keeps it below a limit.");
  return lines;
}

function describeEngine(): string[] {
  const { kind, reason } = decideEngine({ device: "auto", allowCpu: false });
  return [`-device auto would take the ${kind.toUpperCase()} engine: ${reason}.`];
}

async function describeFolders(): Promise<string[]> {
  const environment = readEnvironment((name) => Deno.env.get(name));
  const lines: string[] = [];
  const set = roots(environment.folders);
  for (const variable of ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]) {
    const root = set.find((one) => one.variable === variable);
    if (!root) {
      lines.push(
        `${variable} is not set${
          variable === "nnUNet_results" ? "; `predict` needs it, predict_from_modelfolder does not" : ""
        }`,
      );
      continue;
    }
    if (!(await isFolder(root.path))) {
      lines.push(`${variable}=${root.path}: there is no such folder`);
      continue;
    }
    const datasets = (await foldersIn(root.path)).filter((name) => name.startsWith("Dataset"));
    lines.push(`${variable}=${root.path}: ${datasets.length ? datasets.join(", ") : "no datasets"}`);
    if (variable !== "nnUNet_results") continue;
    for (const dataset of datasets) {
      const models = (await foldersIn(join(root.path, dataset))).filter((name) => name.split("__").length === 3);
      for (const model of models) lines.push(`- ${dataset}/${model}`);
    }
  }
  for (const { name, value, why } of environment.unused) lines.push(`${name}=${value} changes nothing here: ${why}`);
  return lines;
}
