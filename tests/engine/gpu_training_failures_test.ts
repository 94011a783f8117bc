/** Trainings whose GPU fails on the way: they go on from the last checkpoint, another way, or on the CPU, or end and say how to go on. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import type { TrainRequest } from "../../core/train/train_request.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { engineOpener } from "../../cli/training_request.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import {
  checkpointContent,
  type Folders,
  inFolder,
  listening,
  makePreprocessed,
  type Said,
  trainRequest,
} from "../unit/train_fixture.ts";
import { ignore } from "../without_gpu.ts";
import { type GpuCache, refuseKernels, useGpuCache } from "./gpu_cache.ts";
import { followDevices, loseDeviceBy } from "./lost_devices.ts";

const SHORT = { epochs: 1, iterations: 1, name: "test" };

/** Trains on the GPU there is. @returns the engines that were said */
async function train(
  folders: Folders,
  hooks: Said,
  { device = "gpu", ...changes }: Partial<TrainRequest> & { readonly device?: "auto" | "gpu" } = {},
): Promise<string[]> {
  const engines: string[] = [];
  const flags = { device, allowCpu: false, allowSoftwareGpu: true, precision: "f32", threads: 1 } as const;
  const { openEngine, recover } = engineOpener(flags, (line) => void engines.push(line));
  await trainModel(trainRequest(folders, { openEngine, recover, ...changes }), hooks);
  return engines;
}

const checkpoint = ({ results }: Folders, name: string) =>
  join(results, "nnUNetTrainer_test__nnUNetPlans__tiny", "fold_0", name);

const refusedNames = async (cache: GpuCache) =>
  Object.values((await cache.record()).findings.refused).map(({ name }) => name);

Deno.test(
  {
    name: "a training goes on where the driver does not take one of its kernels, and the GPU's record knows it",
    ignore,
  },
  () =>
    inFolder(async (folder) => {
      await using cache = await useGpuCache();
      const folders = await makePreprocessed(folder);
      let first: string | undefined;
      // The product is of the largest choice: there are others.
      using driver = refuseKernels((label) => label.startsWith("winograd product") && (first ??= label) === label);
      const hooks = listening();
      await train(folders, hooks, { changes: SHORT });
      assert(driver.refused.length > 0);
      assertEquals(new Set(await refusedNames(cache)), new Set(driver.refused));
      const goesOn = `the GPU failed and is tried again, another way: Compiling the GPU kernel "${first}"`;
      assert(hooks.warnings.length > 0 && hooks.warnings.every((line) => line.startsWith(goesOn)), `${hooks.warnings}`);
      assertEquals((await checkpointContent(checkpoint(folders, "checkpoint_final.pth"))).epoch, 1);
    }),
);

Deno.test(
  {
    name: "where a training's kernel that nothing can replace is not taken, the CPU trains, or the error names it",
    ignore,
  },
  (t) =>
    inFolder(async (folder) => {
      await using _cache = await useGpuCache();
      const folders = await makePreprocessed(folder);
      using _driver = refuseKernels((label) => label === "loss gradient");
      await t.step("-device gpu: an error, and nothing is left", async () => {
        const failing = () => train(folders, listening(), { changes: SHORT });
        await assertFails(failing, UserError, 'the GPU kernel "loss gradient"', "does not take it", "-device cpu");
        assertEquals(await Deno.stat(folders.results).then(() => true, () => false), false);
      });
      await t.step("-device auto: the CPU", async () => {
        const hooks = listening();
        const engines = await train(folders, hooks, { device: "auto", changes: SHORT });
        assert(engines.at(-1)?.startsWith("engine: CPU, "), `${engines}`);
        assertEquals(hooks.warnings.length, 1);
        assert(hooks.warnings[0].startsWith("the GPU failed, the CPU goes on: "), hooks.warnings[0]);
        assertEquals((await checkpointContent(checkpoint(folders, "checkpoint_final.pth"))).epoch, 1);
      });
    }),
);

Deno.test(
  { name: "a kernel that the device is lost by in training is found, and the training done without it", ignore },
  () =>
    inFolder(async (folder) => {
      await using cache = await useGpuCache();
      const folders = await makePreprocessed(folder);
      let first: string | undefined;
      // Of the backward pass: a prediction has none like it.
      const isOne = (label: string) => label.startsWith("winograd product 2*") && (first ??= label) === label;
      using _driver = loseDeviceBy(isOne);
      const hooks = listening();
      await train(folders, hooks, { changes: SHORT });
      const found = await refusedNames(cache);
      assert(found.length > 0 && found.every((name) => name === first), `${found}, not ${first}`);
      assert(hooks.warnings[0].startsWith("the GPU failed and is tried again, kernel by kernel: "), hooks.warnings[0]);
      assert(hooks.warnings.some((line) => line.includes("another way")), hooks.warnings.join("\n"));
      assertEquals((await checkpointContent(checkpoint(folders, "checkpoint_final.pth"))).epoch, 1);
    }),
);

Deno.test(
  {
    name: "a training whose device is lost goes on from its last checkpoint to the weights it would have come to",
    ignore,
  },
  (t) =>
    inFolder(async (folder) => {
      await using cache = await useGpuCache();
      const folders = await makePreprocessed(folder);
      const whole = { ...folders, results: join(folder, "whole") };
      const changes = { epochs: 2, iterations: 2, name: "test" };
      await train(whole, listening(), { changes });
      const expected = await checkpointContent(checkpoint(whole, "checkpoint_final.pth"));
      /** In the second epoch, so often. */
      const losing = (devices: ReturnType<typeof followDevices>, times: number) => {
        let left = times;
        return listening({
          onStep(_done, _of, epoch) {
            if (epoch === 1 && left-- > 0) devices.lose();
          },
        });
      };
      await t.step("once: by itself", async () => {
        const one = { ...folders, results: join(folder, "once") };
        using devices = followDevices();
        const hooks = losing(devices, 1);
        await train(one, hooks, { changes });
        assertEquals(hooks.warnings.length, 1);
        assert(/tried again, kernel by kernel: .*the device was lost/.test(hooks.warnings[0]), hooks.warnings[0]);
        assert(hooks.infos.some((line) => line.startsWith("continuing from")), hooks.infos.join("\n"));
        assertEquals(await checkpointContent(checkpoint(one, "checkpoint_final.pth")), expected);
        assertEquals(await refusedNames(cache), []);
      });
      await t.step("again and again: the error says how to go on, from a checkpoint that is whole", async () => {
        const twice = { ...folders, results: join(folder, "twice") };
        using devices = followDevices();
        const hooks = losing(devices, Infinity);
        await assertFails(() => train(twice, hooks, { changes }), UserError, "the device was lost", "--c");
        // Since the checkpoint of the first epoch it has come to nothing twice.
        assertEquals(hooks.warnings.length, 2);
        assertEquals((await checkpointContent(checkpoint(twice, "checkpoint_best.pth"))).epoch, 1);
        await train(twice, listening(), { changes: { name: "test" }, seed: undefined, start: { kind: "continue" } });
        assertEquals(await checkpointContent(checkpoint(twice, "checkpoint_final.pth")), expected);
      });
    }),
);
