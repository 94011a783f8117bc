import { chooseGpus } from "../../cli/engines/choose_gpus.ts";
import { selectEngine } from "../../cli/engines/select_engine.ts";
import { listGpus } from "../../cli/engines/list_gpus.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { ignore } from "../without_gpu.ts";

Deno.test({
  name: "several threads of a process each open the GPU that was chosen for them, and compute side by side",
  ignore,
  async fn() {
    const choices = chooseGpus("0,0,0", await listGpus(), true);
    assertEquals(choices.length, 3);
    const workers = choices.map((choice) => {
      const worker = new Worker(new URL("./gpu_choice_worker.ts", import.meta.url), { type: "module" });
      const answer = new Promise<{ name: string; values: Float32Array }>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
      });
      worker.postMessage(choice);
      return { worker, answer };
    });
    try {
      for (const { answer } of workers) {
        const { name, values } = await answer;
        assertEquals(values, Float32Array.of(1, 2, 3, 4));
        assert(name !== "");
      }
    } finally {
      for (const { worker } of workers) worker.terminate();
    }
  },
});

Deno.test({
  name: "a GPU that is not the chosen one is refused, whatever the driver shows",
  ignore,
  async fn() {
    const [choice] = chooseGpus("0", await listGpus(), true);
    const gpu = { ...choice, label: "GPU 7, a T4", vendor: 0x10de, device: 0x1eb8 };
    const wish = { device: "auto", allowCpu: false, allowSoftwareGpu: true, gpu } as const;
    await assertFails(() => selectEngine(wish), Error, "Opening GPU 7, a T4: the driver shows");
  },
});
