/** What is written of each watched case beside its segmentation: a report, statistics and meshes, each in files of its own. */
import { UserError } from "../../core/base/errors.ts";
import { removeIfThere } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { classesOfDataset } from "../../core/measure/measured_classes.ts";
import { statisticsFiles } from "../../core/measure/statistics_file.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import type { CaseToPredict, PredictionEvent } from "../../core/predict/run/request.ts";
import type { CommandContext } from "../commands/command.ts";
import type { Resident } from "../engines/resident.ts";
import type { WatchValues } from "../flags/watch_flags.ts";
import { asksForMeasuring, measureResults, meshFolderOf } from "../measuring.ts";
import { newReportState, rememberDigests, type ReportState, writeReport } from "../report.ts";

export interface CaseTexts {
  /** True where segmentations are measured. */
  readonly measures: boolean;
  /** True where checksums are needed. */
  readonly reports: boolean;
  /** True if a done case's texts are there, as far as that is seen from outside. */
  areThere(one: CaseToPredict): Promise<boolean>;
  /** To be told of all events. */
  note(event: PredictionEvent): void;
  /** Measures a segmentation that is there. @returns why it could not be, which has been told @throws Interrupted */
  measure(one: CaseToPredict): Promise<UserError | undefined>;
  /** Writes the report of a case that has ended. @throws UserError */
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

  return {
    measures,
    reports: report !== undefined,
    async areThere({ id, output }) {
      for (const path of filesOf(id)) {
        if (!(await statOrNull(path, "looking for the statistics"))?.isFile) return false;
      }
      if (mesh === undefined) return true;
      const folder = meshFolderOf(output, dataset.fileEnding);
      return (await statOrNull(folder, "looking for the meshes"))?.isDirectory ?? false;
    },
    note(event) {
      if (report === undefined) return;
      // Of a cascade, whose stages both begin, the first one counts.
      if (event.kind === "case" && !states.has(event.id)) {
        states.set(event.id, newReportState([...context.shownName.split(" "), ...context.args]));
      }
    },
    async measure(one) {
      const place = statisticsOf(one.id);
      const { threads, maxMemory, disableProgressBar } = values;
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
      if (!failed) return undefined;
      // They say nothing of the case: without them it is measured when it is tried again.
      for (const path of filesOf(one.id)) await removeIfThere(path, "removing the statistics of a case that failed");
      return failed.error;
    },
    async report({ id }, ended) {
      if (report === undefined) return;
      const { engine, engine: { reason, precision } } = resident;
      const known = states.get(id) ?? newReportState([...context.shownName.split(" "), ...context.args]);
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
      const path = join(report, `${id}.report.json`);
      await writeReport(path, state, ended.kind === "done" ? "done" : "some cases failed");
    },
  };
}
