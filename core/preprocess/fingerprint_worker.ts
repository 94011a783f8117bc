/** A thread that reads and analyses training cases, one at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { analyseCase, transferablesOf } from "./fingerprint_case.ts";
import { type FingerprintReply, type FingerprintRequest, replyOfError } from "./fingerprint_messages.ts";

const port = self as unknown as DedicatedWorkerGlobalScope;

port.onmessage = async ({ data }: MessageEvent<FingerprintRequest>) => {
  try {
    const result = await analyseCase(data);
    port.postMessage({ kind: "result", result } satisfies FingerprintReply, transferablesOf(result));
  } catch (error) {
    port.postMessage(replyOfError(error));
  }
};
