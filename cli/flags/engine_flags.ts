/** Flags of the commands that run a network: what it runs on. */
import { UsageError } from "../../core/base/errors.ts";
import type { FlagTable } from "./flag.ts";
import { STARTED_THREADS } from "./forms.ts";

export const MACHINE = "Machine";

export const ENGINE = {
  device: {
    kind: "choice",
    names: ["-device"],
    value: "DEVICE",
    choices: ["auto", "gpu", "cpu", "cuda", "mps"],
    default: "auto",
    group: MACHINE,
    help: "auto: the GPU if there is a usable one, else the CPU. cuda and mps mean gpu.",
  },
  gpuChoice: {
    kind: "text",
    names: ["--gpus"],
    value: "GPUS",
    beyond: true,
    group: MACHINE,
    help:
      "Which GPUs, as `doctor` lists them: indices, PCI addresses or names, with commas between, or `all`. Cases are shared by " +
      "several; the results are those of one. Default: the strongest.",
  },
  allowSoftwareGpu: {
    kind: "switch",
    names: ["--allow_software_gpu"],
    beyond: true,
    group: MACHINE,
    help: "Take a software adapter (lavapipe) for a GPU. Slower than the CPU engine: for tests of the GPU's kernels.",
  },
  threads: {
    kind: "integer",
    names: ["--threads"],
    value: "N",
    range: STARTED_THREADS,
    beyond: true,
    group: MACHINE,
    help: "Threads of the CPU engine. Default: all cores. Results do not depend on it.",
  },
} as const satisfies FlagTable;

/** @throws UsageError if the CPU is asked for what it cannot do */
export function checkPrecision(
  { device, precision, gpuChoice }: {
    readonly device: string;
    readonly precision: string;
    readonly gpuChoice?: string;
  },
): void {
  if (device === "cpu" && gpuChoice !== undefined) {
    throw new UsageError("argument --gpus: -device cpu uses none; leave one of them out");
  }
  if (device !== "cpu" || precision !== "f16") return;
  throw new UsageError(
    "argument --precision: it is f16, and with -device cpu there is f32 only; leave one of them out",
  );
}
