/** Flags of the commands that run a network: what it runs on. */
import type { FlagTable } from "./flag.ts";

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
    beyond: true,
    group: MACHINE,
    help: "Threads of the CPU engine. Default: all cores. Results do not depend on it.",
  },
} as const satisfies FlagTable;
