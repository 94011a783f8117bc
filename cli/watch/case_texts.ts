/** What is written of each watched case beside its segmentation: a report, statistics and meshes, each in files of its own. */
import { UserError } from "../../core/base/errors.ts";
import { removeIfThere } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { classesOfDataset } from "../../core/measure/measured_classes.ts";
import { statisticsFiles } from "../../core/measure/statistics_file.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import type { CaseToPredict, PredictionEvent } from "../../core/predict/run/request.ts";
import type { CommandContext } from "../commands/command.ts";
import type { Resident } from "../engines/resident.ts";
import type { WatchValues } from "../flags/watch_flags.ts";
import { sayFailedCase } from "../event_log.ts";
import { asksForMeasuring, measureResults, meshFolderOf } from "../measuring.ts";
import { commandLineOf, newReportState, rememberDigests, type ReportState, writeReport } from "../report.ts";

export interface CaseTexts {
  /** True where segmentations are measured. */
  readonly measures: boolean;
  /** True where checksums are needed. */
  readonly reports: boolean;
  /** True if a done case's texts are there, as far as that is seen from outside. */
  areThere(one: CaseToPredict): Promise<boolean>;
  /** To be told of all events of a case that {@link begin} was told of. */
  note(event: PredictionEvent): void;
  /** What an earlier attempt has noted, of which there was no report, is none of this one. */
  begin(id: string): void;
  /** Measures a segmentation that is there. @returns why it could not be, which has been told @throws Interrupted */
  measure(one: CaseToPredict): Promise<UserError | undefined>;
  /** Writes the report of a case that has ended. @throws UserError if it can't be written */
  report(one: CaseToPredict, ended: Extract<PredictionEvent, { readonly kind: "done" | "failed" }>): Promise<void>;
}

type Wish = Pick<
  WatchValues,
  "report" | "statistics" | "mesh" | "threads" | "maxMemory" | "disableProgressBar"
>;

export function caseTexts(
  values: Wish,
  model: Model,
  resident: Pick<Resident, "engine">,
  context: CommandContext,
): CaseTexts {
  const { report, statistics, mesh } = values;
  const { dataset, plans } = model;
  const digestsOf = rememberDigests();
  const measures = asksForMeasuring(values);
  const states = new Map<string, ReportState>();
  const statisticsOf = (id: string) => statistics === undefined ? undefined : join(statistics, `${id}.statistics`);
  const filesOf = (id: string): string[] => {
    const stem = statisticsOf(id);
    return stem === undefined ? [] : statisticsFiles(stem).map(({ path }) => path);
  };

  async function measured(one: CaseToPredict): Promise<UserError | undefined> {
    const place = statisticsOf(one.id);
    const { threads, maxMemory, disableProgressBar } = values;
    try {
      const [failed] = await measureResults({
        ...(place !== undefined && { statistics: place }),
        ...(mesh && { mesh }),
        threads,
        maxMemory,
        quiet: true,
        disableProgressBar,
      }, {
        cases: [one],
        all: [one],
        fileEnding: dataset.fileEnding,
        reader: plans.reader,
        classes: classesOfDataset(dataset),
        channelNames: dataset.channelNames,
        isShared: false,
        share: false,
      }, context);
      return failed?.error;
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      const error = thrown.withCase(one.id);
      sayFailedCase({ id: one.id, error: error.parts, message: error.message }, context);
      return error;
    }
  }

  return {
    measures,
    reports: report !== undefined,
    async areThere({ id, output }) {
      const texts = [...filesOf(id), ...(report === undefined ? [] : [reportOf(report, id)])];
      for (const path of texts) if (!(await found(path))?.isFile) return false;
      return mesh === undefined || ((await found(meshFolderOf(output, dataset.fileEnding)))?.isDirectory ?? false);
    },
    note(event) {
      if (report === undefined) return;
      // Of a cascade, whose stages both begin, the first one counts.
      if (event.kind === "case" && !states.has(event.id)) {
        states.set(event.id, newReportState(commandLineOf(context)));
      }
    },
    begin: (id) => void states.delete(id),
    async measure(one) {
      const error = await measured(one);
      if (!error) return undefined;
      // They say nothing of the case: without them it is measured when it is tried again.
      for (const path of filesOf(one.id)) {
        await removeIfThere(path, "removing the statistics of a case that failed").catch(() => {});
      }
      return error;
    },
    async report({ id }, ended) {
      if (report === undefined) return;
      const { engine, engine: { reason, precision } } = resident;
      const known = states.get(id) ?? newReportState(commandLineOf(context));
      states.delete(id);
      const state: ReportState = {
        ...known,
        digests: await digestsOf(model),
        model,
        engine,
        engineReason: reason,
        precision,
      };
      if (ended.kind === "done") state.done.push(ended.record);
      else state.failed.push({ id, error: ended.error, message: ended.message });
      await writeReport(reportOf(report, id), state, ended.kind === "done" ? "done" : "some cases failed");
    },
  };
}

function reportOf(folder: string, id: string): string {
  return join(folder, `${id}.report.json`);
}

/** What can't be looked at is not there: who writes it says why. */
async function found(path: string): Promise<Deno.FileInfo | null> {
  return await Deno.stat(path).catch(() => null);
}
