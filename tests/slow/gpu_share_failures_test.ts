/** A training that two GPUs share, of which one is lost: all are opened again, once; then the error says which it was. */
import { chooseGpus } from "../../cli/engines/choose_gpus.ts";
import { listGpus } from "../../cli/engines/list_gpus.ts";
import { sharedTraining } from "../../cli/engines/training_gpus.ts";
import { engineOpener } from "../../cli/training_request.ts";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { trainModel } from "../../core/train/train_model.ts";
import {
  checkpointContent,
  type Folders,
  inFolder,
  listening,
  makePreprocessed,
  type Said,
  trainRequest,
} from "../unit/train_fixture.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { useGpuCache } from "../engine/gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

/** Of the threads that are started for shares from now on every second one's GPU fails. */
function failShares(how: "" | "#always"): Disposable {
  const { Worker } = globalThis;
  let count = 0;
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      const fails = String(script).endsWith("share_worker.ts") && count++ % 2 === 1;
      super(fails ? new URL(`./failing_share_worker.ts${how}`, import.meta.url) : script, options);
    }
  };
  return { [Symbol.dispose]: () => void (globalThis.Worker = Worker) };
}

async function train(folders: Folders, hooks: Said): Promise<Record<string, unknown>> {
  const [gpu] = chooseGpus("0", await listGpus(), true);
  const flags = { allowSoftwareGpu: true, precision: "f32" } as const;
  const planner = engineOpener({ ...flags, device: "gpu", allowCpu: false, threads: 1, gpu }, () => {});
  const request = trainRequest(folders, { changes: { epochs: 2, iterations: 2, name: "test" } });
  await trainModel({ ...request, ...sharedTraining(planner, [gpu, gpu], flags) }, hooks);
  const fold = join(folders.results, "nnUNetTrainer_test__nnUNetPlans__tiny", "fold_0");
  return await checkpointContent(join(fold, "checkpoint_final.pth"));
}

Deno.test(
  { name: "GPUs that share a training go on from the last checkpoint once one of them was lost", ignore },
  () =>
    inFolder(async (folder) => {
      await using _cache = await useGpuCache();
      const folders = await makePreprocessed(folder);
      const whole = await train({ ...folders, results: join(folder, "whole") }, listening());
      {
        using _failing = failShares("");
        const hooks = listening();
        assertEquals(await train({ ...folders, results: join(folder, "once") }, hooks), whole);
        assertEquals(hooks.warnings.length, 1);
        assert(hooks.warnings[0].startsWith("a GPU failed, and all of them are tried again, kernel by kernel: "));
        assert(hooks.infos.some((line) => line.startsWith("continuing from")), hooks.infos.join("\n"));
      }
      using _failing = failShares("#always");
      const failing = train({ ...folders, results: join(folder, "always") }, listening());
      await assertFails(() => failing, UserError, "on GPU 0", "the device was lost", "--c");
    }),
);
