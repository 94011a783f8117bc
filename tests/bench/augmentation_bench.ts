/**
 * Augmentation of training samples on one core, each transform and whole samples as they are drawn; beside upstream's transforms with
 * the same parameters, in turns, where NNUNET_BENCH_PYTHON names a Python that has nnunetv2 2.5.1. Times are processor time of the
 * process, the best of the rounds: other work on the machine counts less.
 *
 *   deno task bench augmentation [--da5] [--samples N] [--rounds N] [hippocampus large thick 2d cascade]
 */
import { cpuUsage } from "node:process";
import { createRandomStream } from "../../core/base/random_stream.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { augmentSample } from "../../core/train/augment/augment_sample.ts";
import { drawAugmentation } from "../../core/train/augment/draw_augmentation.ts";
import type { AugmentationParameters } from "../../core/train/augment/parameters.ts";
import { STREAM } from "../../core/train/augment/sample_choice.ts";
import { createAugmentationBuffers, type LoadedPatch } from "../../core/train/augment/sample.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import type { AugmentationStep } from "../../core/train/augment/steps.ts";
import { say } from "./say.ts";

interface Setting {
  readonly dimensions: 2 | 3;
  readonly patchSize: Vec3;
  readonly channels: number;
  readonly previousStage?: string;
}

const SETTINGS: Readonly<Record<string, Setting>> = {
  hippocampus: { dimensions: 3, patchSize: [40, 56, 40], channels: 1 },
  large: { dimensions: 3, patchSize: [128, 128, 128], channels: 1 },
  thick: { dimensions: 3, patchSize: [20, 256, 256], channels: 1 },
  "2d": { dimensions: 2, patchSize: [1, 512, 512], channels: 1 },
  cascade: { dimensions: 3, patchSize: [128, 128, 128], channels: 1, previousStage: "3d_lowres" },
};

const SCRIPTS = { standard: "augmentation_upstream.py", da5: "augmentation_da5_upstream.py" } as const;

export async function bench(args: readonly string[]): Promise<number> {
  const option = (name: string, otherwise: number) => {
    const at = args.indexOf(name);
    return at < 0 ? otherwise : Number(args[at + 1]);
  };
  const chosen = Object.entries(SETTINGS).filter(([name]) => args.includes(name));
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  const recipe = args.includes("--da5") ? "da5" : "standard";
  using upstream = python ? startUpstream(python, SCRIPTS[recipe]) : undefined;
  for (const [name, setting] of chosen.length > 0 ? chosen : Object.entries(SETTINGS)) {
    const { spec } = deriveAugmentation(
      { ...setting, useMaskForNorm: [] },
      setting.channels,
      { foregroundLabels: [1, 2] },
      { ...STANDARD_AUGMENTATION, recipe },
    );
    say(
      `${name}: patch ${spec.patch.join(" x ")}, loaded ${spec.loadPatch.join(" x ")}, processor milliseconds a sample`,
    );
    await benchSpec(spec, option("--samples", 40), option("--rounds", 3), upstream?.run);
  }
  return 0;
}

async function benchSpec(spec: AugmentationSpec, samples: number, rounds: number, upstream?: Upstream): Promise<void> {
  const loaded = phantom(spec);
  const buffers = createAugmentationBuffers(spec);
  for (const [name, parameters] of rowsOf(spec, samples)) {
    const ours = new Array<number>(parameters.length).fill(Infinity);
    const theirs = new Array<number>(parameters.length).fill(Infinity);
    for (let round = 0; round < rounds; round++) {
      parameters.forEach((one, i) => {
        const start = cpuUsage();
        augmentSample(spec, loaded, one, buffers);
        const { user, system } = cpuUsage(start);
        ours[i] = Math.min(ours[i], (user + system) / 1e3);
      });
      if (!upstream) continue;
      (await upstream(spec, parameters)).forEach((ms, i) => theirs[i] = Math.min(theirs[i], ms));
    }
    const [a, b] = [mean(ours), mean(theirs)];
    const beside = upstream ? `  upstream ${b.toFixed(2).padStart(9)}  ratio ${(a / b).toFixed(2)}` : "";
    say(`  ${name.padEnd(24)} ${a.toFixed(2).padStart(8)}${beside}`);
  }
}

/** What is timed: parameters by name. Single transforms follow a crop, whose time they contain. */
function rowsOf(spec: AugmentationSpec, samples: number): [string, readonly AugmentationParameters[]][] {
  const only = (...steps: AugmentationStep[]): AugmentationParameters[] => [{ steps, cascade: [] }];
  const turned = { angles: spec.planar ? [0.4, 0, 0] as const : [0.3, -0.2, 0.4] as const, scale: 1.1 };
  const drawn = Array.from({ length: samples }, (_, iteration) => {
    const key = { seed: 7, epoch: 0, iteration, sample: 0, purpose: STREAM.augmentation };
    return drawAugmentation(createRandomStream(key), spec);
  });
  const rows = spec.recipe === "da5" ? da5Steps(spec) : standardSteps(spec);
  return [
    ["crop", only()],
    ["rotation and scaling", [{ spatial: turned, steps: [], cascade: [] }]],
    ...rows.map(([name, step]): [string, readonly AugmentationParameters[]] => [name, only(step)]),
    ...(spec.cascadeLabels && spec.recipe === "standard" ? cascadeRows() : []),
    [`${samples} as drawn`, drawn],
  ];
}

function standardSteps(spec: AugmentationSpec): [string, AugmentationStep][] {
  return [
    ["noise", { kind: "noise", sigma: 0.05, seed: 1 }],
    ["blur", { kind: "blur", channel: 0, sigmas: [spec.dimensions === 2 ? 0 : 0.8, 0.8, 0.95] }],
    ["brightness", { kind: "brightness", channel: 0, factor: 0.9 }],
    ["contrast", { kind: "contrast", channel: 0, factor: 1.1 }],
    ["low resolution", { kind: "lowResolution", channel: 0, scale: 0.7 }],
    ["gamma", { kind: "gamma", channel: 0, gamma: 0.8, inverted: false }],
    ["mirror", { kind: "mirror", axes: spec.mirrorAxes }],
  ];
}

function da5Steps({ patch, dimensions, mirrorAxes, turnableAxes }: AugmentationSpec): [string, AugmentationStep][] {
  const depth = dimensions === 2 ? 0 : patch[0];
  const shareOf = (share: number): Vec3 => [depth * share, patch[1] * share, patch[2] * share];
  const kernel = { centre: shareOf(0.4), deviation: shareOf(0.3) };
  const third = (n: number) => Math.max(1, Math.floor(n / 3));
  const box: Vec3 = [third(patch[0]), third(patch[1]), third(patch[2])];
  const order: [number, number, number] = [0, 1, 2];
  const [a, b] = turnableAxes.slice(-2);
  [order[a], order[b]] = [b, a];
  return [
    ["quarter turn", { kind: "reorient", order, flips: [a] }],
    ["exchanged axes", { kind: "reorient", order, flips: [] }],
    ["median of 3", { kind: "median", channel: 0, width: 3 }],
    ["median of 7", { kind: "median", channel: 0, width: 7 }],
    ["gaussian", { kind: "gaussian", channel: 0, sigma: 0.9 }],
    ["noise", { kind: "noise", sigma: 0.05, seed: 1 }],
    ["brightness", { kind: "addBrightness", channel: 0, offset: 0.3 }],
    ["contrast", { kind: "contrast", channel: 0, factor: 1.1 }],
    ["low resolution", { kind: "splineLowResolution", channel: 0, scale: 0.6 }],
    ["gamma", { kind: "gamma", channel: 0, gamma: 0.8, inverted: true }],
    ["mirror", { kind: "mirror", axes: mirrorAxes }],
    ["blank", { kind: "blank", channel: 0, start: [0, 1, 1], size: box }],
    ["brightness gradient", { kind: "brightnessGradient", channel: 0, kernel, strength: 2 }],
    ["local gamma", { kind: "localGamma", channel: 0, kernel, gamma: 2 }],
    ["sharpening", { kind: "sharpen", channel: 0, strength: 0.5 }],
  ];
}

function cascadeRows(): [string, readonly AugmentationParameters[]][] {
  const operator = (name: "dilation" | "opening", radius: number): AugmentationParameters => ({
    steps: [],
    cascade: [{ kind: "operator", mask: 0, operator: name, radius }],
  });
  return [
    ["dilation, radius 4.5", [operator("dilation", 4.5)]],
    ["opening, radius 7.5", [operator("opening", 7.5)]],
    ["component", [{ steps: [], cascade: [{ kind: "removeComponent", mask: 1, choice: 0 }] }]],
  ];
}

/** A smooth image with two balls as labels; augmentation_upstream.py makes the same. */
function phantom(spec: AugmentationSpec): LoadedPatch {
  const size = spec.loadPatch;
  const voxels = voxelCount(size);
  const image = Float32Array.from({ length: voxels }, (_, i) => Math.sin(0.01 * i) + 0.3 * Math.sin(0.37 * i));
  const labels = new Int16Array(voxels);
  for (let i = 0; i < voxels; i++) {
    const at = [Math.floor(i / size[1] / size[2]), Math.floor(i / size[2]) % size[1], i % size[2]];
    const distance = (place: number) => at.reduce((sum, x, axis) => sum + ((x + 0.5) / size[axis] - place) ** 2, 0);
    labels[i] = distance(0.4) < 0.03 ? 1 : distance(0.65) < 0.02 ? 2 : 0;
  }
  return { image, labels, ...(spec.cascadeLabels ? { previous: labels } : {}), size };
}

type Upstream = (spec: AugmentationSpec, parameters: readonly AugmentationParameters[]) => Promise<number[]>;

/** Upstream's transforms in a process of their own, answering request by request. */
function startUpstream(python: string, file: string): Disposable & { readonly run: Upstream } {
  const script = new URL(`./${file}`, import.meta.url).pathname;
  const child = new Deno.Command(python, { args: [script], stdin: "piped", stdout: "piped", stderr: "inherit" })
    .spawn();
  const writer = child.stdin.getWriter();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    async run(spec, parameters) {
      await writer.write(new TextEncoder().encode(`${JSON.stringify({ spec, parameters })}\n`));
      while (!text.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error("upstream's process has ended");
        text += value;
      }
      const answer: number[] = JSON.parse(text.slice(0, text.indexOf("\n")));
      text = text.slice(text.indexOf("\n") + 1);
      return answer;
    },
    [Symbol.dispose]: () => child.kill(),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
