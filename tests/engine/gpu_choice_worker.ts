/** Opens the GPU it is told to, and computes on it beside others. */
/// <reference lib="deno.worker" />
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { createGpuEngine } from "../../gpu/engine.ts";

self.onmessage = async ({ data }: MessageEvent<AdapterChoice>) => {
  await using engine = await createGpuEngine({ allowSoftware: true, choice: data });
  using tensor = engine.alloc("f32", 4, "test");
  engine.upload(tensor, Float32Array.of(1, 2, 3, 4));
  self.postMessage({ name: engine.adapter.name, values: await engine.download(tensor) });
};
