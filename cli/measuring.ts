/** `--statistics` and `--mesh`: what is measured of segmentations that are there, and where it is written. */
import { collectGarbage } from "../core/base/collect_garbage.ts";
import { UserError } from "../core/base/errors.ts";
import { requireWritable } from "../core/base/files.ts";
import { basename, dirname, join } from "../core/base/path.ts";
import { plural } from "../core/base/plural.ts";
import { statOrNull } from "../core/base/stat_or_null.ts";
import { isFolder } from "../core/dataset/dataset_names.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import { readerClass } from "../core/formats/image/readers.ts";
import { openRecords } from "../core/measure/case_records.ts";
import { type CaseMeasurement, MEASURING } from "../core/measure/measure_case.ts";
import {
  type CaseToMeasure,
  type FailedMeasurement,
  jobOf,
  measureCases,
  type Measuring,
} from "../core/measure/measure_cases.ts";
import type { MeasuredClass } from "../core/measure/measured_classes.ts";
import type { MeshKind } from "../core/measure/mesh/mesh_file.ts";
import { type MeasuredCase, statisticsFiles, writeStatistics } from "../core/measure/statistics_file.ts";
import { outputStem } from "../core/predict/run/output_folder.ts";
import type { CommandContext } from "./commands/command.ts";
import { sayFailedCase } from "./event_log.ts";
import { refuseReport } from "./report_place.ts";
import { VERSION } from "./version.ts";

export interface MeasuringValues {
  readonly statistics?: string;
  readonly mesh?: MeshKind;
  readonly threads?: number;
  readonly maxMemory?: number;
  readonly quiet: boolean;
  readonly disableProgressBar: boolean;
}

/** A case that is predicted, or should be. */
export interface PredictedCase {
  readonly id: string;
  /** The channels' files in channel order; none: intensities are not measured. */
  readonly files: readonly string[];
  /** The segmentation. */
  readonly output: string;
}

export interface MeasuringJob {
  /** What this process measures: a case without a segmentation is passed over, as it could not be predicted. */
  readonly cases: readonly PredictedCase[];
  /** All cases that the statistics have a place for, this process's among them. */
  readonly all: readonly PredictedCase[];
  readonly fileEnding: string;
  /** Where the folders of the meshes go; undefined: beside each segmentation. */
  readonly meshFolder?: string;
  readonly reader: ReaderName;
  readonly classes: readonly MeasuredClass[];
  /** Undefined: as many as the images have, by number. */
  readonly channelNames?: readonly string[];
  /** The folder beside which what is measured of each case is kept; undefined: it is not kept. */
  readonly records?: string;
  /** True: other processes measure cases of their own, or the same ones, for the same files. */
  readonly isShared: boolean;
  /** True: the same ones. */
  readonly share: boolean;
}

export function asksForMeasuring({ statistics, mesh }: Pick<MeasuringValues, "statistics" | "mesh">): boolean {
  return statistics !== undefined || mesh !== undefined;
}

/**
 * Before the work: whether the statistics can be written where they are to be.
 * @param inputs Files and folders that must not be overwritten
 * @throws UserError
 */
export async function checkStatisticsPlace(
  { statistics }: Pick<MeasuringValues, "statistics">,
  inputs: readonly (string | undefined)[],
): Promise<void> {
  if (statistics === undefined) return;
  for (const { path } of statisticsFiles(statistics)) {
    await refuseReport(path, inputs, { what: "statistics", flag: "--statistics" });
    const [doing, folder] = ["preparing to write the statistics", dirname(path)];
    if (!await isFolder(folder)) {
      const remedy = "make the folder, or name another file with --statistics";
      throw new UserError({ doing, file: path, problem: `there is no folder ${folder}`, remedy });
    }
    await requireWritable(folder, doing, 0);
  }
}

/** @throws UserError if meshes are asked for of pictures, which have no volume */
export function checkMesh({ mesh }: Pick<MeasuringValues, "mesh">, reader: ReaderName): void {
  if (mesh === undefined || readerClass(reader).geometry !== "picture") return;
  const problem = `${reader} reads pictures, and surfaces are of volumes`;
  throw new UserError({ doing: "preparing to write meshes", problem, remedy: "leave out --mesh" });
}

/** Where the meshes of a segmentation go; it is made before any of them. */
export function meshFolderOf(output: string, fileEnding: string, folder = dirname(output)): string {
  return join(folder, `${outputStem(basename(output), fileEnding)}_meshes`);
}

function caseToMeasure({ id, files, output }: PredictedCase, job: MeasuringJob): CaseToMeasure {
  return { id, segmentation: output, images: files, meshFolder: meshFolderOf(output, job.fileEnding, job.meshFolder) };
}

/** Measures, writes and says what was written. @returns the cases that could not be measured; they have been told */
export async function measureResults(
  values: MeasuringValues,
  job: MeasuringJob,
  context: CommandContext,
): Promise<readonly FailedMeasurement[]> {
  const { signal, warn } = context;
  const cases: CaseToMeasure[] = [];
  for (const one of job.cases) {
    if ((await statOrNull(one.output, MEASURING))?.isFile) cases.push(caseToMeasure(one, job));
  }
  // Other processes may have measured where this one has nothing to do.
  const keeps = cases.length > 0 || job.isShared;
  const records = job.records === undefined || !keeps ? undefined : await openRecords(job.records);
  const request: Measuring = {
    cases,
    reader: job.reader,
    classes: job.classes,
    ...(values.mesh && { mesh: values.mesh }),
    ...(records && { records }),
    share: job.share,
    threads: values.threads,
    maxMemory: values.maxMemory,
    signal,
    ...(!values.quiet && { onCase: context.count("cases measured", values.disableProgressBar ? "lines" : "bar") }),
    onWarning: warn,
    onMeasured: (id, measurement) => context.event?.("case_measured", eventOf(id, measurement)),
  };
  // What the network had is given back before the memory that is left is counted.
  if (values.maxMemory !== undefined) collectGarbage();
  const { done, kept, surfaces, failed } = await measureCases(request);
  for (const { id, error } of failed) sayFailedCase({ id, error: error.parts, message: error.message }, context);
  const say = (line: string) => values.quiet ? undefined : context.print(line);
  if (values.statistics !== undefined) {
    await writeFiles(values.statistics, job, request, kept, signal);
    const files = statisticsFiles(values.statistics).map(({ path }) => path);
    say(`statistics of ${plural(done.size, "case")}: ${files.join(", ")}`);
  }
  if (values.mesh !== undefined && done.size > 0) {
    const folders = cases.filter(({ id }) => done.has(id)).map((one) => one.meshFolder);
    say(`${plural(surfaces, "surface")} (${values.mesh}): ${folders[0]}${folders.length > 1 ? ", ..." : ""}`);
  }
  return failed;
}

/** Written again where another process has kept a case's numbers meanwhile: of several at once the last one has them all. */
async function writeFiles(
  statistics: string,
  job: MeasuringJob,
  request: Measuring,
  kept: ReadonlyMap<string, CaseMeasurement>,
  signal: AbortSignal,
): Promise<void> {
  const { records } = request;
  const most = Math.max(0, ...[...kept.values()].map(({ classes: [one] }) => one?.channels.length ?? 0));
  const channelNames = job.channelNames ?? Array.from({ length: most }, (_, i) => String(i));
  async function* cases(): AsyncGenerator<MeasuredCase> {
    for (const predicted of job.all) {
      const one = caseToMeasure(predicted, job);
      const { id, segmentation, images } = one;
      yield { id, segmentation, images, measurement: kept.get(id) ?? await records?.read(jobOf(one, request)) };
    }
  }
  for (;;) {
    const state = records?.state();
    for (const file of statisticsFiles(statistics)) {
      await writeStatistics(file, { channelNames, version: VERSION, cases }, signal);
    }
    if (!job.isShared || records?.state() === state) return;
  }
}

function eventOf(id: string, { coordinates, classes }: CaseMeasurement) {
  const described = classes.map(({ key, name, voxels, ml, centroidMm, mesh }) => ({
    label: key,
    name,
    voxels,
    ml,
    centroidMm,
    ...(mesh && { mesh: mesh.file }),
  }));
  return { case: id, coordinates, classes: described };
}
