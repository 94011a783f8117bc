/** A kernel that takes too long, which a driver gives the device up for, is found out and done without. */
import { UserError } from "../../core/base/errors.ts";
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
  { name: "a kernel that takes far longer than its forecast is refused after a loss, others are not", ignore },
  async () => {
    const { onSubmittedWorkDone } = GPUQueue.prototype;
    let isSlow = false;
    using _watched = watchKernels((label) => label.startsWith("norm table"), () => isSlow = true);
    GPUQueue.prototype.onSubmittedWorkDone = async function () {
      await onSubmittedWorkDone.call(this);
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
      GPUQueue.prototype.onSubmittedWorkDone = onSubmittedWorkDone;
    }
  },
);
