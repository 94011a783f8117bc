import type { PredictionHooks, PredictionRequest, PredictionSummary } from "./request.ts";

/** Predicts all cases of a request, one case ahead being read while the network runs. */
export function predictCases(_request: PredictionRequest, _hooks: PredictionHooks = {}): Promise<PredictionSummary> {
  throw new Error("being written");
}
