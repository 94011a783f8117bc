/** A kernel that takes too long, which a driver gives the device up for, is found out and done without. */
import { UserError } from "../../core/base/errors.ts";
import { openWithoutRefused } from "../../cli/engines/gpu_start.ts";
import { prepareNetwork } from "../../core/cases/networks.ts";
import { randomWeights } from "../../core/cases/random_data.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { predictSlices, useGpuCache } from "./gpu_cache.ts";
import { loseDeviceBy, watchKernels } from "./lost_devices.ts";
import { ignore } from "../without_gpu.ts";

Deno.test(
  {
    name: "a kernel that the device is lost by is found, and the prediction done without it; the record knows it",
    ignore,
  },
  async () => {
    await using cache = await useGpuCache();
    let first: string | undefined;
    const isFirst = (label: string) => label.startsWith("winograd input transform") && (first ??= label) === label;
    using _driver = loseDeviceBy(isFirst);
    const { code, text, report } = await predictSlices("-device", "gpu", "--precision", "f32");
    assertEquals([code, report.engine.kind, report.failed], [0, "gpu", []], text);
    const refused = Object.values((await cache.record()).findings.refused);
    assert(refused.length > 0 && refused.every(({ name }) => name === first), JSON.stringify(refused));
    assert(refused.every(({ why }) => why === "the device was lost while it alone ran"));
    assert(report.warnings.some((line: string) => line.includes("tried again, another way")), text);
  },
);

const GRAPH: Graph = {
  nodes: [
    { kind: "input", channels: 1 },
    { kind: "conv", input: 0, channels: 8, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "a.weight", bias: "a.bias" },
    { kind: "instanceNorm", input: 1, eps: 1e-5 },
    { kind: "conv", input: 2, channels: 3, kernel: [1, 1, 1], stride: [1, 1, 1], weight: "b.weight", bias: "b.bias" },
  ],
  outputs: [3],
};

Deno.test(
  {
    name: "a device that is lost in what it is tested with is opened again, without the kernel that it was lost by",
    ignore,
  },
  async () => {
    await using cache = await useGpuCache();
    let first: string | undefined;
    const isFirst = (label: string) => /convolution 3x3x3|winograd product/.test(label) && (first ??= label) === label;
    using _driver = loseDeviceBy(isFirst);
    const warnings: string[] = [];
    const opening = { allowSoftware: true, warn: (line: string) => void warnings.push(line) };
    const { engine } = await openWithoutRefused(await cache.record(), opening, async (engine) => {
      using prepared = await prepareNetwork(engine, { graph: GRAPH, patch: [16, 16, 16], batch: 1 }, "f32");
      prepared.run();
      await engine.flush();
    });
    await engine[Symbol.asyncDispose]();
    const refused = Object.values((await cache.record()).findings.refused);
    assert(refused.length > 0 && refused.every(({ name }) => name === first), JSON.stringify(refused));
    assert(/the device was lost.* It is tried again, kernel by kernel\.$/.test(warnings[0]), warnings[0]);
    assert(/It is tried without that kernel\.$/.test(warnings.at(-1) ?? ""), warnings.at(-1));
  },
);

Deno.test(
  { name: "a kernel that takes far longer than its forecast is refused after a loss, others are not", ignore },
  async () => {
    const { mapAsync } = GPUBuffer.prototype;
    let isSlow = false;
    using _watched = watchKernels((label) => label.startsWith("norm table"), () => isSlow = true);
    GPUBuffer.prototype.mapAsync = async function (...args) {
      await mapAsync.apply(this, args);
      if (isSlow) await new Promise((resolve) => setTimeout(resolve, 1500));
      isSlow = false;
      return undefined;
    };
    try {
      await using engine = await createGpuEngine({ allowSoftware: true, suspects: new Set() });
      using program = await engine.compile(GRAPH, { patch: [16, 16, 16], batch: 1, precision: "f32" });
      await assertFails(
        () => engine.loadWeights(program, randomWeights()),
        UserError,
        'Running the GPU kernel "norm table"',
        "times as long as others of its size",
      );
      assertEquals(engine.refused?.name, "norm table");
      assert(!engine.lost);
    } finally {
      GPUBuffer.prototype.mapAsync = mapAsync;
    }
  },
);
