/** The command `doctor`: what this machine offers, which engine would be used and why, and what to install. */
import { plural } from "../../core/base/plural.ts";
import { cpus } from "node:os";
import { describeBytes } from "../../core/base/describe_bytes.ts";
import { foldersIn, isFolder, roots } from "../../core/dataset/dataset_names.ts";
import { parseModelId } from "../../core/dataset/model_id.ts";
import type { Environment } from "../../core/dataset/environment.ts";
import { join } from "../../core/base/path.ts";
import { type CpuDescription, describeCpu } from "../../cpu/describe.ts";
import { defineCommand } from "./command.ts";
import { testGpu, tuneGpu } from "./doctor_gpu.ts";
import { checkInstalledModels } from "./doctor_models.ts";
import type { FlagTable } from "../flags/flag.ts";
import { gpuLines } from "../engines/choose_gpus.ts";
import { listGpus } from "../engines/list_gpus.ts";
import { describeGpu, probeGpu } from "../engines/gpu_probe.ts";
import { wrap } from "../help.ts";
import { oneFileNames } from "../packaging/installed_program.ts";
import { decideEngine } from "../engines/select_engine.ts";
import { UPSTREAM_VERSION, VERSION } from "../version.ts";

const FLAGS = {
  tune: {
    kind: "switch",
    names: ["--tune"],
    beyond: true,
    group: "The GPU",
    help:
      "Measure on the GPU which kernels are the fastest to predict and train with, and keep that for later runs; minutes.",
  },
  models: {
    kind: "list",
    names: ["-m"],
    value: "MODEL_FOLDER",
    beyond: true,
    group: "The GPU",
    help: "What to measure for. Default: the networks nnU-Net plans for large 3-D and 2-D images.",
  },
  allowSoftwareGpu: {
    kind: "switch",
    names: ["--allow_software_gpu"],
    beyond: true,
    group: "The GPU",
    help: "Test (and measure on) a software adapter too, which predict would not use unasked.",
  },
  checksums: {
    kind: "switch",
    names: ["--checksums"],
    beyond: true,
    group: "Models",
    help:
      "Read all files of the models that were installed from zips, and compare their SHA-256 with what was installed.",
  },
} as const satisfies FlagTable;

export const doctorCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Look at the machine and test its GPU", args: "--allow_software_gpu" },
    { does: "Find the fastest kernels for a model", args: "--tune -m MODEL_FOLDER" },
    { does: "Compare installed models with what was installed", args: "--checksums" },
  ],
  details: [
    "A GPU is tested: small networks are computed and trained for a step on it and on the CPU, and the results compared. How that went, and what " +
    "--tune measures, is kept in a file that later runs read; nothing else is changed, and no network needed. Exit code 1: " +
    "the GPU computes wrong results, or could not be measured, or an installed model's files are not what was installed.",
  ],
  async run(values, context) {
    const cpu = describeCpu();
    const show = (title: string, lines: readonly string[]) => context.print(section(title, lines));
    show("Program", describeProgram());
    show("Processor", describeProcessor(cpu));
    show("Memory", describeMemory(cpu));
    const gpu = await probeGpu();
    show("GPU", describeGpu(gpu));
    if (gpu.adapter) show("GPUs by index", gpuLines(await listGpus()));
    const tested = await testGpu(values.allowSoftwareGpu, context);
    if (tested) show("GPU self-test", tested.lines);
    show("Engine", await describeEngine(tested?.right !== false));
    show("Folders", await describeFolders(context.environment));
    const models = await checkInstalledModels(context, values.checksums);
    if (models) show("Models from zips", models.lines);
    if (tested?.right === false || models?.areSame === false) return false;
    if (!values.tune) return true;
    const outcome = await tuneGpu(values.models, values.allowSoftwareGpu, context);
    show("Tuning", outcome.lines);
    return outcome.done;
  },
});

function section(title: string, lines: readonly string[]): string {
  return `${title}\n${lines.flatMap((line) => wrap(line, 98, "  ")).map((line) => `  ${line}`).join("\n")}\n`;
}

function describeProgram(): string[] {
  const kind = oneFileNames().length > 0 ? "one file" : "run by Deno";
  return [
    `nnunet ${VERSION}, follows nnU-Net ${UPSTREAM_VERSION}; ${kind}`,
    `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}, ${Deno.build.os} ${Deno.build.arch}`,
  ];
}

function describeProcessor(cpu: CpuDescription): string[] {
  const lines = [`${cpus()[0]?.model ?? "unknown processor"}, ${plural(cpu.threads, "thread")}`];
  const features: [string, boolean][] = [
    ["128-bit SIMD", cpu.simd],
    ["relaxed SIMD", cpu.relaxedSimd],
    ["64-bit memory", cpu.memory64],
  ];
  const absent = features.filter(([, there]) => !there).map(([name]) => name);
  if (absent.length > 0) {
    return [...lines, `WebAssembly lacks ${absent.join(", ")}: the CPU engine needs them; use Deno 2.9 or newer`];
  }
  lines.push(`WebAssembly: ${features.map(([name]) => name).join(", ")}`);
  lines.push(
    fusesMultiplyAdd()
      ? "fused multiply-add: yes"
      : "fused multiply-add: no; the CPU engine works, at about half the speed (processors before 2013 lack it)",
  );
  return lines;
}

/** True if relaxed multiply-add rounds once: with a = 1 + 2^-12, a * a - (1 + 2^-11) is 2^-24, and 0 if the product is rounded. */
function fusesMultiplyAdd(): boolean {
  const { fused } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(FUSED))).exports;
  const a = 1 + 2 ** -12;
  return typeof fused === "function" && fused(a, a, -(1 + 2 ** -11)) !== 0;
}

/** (func (export "fused") (param f32 f32 f32) (result f32) f32x4.relaxed_madd of the splats, lane 0) */
// deno-fmt-ignore
const FUSED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 125, 125, 125, 1, 125, 3, 2, 1, 0, 7, 9, 1, 5, 102, 117, 115, 101, 100, 0, 0,
  10, 22, 1, 20, 0, 32, 0, 253, 19, 32, 1, 253, 19, 32, 2, 253, 19, 253, 133, 2, 253, 31, 0, 11,
];

function describeMemory(cpu: CpuDescription): string[] {
  const swap = Deno.systemMemoryInfo().swapTotal;
  return [
    `${describeBytes(cpu.totalMemory)}, ${describeBytes(cpu.availableMemory)} of it free; swap ${
      swap > 0 ? describeBytes(swap) : "none"
    }`,
    "A run says beforehand what it will take (--verbose); --max-memory keeps it below a limit.",
  ];
}

async function describeEngine(gpuIsRight: boolean): Promise<string[]> {
  if (!gpuIsRight) return ["CPU engine (the GPU computes wrong results)."];
  const { kind, reason } = await decideEngine({ device: "auto", allowCpu: false });
  return [
    `${kind.toUpperCase()} engine${reason ? ` (${reason.replace(/\.$/, "")})` : ""}.`,
    "Of several GPUs the strongest is used; --gpus chooses others, of those listed above, or several (predict, watch, " +
    "serve, run), and -num_gpus says how many train together.",
  ];
}

async function describeFolders(environment: Environment): Promise<string[]> {
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
      const models = (await foldersIn(join(root.path, dataset))).filter(parseModelId);
      for (const model of models) lines.push(`- ${dataset}/${model}`);
    }
  }
  for (const { name, value, why } of environment.unused) lines.push(`${name}=${value} changes nothing here: ${why}`);
  return lines;
}
