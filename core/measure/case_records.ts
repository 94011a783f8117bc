/**
 * What was measured of each case, kept in a hidden folder beside the segmentations: a run that goes on after a stop measures what is left, and
 * runs that share the cases read each other's numbers. A record counts as long as its segmentation and images are as they were.
 */
import { z } from "zod";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { parseSeriesPath } from "../formats/dicom/series.ts";
import { filesOfImage } from "../formats/image/readers.ts";
import type { Vec3 } from "../base/shape.ts";
import { type CaseMeasurement, type MeasureJob, MEASURING } from "./measure_case.ts";

const FOLDER = ".nnunet-measured";
/** Raised when a record means something else. */
const FORMAT = 1;

export interface CaseRecords {
  readonly folder: string;
  /** Undefined where there is none that counts. */
  read(job: MeasureJob): Promise<CaseMeasurement | undefined>;
  write(job: MeasureJob, measurement: CaseMeasurement): Promise<void>;
  /** A text that is another one once the case's record has been written since. */
  stamp(job: MeasureJob): string;
  /** A text that is another one whenever a record has been written since. */
  state(): string;
}

const VEC3: z.ZodType<Vec3> = z.tuple([z.number(), z.number(), z.number()]).readonly();
const BOX = z.object({ low: VEC3, high: VEC3 }).nullable();
const INTENSITIES = z.object({
  excluded: z.number(),
  values: z.object({ mean: z.number(), median: z.number(), std: z.number(), min: z.number(), max: z.number() })
    .optional(),
});
const MEASUREMENT: z.ZodType<CaseMeasurement> = z.object({
  coordinates: z.enum(["LPS", "image", "none"]),
  shape: VEC3,
  spacing: VEC3.nullable(),
  classes: z.array(z.object({
    key: z.string(),
    name: z.string(),
    labels: z.array(z.number()),
    voxels: z.number(),
    ml: z.number().nullable(),
    box: BOX,
    boxMm: BOX,
    centroid: VEC3.nullable(),
    centroidMm: VEC3.nullable(),
    channels: z.array(INTENSITIES),
    mesh: z.object({ file: z.string(), triangles: z.number(), ml: z.number() }).nullable().optional(),
  })),
});

/** @param beside The folder of the segmentations */
export async function openRecords(beside: string): Promise<CaseRecords> {
  const folder = join(beside, FOLDER);
  await ensureFolder(folder, "making the folder of what is measured");
  removeLeftovers(folder);
  const pathOf = ({ caseId }: MeasureJob) => join(folder, `${caseId}.json`);
  return {
    folder,
    async read(job) {
      const known = parse(await Deno.readTextFile(pathOf(job)).catch(() => ""));
      if (known?.of !== await identityOf(job)) return undefined;
      // Meshes that are gone are written again.
      const files = known.measurement.classes.flatMap(({ mesh }) => mesh ? [mesh.file] : []);
      for (const file of files) if (!(await statOrNull(file, MEASURING))?.size) return undefined;
      return known.measurement;
    },
    async write(job, measurement) {
      const text = JSON.stringify({ of: await identityOf(job), measurement });
      await writeAtomically(pathOf(job), text, { doing: "keeping what was measured" });
    },
    stamp: (job) => stampOf(pathOf(job)),
    state: () =>
      Array.from(
        Deno.readDirSync(folder),
        ({ name }) => name.endsWith(".json") ? `${name} ${stampOf(join(folder, name))}` : "",
      ).sort().join("\n"),
  };
}

function parse(text: string): { readonly of: string; readonly measurement: CaseMeasurement } | undefined {
  try {
    return z.object({ of: z.string(), measurement: MEASUREMENT }).parse(JSON.parse(text));
  } catch {
    return undefined; // None, of another version, or damaged.
  }
}

/** What a measurement depends on: files by size and time, as a network disk may have them at another place elsewhere. */
async function identityOf({ reader, segmentation, images, classes, mesh }: MeasureJob): Promise<string> {
  const files: unknown[] = [];
  for (const image of [segmentation, ...images]) {
    // Of a DICOM series, which is no file, the folder.
    const series = parseSeriesPath(image);
    for (const file of series ? [series.folder] : await filesOfImage(image)) {
      const stat = await statOrNull(file, MEASURING);
      files.push(stat && [stat.size, stat.mtime?.getTime() ?? 0]);
    }
  }
  return JSON.stringify([FORMAT, reader, files, classes.map(({ key, name }) => [key, name]), mesh?.kind ?? null]);
}

function stampOf(path: string): string {
  try {
    const { mtime, size, ino } = Deno.statSync(path);
    return `${mtime?.getTime()} ${size} ${ino}`;
  } catch {
    return "none";
  }
}
