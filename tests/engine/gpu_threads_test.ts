/** Cases shared by several GPUs of one process: the same adapter, opened in several threads. */
import { main } from "../../cli/main.ts";
import { chooseGpus } from "../../cli/engines/choose_gpus.ts";
import { listGpus } from "../../cli/engines/list_gpus.ts";
import { openResident } from "../../cli/engines/resident.ts";
import { startGpuThread } from "../../cli/gpus/gpu_thread.ts";
import { openGpuThreads } from "../../cli/gpus/open_threads.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { runInThreads } from "../../core/predict/run/predict_in_threads.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { captureOutput, useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

const ROOT = fromFileUrl(new URL("../golden/models", import.meta.url));
const IMAGES = join(ROOT, "images", "slices_2d");
const MODEL = join(ROOT, "models", "slices_2d");

/** Five cases made of the two there are. */
async function fiveCases(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  for (let i = 0; i < 5; i++) {
    for (const channel of [0, 1]) {
      await Deno.symlink(
        join(IMAGES, `test_00${i % 2}_000${channel}.nii.gz`),
        join(folder, `c${i}_000${channel}.nii.gz`),
      );
    }
  }
}

async function predict(input: string, output: string, flags: readonly string[]) {
  using captured = captureOutput();
  const code = await main(
    ["predict_from_modelfolder", "-i", input, "-o", output, "-m", MODEL, "-f", "0", "--disable_tta"]
      .concat(["-device", "gpu", "--allow_software_gpu"], flags),
  );
  return { code, text: captured.text };
}

async function segmentations(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".nii.gz")) continue;
    files[name] = new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(join(folder, name))))
      .toHex();
  }
  return Object.fromEntries(Object.entries(files).sort());
}

Deno.test(
  { name: "four GPUs give what one gives, whichever case came to which, and say which was whose", ignore },
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await using _cache = await useGpuCache();
      const input = join(folder, "images");
      await fiveCases(input);
      const one = await predict(input, join(folder, "one"), ["--precision", "f32"]);
      assertEquals(one.code, 0, one.text);
      const report = join(folder, "report.json");
      const flags = ["--gpus", "0,0,0,0", "--precision", "f32", "--report", report, "--log", "json"];
      const four = await predict(input, join(folder, "four"), flags);
      assertEquals(four.code, 0, four.text);
      const events = four.text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
      assertEquals(events.filter(({ event }) => event === "case_done").map(({ gpu }) => gpu), new Array(5).fill("0"));
      assertEquals(new Set(events.filter(({ event }) => event === "case").map(({ index }) => index)).size, 5);
      const { cases, engine } = JSON.parse(await Deno.readTextFile(report));
      assert(cases.length === 5 && cases.every(({ gpu }: { gpu: string }) => gpu === "0"));
      assert(engine.description.startsWith("GPU 0, ") && engine.description.includes("; GPU 0, "), engine.description);
      assertEquals(await segmentations(join(folder, "four")), await segmentations(join(folder, "one")));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test({ name: "what a GPU had when it was lost is done by another one", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using _cache = await useGpuCache();
    const input = join(folder, "images");
    await fiveCases(input);
    const [gpu] = chooseGpus("0", await listGpus(), true);
    const wish = { device: "gpu", allowCpu: false, allowSoftwareGpu: true, precision: "f32", gpu } as const;
    const hooks = { say: () => {}, warn: () => {} };
    const losing = () => new Worker(new URL("./losing_gpu_worker.ts", import.meta.url), { type: "module" });
    const threads = [
      await startGpuThread("good", { wish, of: 2 }, hooks),
      await startGpuThread("bad", { wish, of: 2 }, hooks, losing),
    ];
    const failures: string[] = [];
    await using runs = runInThreads(threads, {
      precision: "f32",
      onFailure: ({ name }, { error, isGone }, cases) =>
        failures.push(`${name} ${isGone} ${cases.length} ${/lost/.test(error.message)}`),
    });
    using model = await openModel(MODEL, {
      folds: ["0"],
      checkpointName: "checkpoint_final.pth",
      assumePlansNetwork: false,
    });
    const cases = [0, 1, 2, 3].map((i) => ({
      id: `c${i}`,
      files: [0, 1].map((channel) => join(input, `c${i}_000${channel}.nii.gz`)),
      output: join(folder, `c${i}.nii.gz`),
    }));
    const summary = await runs.predict(model, { cases, options: { mirroring: false } });
    assertEquals(summary.failed, []);
    assertEquals(summary.done.map(({ id, gpu }) => `${id} ${gpu}`), ["c0 good", "c1 good", "c2 good", "c3 good"]);
    assertEquals(failures.length, 1);
    assert(/^bad true [12] true$/.test(failures[0]), failures[0]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({ name: "of several GPUs one that cannot be used is told and left out", ignore }, async () => {
  await using _cache = await useGpuCache();
  const [gpu] = chooseGpus("0", await listGpus(), true);
  const other = { ...gpu, name: "1", label: "GPU 1, a T4", vendor: 0x10de, device: 0x1eb8 };
  const warnings: string[] = [];
  const wish = { device: "gpu", allowCpu: false, allowSoftwareGpu: true, precision: "f32" } as const;
  const hooks = { say: () => {}, warn: (line: string) => void warnings.push(line) };
  const failures: string[] = [];
  {
    await using resident = await openResident({
      wish,
      gpus: [other, gpu],
      hooks,
      onFailure: ({ gpu, cases, isGone }) => failures.push(`${gpu} ${cases.length} ${isGone}`),
    });
    assertEquals(resident.engine.description, `${gpu.label}, WebGPU`);
  }
  assertEquals([warnings.length, failures], [1, ["1 0 true"]]);
  assert(warnings[0].startsWith("GPU 1, a T4 is not used: Opening GPU 1, a T4: the driver shows "), warnings[0]);
  await assertFails(() => openGpuThreads({ wish, gpus: [other, other], hooks }), Error, "the driver shows");
});
