/** A thread that loads and augments samples, one after the other. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { toPlainError } from "../../base/plain_error.ts";
import { createSampleLoader, type SampleLoader } from "./sample_loader.ts";
import type { SampleReply, SampleRequest } from "./sample_messages.ts";

const port = self as unknown as DedicatedWorkerGlobalScope;
let loader: SampleLoader | undefined;
let queue: Promise<void> = Promise.resolve();

port.onmessage = ({ data }: MessageEvent<SampleRequest>) => {
  if (data.kind === "setting") {
    loader = createSampleLoader(data.setting);
    return;
  }
  const { number, name } = data;
  queue = queue.then(async () => {
    try {
      if (!loader) throw new Error("a sample was asked for before the setting came");
      const sample = await loader.load(name);
      const buffers = [sample.image.buffer, sample.labels.buffer].filter((buffer) => buffer instanceof ArrayBuffer);
      port.postMessage({ kind: "sample", number, sample } satisfies SampleReply, buffers);
    } catch (error) {
      port.postMessage({ kind: "error", number, error: toPlainError(error) } satisfies SampleReply);
    }
  });
};
