/** What was measured, as files: JSON with one line a class, and a table with one line a case and class. */
import { writeAll, writeAtomically } from "../base/files.ts";
import { quote } from "../evaluate/metrics_csv.ts";
import type { CaseMeasurement, ClassMeasurement } from "./measure_case.ts";
import type { PatientSpace } from "./patient_space.ts";

/** Raised when a field changes its meaning. */
const FORMAT = 1;

export interface MeasuredCase {
  readonly id: string;
  readonly segmentation: string;
  readonly images: readonly string[];
  /** Undefined where the case could not be measured, or has not been yet. */
  readonly measurement: CaseMeasurement | undefined;
}

export interface StatisticsFile {
  readonly path: string;
  readonly form: "json" | "csv";
}

/** By the ending of `path`, .json or .csv; without one of them, both: `path` and that ending. */
export function statisticsFiles(path: string): readonly StatisticsFile[] {
  const ending = /\.(json|csv)$/i.exec(path)?.[1].toLowerCase();
  if (ending === "json" || ending === "csv") return [{ path, form: ending }];
  return [{ path: `${path}.json`, form: "json" }, { path: `${path}.csv`, form: "csv" }];
}

export interface StatisticsText {
  /** Of the dataset; as many as were measured. */
  readonly channelNames: readonly string[];
  readonly version: string;
  /** Called for each file. */
  readonly cases: () => AsyncIterable<MeasuredCase>;
}

/** Characters that are written at a time, about. */
const PIECE = 1 << 18;

/** Writes the file whole or not at all. @throws UserError if it can't be written; Interrupted if the signal aborts */
export async function writeStatistics(
  { path, form }: StatisticsFile,
  text: StatisticsText,
  signal: AbortSignal | undefined,
): Promise<void> {
  const lines = form === "json" ? jsonLines(text) : csvLines(text);
  await writeAtomically(path, async (file) => {
    const encoder = new TextEncoder();
    let held = "";
    for await (const line of lines) {
      held += `${line}\n`;
      if (held.length < PIECE) continue;
      await writeAll(file, encoder.encode(held));
      held = "";
    }
    await writeAll(file, encoder.encode(held));
  }, { doing: "writing the statistics", removesLeftovers: true, signal });
}

const COORDINATES: Readonly<Record<PatientSpace["coordinates"], string>> = {
  LPS: "mm in the patient: x grows to its left, y to its back, z to its head, as in DICOM",
  image: "mm from the first voxel along the image's axes: the file does not say where the patient is",
  none: "no mm: a picture",
};

const MEANINGS = {
  coordinates: COORDINATES,
  box: "voxels, x y z from 0, the high ones excluded; the axes are those of the array that the reader gives",
  boxMm: "the smallest along the axes of the coordinates that holds the voxels whole",
  centroid: "mean position of the voxels' centres: in voxels, x y z from 0, and in mm",
  intensities:
    "of the image's values as they are in its file; std is that of all values (numpy's), the median exact; " +
    "excluded: NaN or infinite",
  mesh:
    "the surface between voxels by marching cubes, and the volume that it encloses; its mm are those of the coordinates",
};

async function* jsonLines({ channelNames, version, cases }: StatisticsText): AsyncGenerator<string> {
  yield "{";
  yield ` "format": ${JSON.stringify({ name: "nnunet statistics", version: FORMAT, program: version })},`;
  yield ` "meanings": ${JSON.stringify(MEANINGS)},`;
  yield ` "cases": [`;
  const missing: string[] = [];
  let end = "";
  for await (const { id, segmentation, images, measurement } of cases()) {
    if (!measurement) {
      missing.push(id);
      continue;
    }
    const { coordinates, shape, spacing, classes } = measurement;
    const about = JSON.stringify({ case: id, segmentation, images, coordinates, shape, spacing });
    if (end !== "") yield `${end},`;
    yield `  ${about.slice(0, -1)},"classes":[`;
    for (const [i, one] of classes.entries()) {
      yield `   ${JSON.stringify(describeClass(one, channelNames))}${i + 1 < classes.length ? "," : ""}`;
    }
    end = "  ]}";
  }
  if (end !== "") yield end;
  yield " ],";
  yield ` "missing": ${JSON.stringify(missing)}`;
  yield "}";
}

function describeClass(
  { key, name, labels, voxels, ml, box, boxMm, centroid, centroidMm, channels, mesh }: ClassMeasurement,
  channelNames: readonly string[],
) {
  return {
    label: key,
    name,
    labels,
    voxels,
    ml,
    box,
    boxMm,
    centroid,
    centroidMm,
    channels: channels.map(({ excluded, values }, i) => ({
      channel: channelNames[i] ?? String(i),
      ...(values ?? { mean: null, median: null, std: null, min: null, max: null }),
      excluded,
    })),
    mesh,
  };
}

const AXES = ["x", "y", "z"] as const;
const INTENSITIES = ["mean", "median", "std", "min", "max"] as const;

/** A field that holds nothing is empty. */
async function* csvLines({ channelNames, cases }: StatisticsText): AsyncGenerator<string> {
  const columns = [
    ...["case", "label", "name", "voxels", "ml", "coordinates"],
    ...["low", "high", "centroid"].flatMap((what) => AXES.map((axis) => `${what}_${axis}`)),
    ...["low", "high", "centroid"].flatMap((what) => AXES.map((axis) => `${what}_${axis}_mm`)),
    ...channelNames.flatMap((_, i) => [...INTENSITIES, "excluded"].map((what) => `channel_${i}_${what}`)),
    ...["mesh_triangles", "mesh_ml", "mesh_file", "segmentation"],
  ];
  yield columns.join(",");
  for await (const { id, segmentation, measurement } of cases()) {
    for (const { key, name, ...one } of measurement?.classes ?? []) {
      const { voxels, ml, box, boxMm, centroid, centroidMm, channels, mesh } = one;
      const points = [box?.low, box?.high, centroid, boxMm?.low, boxMm?.high, centroidMm];
      const fields = [
        ...[id, key, name, voxels, ml, measurement?.coordinates],
        ...points.flatMap((point) => AXES.map((_, axis) => point?.[axis])),
        ...channelNames.flatMap((_, i) => [
          ...INTENSITIES.map((what) => channels[i]?.values?.[what]),
          channels[i]?.excluded,
        ]),
        ...[mesh?.triangles, mesh?.ml, mesh?.file, segmentation],
      ];
      yield fields.map((field) => quote(String(field ?? ""))).join(",");
    }
  }
}
