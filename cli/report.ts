/** The JSON report of a prediction (`--report`): what ran, on what, with what result, and what failed; for people and for scripts. */
import { Interrupted, messageOf, UserError, type UserErrorParts } from "../core/base/errors.ts";
import { ensureFolder, writeAtomically } from "../core/base/files.ts";
import { stringifyJson } from "../core/base/json.ts";
import { dirname, join } from "../core/base/path.ts";
import type { Engine, Precision, StepCost } from "../core/engine/engine.ts";
import type { Model } from "../core/predict/model/model_folder.ts";
import type { CaseRecord, FailedCase } from "../core/predict/run/request.ts";
import type { CommandContext } from "./commands/command.ts";
import { fileDigest, type ProgramDigest, programDigest } from "./program_digest.ts";
import { UPSTREAM_VERSION, VERSION } from "./version.ts";

/** Raised when a field changes its meaning. */
const REPORT_FORMAT = 1;

/** A refusal that a flag of the user's turned off. */
export interface Override {
  readonly flag: string;
  readonly what: string;
}

/** What the run has come to know so far. */
export interface ReportState {
  readonly commandLine: readonly string[];
  readonly started: Date;
  model?: Model;
  engine?: Pick<Engine, "kind" | "description">;
  /** "auto" until the first case has decided. */
  precision: Precision | "auto";
  /** What `--precision auto` found. */
  precisionReason?: string;
  engineReason: string;
  readonly overrides: Override[];
  readonly warnings: string[];
  readonly done: CaseRecord[];
  readonly skipped: string[];
  readonly failed: FailedCase[];
  steps: readonly StepCost[];
  /** Checksums that are known already; undefined: they are taken when the report is written. */
  readonly digests?: { readonly program: ProgramDigest; readonly model: ModelDescription };
}

/** How a command was called, word by word. */
export function commandLineOf({ shownName, args }: Pick<CommandContext, "shownName" | "args">): string[] {
  return [...shownName.split(" "), ...args];
}

/** Of a run that begins now. */
export function newReportState(commandLine: readonly string[], digests?: ReportState["digests"]): ReportState {
  return {
    commandLine,
    ...(digests && { digests }),
    started: new Date(),
    precision: "f32",
    engineReason: "",
    overrides: [],
    warnings: [],
    done: [],
    skipped: [],
    failed: [],
    steps: [],
  };
}

export type ReportOutcome = "running" | "done" | "some cases failed" | "interrupted" | "failed";

/** A report that is on the disk from the start and grows with each case. */
export interface GrowingReport {
  /** @throws UserError if it cannot be written */
  begin(): Promise<void>;
  /** Writes what has come to be known, soon; of several calls meanwhile one. What fails is a warning: {@link end} tries again. */
  grow(): void;
  /** @throws UserError if it cannot be written */
  end(outcome: "done" | "some cases failed"): Promise<void>;
  /** The run ends with an error. @throws UserError if it cannot be written */
  fail(error: unknown): Promise<void>;
}

export function createGrowingReport(
  path: string,
  state: ReportState,
  warn: (message: string) => void,
): GrowingReport {
  let writing: Promise<void> | undefined;
  let isDue = false;
  let hasWarned = false;
  let defect: unknown;
  const growOn = async () => {
    while (isDue) {
      isDue = false;
      try {
        await writeReport(path, state, "running");
      } catch (error) {
        if (!(error instanceof UserError)) defect = error;
        else if (!hasWarned) warn(error.message);
        hasWarned = true;
      }
    }
    writing = undefined;
  };
  const settle = async () => {
    isDue = false;
    await writing;
    if (defect !== undefined) throw defect;
  };
  return {
    begin: () => writeReport(path, state, "running"),
    grow() {
      isDue = true;
      writing ??= growOn();
    },
    async end(outcome) {
      await settle();
      await writeReport(path, state, outcome);
    },
    async fail(error) {
      await settle();
      if (error instanceof Interrupted) return await writeReport(path, state, "interrupted");
      const message = messageOf(error);
      const parts = error instanceof UserError ? error.parts : { doing: "predicting", problem: message };
      await writeReport(path, state, "failed", { ...parts, message });
    },
  };
}

/** Writes the report whole or not at all. @throws UserError if it cannot be written */
export async function writeReport(
  path: string,
  state: ReportState,
  outcome: ReportOutcome,
  error?: UserErrorParts & { readonly message: string },
): Promise<void> {
  const finished = new Date();
  const report = {
    format: { name: "nnunet prediction report", version: REPORT_FORMAT },
    outcome,
    error,
    program: {
      name: "nnunet",
      version: VERSION,
      follows: `nnU-Net ${UPSTREAM_VERSION}`,
      ...(outcome === "running" ? {} : state.digests?.program ?? await programDigest()),
      runtime: `deno ${Deno.version.deno}`,
      system: `${Deno.build.os} ${Deno.build.arch}`,
    },
    commandLine: state.commandLine,
    started: state.started.toISOString(),
    finished: outcome === "running" ? undefined : finished.toISOString(),
    seconds: (finished.getTime() - state.started.getTime()) / 1000,
    model: state.model && outcome !== "running" ? state.digests?.model ?? await describeModel(state.model) : undefined,
    engine: state.engine && {
      kind: state.engine.kind,
      description: state.engine.description,
      precision: state.precision,
      precisionReason: state.precisionReason,
      reason: state.engineReason || undefined,
    },
    overrides: state.overrides,
    warnings: state.warnings,
    cases: state.done,
    skipped: state.skipped,
    failed: state.failed,
    networkSteps: state.steps,
  };
  await ensureFolder(dirname(path), "making the report's folder");
  await writeAtomically(path, stringifyJson(report), { doing: "writing the report", removesLeftovers: true });
}

/** Checksums of the program and of models, taken once: again only where that failed, as for a share that was away. */
export function rememberDigests() {
  let program: ReturnType<typeof programDigest> | undefined;
  const models = new Map<Model, ReturnType<typeof describeModel>>();
  return async (model: Model) => {
    program ??= programDigest();
    program.catch(() => program = undefined);
    const described = models.get(model) ?? describeModel(model);
    models.set(model, described);
    described.catch(() => models.delete(model));
    return { program: await program, model: await described };
  };
}

export type ModelDescription = Awaited<ReturnType<typeof describeModel>>;

/** A model as reports describe it, with its files' checksums. */
export async function describeModel(model: Model) {
  const folds: { readonly name: string; readonly file: string; readonly sha256: string }[] = [];
  for (const { name, file } of model.folds) folds.push({ name, file, sha256: await fileDigest(file) });
  const json = async (name: string) => {
    const file = join(model.folder, name);
    return { file, sha256: await fileDigest(file) };
  };
  return {
    folder: model.folder,
    dataset: model.plans.datasetName,
    plans: { name: model.plans.plansName, ...await json("plans.json") },
    datasetJson: await json("dataset.json"),
    configuration: model.configuration.name,
    trainer: model.trainerName,
    mirrorAxes: model.mirrorAxes,
    folds,
  };
}

/** A case that failed before the predictor saw it. */
export function failedCase(error: UserError): FailedCase {
  return { id: error.parts.caseId ?? "", error: error.parts, message: error.message };
}
