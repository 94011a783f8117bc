/** A thread that preprocesses training cases, one at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import {
  type PreprocessJob,
  type PreprocessReply,
  type PreprocessSetting,
  runPreprocessJob,
} from "./preprocess_worker_job.ts";

export type PreprocessRequest =
  | { readonly kind: "setting"; readonly setting: PreprocessSetting }
  | { readonly kind: "job"; readonly job: PreprocessJob };

const port = self as unknown as DedicatedWorkerGlobalScope;
let setting: PreprocessSetting | undefined;

port.onmessage = async ({ data }: MessageEvent<PreprocessRequest>) => {
  if (data.kind === "setting") {
    setting = data.setting;
    return;
  }
  const reply: PreprocessReply = setting
    ? await runPreprocessJob(setting, data.job)
    : { kind: "defect", message: "a job came before its setting" };
  port.postMessage(reply);
};
