/** A thread's own side: one training, from its request to its validation. */
import { toPlainError } from "../../core/base/plain_error.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { engineOpener } from "../training_request.ts";
import type { FromFoldThread, ToFoldThread } from "./fold_messages.ts";

const ALIVE_MS = 20_000;

/** The worker's `self`. */
export interface FoldThreadPort {
  onmessage: ((event: MessageEvent<ToFoldThread>) => void) | null;
  postMessage(message: FromFoldThread): void;
}

export function answerFold(port: FoldThreadPort): void {
  const stop = new AbortController();
  const info = (line: string) => port.postMessage({ kind: "info", line });

  async function train({ request, flags }: ToFoldThread & { readonly kind: "train" }): Promise<FromFoldThread> {
    const { openEngine, recover, lastFailure } = engineOpener(flags, info);
    const alive = setInterval(() => port.postMessage({ kind: "alive" }), ALIVE_MS);
    try {
      const { summary } = await trainModel({ ...request, openEngine, recover }, {
        info,
        warn: (line) => port.postMessage({ kind: "warn", line }),
        onSave: () => port.postMessage({ kind: "saved" }),
        onEpoch: (progress) => port.postMessage({ kind: "epoch", progress }),
        onCase: (done, of) => port.postMessage({ kind: "case", done, of }),
        signal: stop.signal,
      });
      return { kind: "done", dice: summary.foregroundMean.Dice };
    } catch (error) {
      return { kind: "error", error: toPlainError(error), isEngines: lastFailure() !== undefined };
    } finally {
      clearInterval(alive);
    }
  }

  port.onmessage = ({ data }) => {
    if (data.kind === "abort") stop.abort();
    else train(data).then((answer) => port.postMessage(answer));
  };
}
