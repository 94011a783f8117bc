/**
 * One dataset's plans for another, as fine-tuning needs them.
 * Source: nnunetv2/experiment_planning/plans_for_pretraining/move_plans_between_datasets.py.
 */
import { UserError } from "../base/errors.ts";
import { readTextOrNull } from "../base/read_text.ts";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { keysOf, parseJson, parseJsonExactly, stringifyJson } from "../base/json.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { requireObject } from "../base/fields.ts";
import { join } from "../base/path.ts";
import { chooseReader } from "../dataset/choose_reader.ts";
import { readRawDataset } from "../dataset/raw_dataset.ts";
import { requirePlansName } from "./plans_name.ts";
import { parsePlans } from "./read_plans.ts";

export interface MovePlansRequest {
  /** nnUNet_preprocessed and nnUNet_raw. */
  readonly preprocessed: string;
  readonly raw: string;
  /** Dataset names. */
  readonly source: string;
  readonly target: string;
  /** Plans names; upstream's "identifier". */
  readonly sourcePlans: string;
  readonly targetPlans?: string;
}

/**
 * Writes nnUNet_preprocessed/TARGET/<targetPlans>.json; gives its path and warnings.
 * @throws UserError if the source plans or the target dataset are not there
 */
export async function movePlans(request: MovePlansRequest): Promise<{ file: string; warnings: readonly string[] }> {
  const doing = "moving plans between datasets";
  const targetPlans = requirePlansName(request.targetPlans ?? request.sourcePlans, { doing });
  requirePlansName(request.sourcePlans, { doing });
  const source = join(request.preprocessed, request.source, `${request.sourcePlans}.json`);
  const file = join(request.preprocessed, request.target, `${targetPlans}.json`);
  const text = await readTextOrNull(source, doing);
  if (text === null) {
    const remedy = `plan ${request.source} first (nnunet plan_experiment), or correct -s and -sp`;
    throw new UserError({ doing, file: source, problem: "there are no such plans", remedy });
  }
  refuseOverwriting([{ path: source, what: "the plans that are to be copied" }], [{ path: file, what: "their copy" }], {
    doing,
    remedy: "name another target with -t, or other plans with -tp",
  });
  const context = { doing, file: source, remedy: "name a plans file, or plan anew" };
  const plans = requireObject(parseJsonExactly(text, source, doing), { ...context, path: [] });
  const configurations = requireObject(plans.configurations, { ...context, path: ["configurations"] });
  plans.dataset_name = request.target;
  if (targetPlans !== request.sourcePlans) {
    for (const name of keysOf(configurations)) {
      const one = requireObject(configurations[name], { ...context, path: ["configurations", name] });
      const old = one.data_identifier;
      if (typeof old !== "string") continue;
      one.data_identifier = old.startsWith(request.sourcePlans)
        ? targetPlans + old.slice(request.sourcePlans.length)
        : `${targetPlans}_${old}`;
    }
  }
  const dataset = await readRawDataset(join(request.raw, request.target));
  const example = dataset.cases.find(({ images }) => images.length > 0)?.images[0] ?? "";
  const { reader, warnings } = await chooseReader(dataset.json, dataset.jsonFile, example, true);
  plans.image_reader_writer = reader;
  plans.plans_name = targetPlans;
  // Nothing is written that can't be read again.
  parsePlans(parseJson(stringifyJson(plans), source), source);
  const folder = join(request.preprocessed, request.target);
  await ensureFolder(folder, doing);
  await writeAtomically(file, stringifyJson(plans), { doing });
  return { file, warnings };
}
