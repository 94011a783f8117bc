/** Runs one verification: predicts, compares with another program's segmentations, and writes the two reports. */
import { UserError } from "../core/base/errors.ts";
import { ensureFolder, removeIfThere, writeAtomically } from "../core/base/files.ts";
import { readJsonFile } from "../core/base/json.ts";
import { allowMemory, residentBytes } from "../core/base/memory_allowance.ts";
import { refuseOverwriting } from "../core/base/overwriting.ts";
import { join } from "../core/base/path.ts";
import { plural } from "../core/base/plural.ts";
import type { DatasetJson } from "../core/dataset/dataset_json.ts";
import { isFolder } from "../core/dataset/dataset_names.ts";
import { expectedInput, listInputCases } from "../core/dataset/input_cases.ts";
import { filesEndingIn } from "../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../core/dataset/read_dataset_json.ts";
import {
  type AgreementSummary,
  type CaseAgreement,
  compareFolders,
  type FailedComparison,
  type FolderAgreement,
  limitsMissed,
  lowestDiceOf,
  summariseAgreement,
} from "../core/evaluate/agreement/agreement.ts";
import { describePlace, type Verdict, verificationHtml } from "../core/evaluate/agreement/agreement_html.ts";
import { agreementPng } from "../core/evaluate/agreement/agreement_picture.ts";
import { targetNames, targetsOf } from "../core/evaluate/targets.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import { formatNames } from "../core/formats/image/readers.ts";
import { readPlans } from "../core/plan/read_plans.ts";
import type { CommandContext } from "./commands/command.ts";
import { sayFailedCase } from "./event_log.ts";
import type { Values } from "./flags/flag.ts";
import type { VERIFY } from "./flags/verify_flags.ts";
import { failedCase } from "./report.ts";
import { runPrediction } from "./run_prediction.ts";
import { factsOf } from "./verification_facts.ts";
import { type PredictionFacts, writeVerificationReport } from "./verification_report.ts";
import { viewHint } from "./viewing/view_hint.ts";

export type VerifyValues = Values<typeof VERIFY>;

const DOING = "preparing the verification";

/** What is compared, known before anything is predicted. */
interface Plan {
  readonly dataset: DatasetJson;
  readonly reader: ReaderName;
  /** Cases to be compared, and their images. */
  readonly imagesOf: ReadonlyMap<string, readonly string[]>;
  /** Of all cases: the file in `against`. */
  readonly referenceOf: (id: string) => string;
  readonly segmentations: string;
}

/** What the prediction's report says: the cases that are there, those that failed, and the facts. */
interface Predicted {
  readonly ids: ReadonlySet<string>;
  readonly failed: readonly FailedComparison[];
  readonly facts: PredictionFacts;
}

/** @returns false if a case could not be compared, or the limits are not met */
export async function runVerification(values: VerifyValues, context: CommandContext): Promise<boolean> {
  const { output, minDice, maxVoxels } = values;
  const plan = await planVerification(values, context);
  await ensureFolder(output, "making the output folder");
  await removeEarlierReports(output);
  const predicted = await predict(values, plan, context);
  const { cases, failed } = await compare(values, plan, predicted.ids, context);
  const summary = summariseAgreement(cases, targetsOf(plan.dataset));
  const allFailed = [...predicted.failed.filter(({ id }) => plan.imagesOf.has(id)), ...failed];
  const limits = { ...(minDice !== undefined && { minDice }), ...(maxVoxels !== undefined && { maxVoxels }) };
  const verdict = judge(cases, allFailed, summary, limits);
  const names = targetNames(plan.dataset);
  say(context, cases, summary, names);

  const picture = await drawWorst(summary, plan, values, context);
  const [reportFile, pageFile] = [join(output, "verification.json"), join(output, "verification.html")];
  const written = new Date();
  const what = { verdict, summary, cases, failed: allFailed, names };
  await writeVerificationReport(reportFile, {
    ...what,
    limits,
    prediction: predicted.facts,
    against: values.against,
    segmentations: plan.segmentations,
    imagesOf: plan.imagesOf,
    finished: written,
  });
  const formats = {
    images: formatNames(plan.reader, [...plan.imagesOf.values()].flat()),
    against: formatNames(plan.reader, [...plan.imagesOf.keys()].map(plan.referenceOf)),
  };
  const facts = factsOf(predicted.facts, values, formats);
  const page = verificationHtml({ ...facts, ...what, ...(picture && { picture }), written });
  await writeAtomically(pageFile, page, { doing: "writing the report", removesLeftovers: true });
  context.event?.("verification", { verdict: verdict.state, reasons: verdict.reasons, report: reportFile });
  context.print(`${verdict.sentence}: ${pageFile}`);
  const images = summary.worst && plan.imagesOf.get(summary.worst.id);
  if (summary.worst?.agreement.where && images) {
    const { id, file, referenceFile } = summary.worst;
    context.print(viewHint({ id, image: images[0], segmentations: [file, referenceFile] }));
  }
  for (const reason of verdict.reasons) context.printError(`error: ${reason}`);
  return verdict.state !== "failed";
}

/** Predicts into the folder `segmentations`; what could not be predicted has been said and is in the result. */
async function predict(values: VerifyValues, plan: Plan, context: CommandContext): Promise<Predicted> {
  const {
    modelFolder,
    images,
    output,
    against: _against,
    minDice: _minDice,
    maxVoxels: _maxVoxels,
    chill: _chill,
    ...how
  } = values;
  const report = join(output, "prediction.json");
  await runPrediction({
    values: {
      series: undefined,
      ...how,
      input: images,
      output: plan.segmentations,
      report,
      saveProbabilities: false,
      share: false,
      statistics: undefined,
      mesh: undefined,
      outputFormats: undefined,
      segmentCodes: undefined,
      part: undefined,
      parts: undefined,
    },
    part: { parts: 1, part: 0 },
    context,
    findModel: () => Promise.resolve(modelFolder),
  });
  return await readPrediction(report);
}

async function compare(
  { threads, maxMemory }: VerifyValues,
  { dataset, imagesOf, reader, referenceOf, segmentations }: Plan,
  predicted: ReadonlySet<string>,
  context: CommandContext,
): Promise<FolderAgreement> {
  const ids = [...imagesOf.keys()].filter((id) => predicted.has(id));
  const agreement = await compareFolders({
    cases: ids.map((id) => ({
      id,
      file: join(segmentations, `${id}${dataset.fileEnding}`),
      referenceFile: referenceOf(id),
    })),
    reader,
    targets: targetsOf(dataset),
    knownLabels: dataset.labels.allLabels,
    ...(threads !== undefined && { threads }),
    ...(maxMemory !== undefined && { maxMemory }),
    signal: context.signal,
    onCase: context.count("cases compared", "bar"),
    onWarning: context.warn,
  });
  for (const { error } of agreement.failed) sayFailedCase(failedCase(error), context);
  return agreement;
}

/** A report of an earlier run would be taken for this one's, should it stop on the way. */
async function removeEarlierReports(output: string): Promise<void> {
  for (const name of ["verification.json", "verification.html"]) {
    await removeIfThere(join(output, name), "removing the earlier report");
  }
}

/** @throws UserError naming all cases that have no counterpart, before anything is predicted */
async function planVerification(values: VerifyValues, context: CommandContext): Promise<Plan> {
  const { modelFolder, images, against, output, chill } = values;
  const dataset = await readDatasetJson(join(modelFolder, "dataset.json"));
  const { reader } = await readPlans(join(modelFolder, "plans.json"));
  const { fileEnding } = dataset;
  const listing = await listInputCases(images, expectedInput(dataset, reader));
  if (!(await isFolder(against))) {
    throw new UserError({ doing: DOING, file: against, problem: "there is no such folder", remedy: "check the path" });
  }
  const segmentations = join(output, "segmentations");
  refuseOverwriting(
    [{ path: against, what: "the folder of the segmentations to compare with" }],
    [{ path: output, what: "the output folder" }, { path: segmentations, what: "the folder of the results" }],
    { doing: DOING, remedy: "name another folder with -o" },
  );
  const references = new Set(
    (await filesEndingIn(against, fileEnding)).map((name) => name.slice(0, name.length - fileEnding.length)),
  );
  const imagesOf = new Map(listing.cases.map(({ id, files }) => [id, files]));
  for (const { parts: { caseId } } of listing.failures) if (caseId !== undefined) imagesOf.set(caseId, []);
  const unmatched = [...imagesOf.keys()].filter((id) => !references.has(id));
  const imageless = [...references].filter((id) => !imagesOf.has(id));
  const refuse = (ids: readonly string[], file: string, has: string) => {
    const problem = `${plural(ids.length, "case")} ${ids.length === 1 ? "has" : "have"} no ${has} there: ${
      ids.join(", ")
    }`;
    throw new UserError({
      doing: DOING,
      file,
      problem,
      remedy: "complete the folder, or compare what is in both with --chill",
    });
  };
  if (unmatched.length > 0 && !chill) refuse(unmatched, against, "segmentation to compare with");
  if (imageless.length > 0 && !chill) refuse(imageless, images, "image");
  for (const id of unmatched) imagesOf.delete(id);
  if (imagesOf.size === 0) refuse(unmatched, against, "segmentation to compare with");
  const left = unmatched.length + imageless.length;
  if (left > 0) {
    context.warn(`${plural(left, "case")} of one of the two folders only ${left === 1 ? "is" : "are"} not compared`);
  }
  return { dataset, reader, imagesOf, referenceOf: (id) => join(against, `${id}${fileEnding}`), segmentations };
}

async function readPrediction(file: string): Promise<Predicted> {
  const report = (await readJsonFile(file, "reading the prediction's report")).value as PredictionFacts & {
    readonly cases: readonly { readonly id: string }[];
    readonly skipped: readonly string[];
    readonly failed: readonly { readonly id: string; readonly error: ConstructorParameters<typeof UserError>[0] }[];
  };
  return {
    ids: new Set([...report.cases.map(({ id }) => id), ...report.skipped]),
    failed: report.failed.map(({ id, error }) => ({ id, error: new UserError(error) })),
    facts: report,
  };
}

function judge(
  cases: readonly CaseAgreement[],
  failed: readonly FailedComparison[],
  summary: AgreementSummary,
  limits: Parameters<typeof limitsMissed>[1],
): Verdict {
  const reasons = limitsMissed(summary, limits);
  if (failed.length > 0) {
    reasons.push(`${plural(failed.length, "case")} could not be compared: ${failed.map(({ id }) => id).join(", ")}`);
  }
  const { identical, mostVoxels } = summary;
  const sentence = cases.length === 0
    ? "No case could be compared"
    : !mostVoxels || mostVoxels.value === 0
    ? `${plural(cases.length, "case")} compared, no voxel differs`
    : `${plural(cases.length, "case")} compared, ${identical} of them the same at every voxel; at most ` +
      `${voxelsOf(mostVoxels.value)} of a case ${mostVoxels.value === 1 ? "differs" : "differ"} (${mostVoxels.id})`;
  const isJudged = limits.minDice !== undefined || limits.maxVoxels !== undefined;
  return { state: reasons.length > 0 ? "failed" : isJudged ? "passed" : "compared", sentence, reasons };
}

/** The classes' table, and a line for each case that differs. */
function say(
  { event, print }: CommandContext,
  cases: readonly CaseAgreement[],
  summary: AgreementSummary,
  names: ReadonlyMap<string, string>,
): void {
  for (const one of cases) {
    const { id, agreement: { voxels, differing, where } } = one;
    event?.("case_compared", {
      case: id,
      voxels,
      differing,
      lowestDice: lowestDiceOf(one) ?? null,
      where: where ?? null,
    });
    if (where) {
      const verb = differing === 1 ? "differs" : "differ";
      print(
        `${id}: ${differing.toLocaleString("en-US")} of ${voxelsOf(voxels)} ${verb}, ${describePlace(where)}`,
      );
    }
  }
  for (const { key, meanDice, lowestDice, largestMl } of summary.targets) {
    const name = [key, names.get(key)].filter(Boolean).join(" ");
    if (!lowestDice) {
      print(`${name}: in no case`);
      continue;
    }
    const volume = !largestMl
      ? ""
      : largestMl.value === 0
      ? ", equal volumes"
      : `, volumes differ by ${largestMl.value.toPrecision(2)} ml at most (${largestMl.id})`;
    print(
      `${name}: mean Dice ${meanDice.toFixed(6)}, lowest ${lowestDice.value.toFixed(6)} (${lowestDice.id})${volume}`,
    );
  }
}

function voxelsOf(count: number): string {
  return `${count.toLocaleString("en-US")} voxel${count === 1 ? "" : "s"}`;
}

/** A picture of the worst case; what keeps it from being drawn is a warning. */
async function drawWorst(
  { worst }: AgreementSummary,
  { reader, imagesOf }: Plan,
  { maxMemory }: VerifyValues,
  context: CommandContext,
): Promise<{ readonly png: Uint8Array; readonly caption: string } | undefined> {
  const images = worst && imagesOf.get(worst.id);
  if (!worst?.agreement.where || !images) return undefined;
  const { id, file, referenceFile, agreement: { where: { slice, inSlice } } } = worst;
  try {
    const memory = maxMemory === undefined ? undefined : allowMemory(maxMemory, residentBytes());
    const png = await agreementPng({ reader, images, file, referenceFile, slice, ...(memory && { memory }) });
    return {
      png,
      caption: `${id}, slice ${slice}: image, segmented here, to compare with, and where they differ (red, ${
        voxelsOf(inSlice)
      })`,
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    context.warn(`the overlay of ${id} could not be drawn: ${error.message}`);
    return undefined;
  }
}
