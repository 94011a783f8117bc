/** What the prediction of one case needs. */
import type { Engine } from "../../engine/engine.ts";
import type { CasePlan, UploadedCase } from "./case_plan.ts";
import type { Model } from "../model/model_folder.ts";
import type { LoadedNetwork } from "../model/network.ts";
import type { ProbabilityFile } from "./probability_file.ts";

export interface PredictCaseCall {
  readonly engine: Engine;
  readonly model: Model;
  readonly network: LoadedNetwork;
  readonly input: UploadedCase;
  readonly plan: CasePlan;
  /** Where probabilities go, if they are wanted. */
  readonly probabilities?: ProbabilityFile;
  /** Folder for the scratch file of a spilled ring. */
  readonly scratchFolder: string;
  /** Samples that went through the network, of `of`. */
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal;
}
