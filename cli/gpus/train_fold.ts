/** A thread's own side: one training, from its request to its validation. */
import { Interrupted } from "../../core/base/errors.ts";
import { toPlainError } from "../../core/base/plain_error.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { engineOpener } from "../training_request.ts";
import type { FoldEnd, FoldJob, FoldNews } from "./fold_messages.ts";

const ALIVE_MS = 20_000;

/** Trains and validates a fold. @throws as trainModel, but where its engine has failed */
export async function trainFold(
  { request, flags }: FoldJob,
  signal: AbortSignal,
  tell: (news: FoldNews) => void,
): Promise<FoldEnd> {
  const info = (line: string) => tell({ kind: "info", line });
  const { openEngine, recover, lastFailure } = engineOpener(flags, info);
  const alive = setInterval(() => tell({ kind: "alive" }), ALIVE_MS);
  try {
    const { summary } = await trainModel({ ...request, openEngine, recover }, {
      info,
      warn: (line) => tell({ kind: "warn", line }),
      onSave: () => tell({ kind: "saved" }),
      onEpoch: (progress) => tell({ kind: "epoch", progress }),
      onCase: (done, of) => tell({ kind: "case", done, of }),
      signal,
    });
    return { kind: "done", dice: summary.foregroundMean.Dice };
  } catch (error) {
    if (error instanceof Interrupted || lastFailure() === undefined) throw error;
    return { kind: "failed", error: toPlainError(error) };
  } finally {
    clearInterval(alive);
  }
}
