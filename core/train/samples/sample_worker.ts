/** A thread that loads and augments samples, one after the other. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../base/worker_thread.ts";
import { createSampleLoader, type Sample, type SampleName, type SampleSetting } from "./sample_loader.ts";

answerJobs(
  self as JobPort,
  (setting: SampleSetting) => {
    const loader = createSampleLoader(setting);
    return (name: SampleName) => loader.load(name);
  },
  ({ image, labels }: Sample) => [image.buffer, labels.buffer].filter((buffer) => buffer instanceof ArrayBuffer),
);
