/** Runs `view`: finds, reads and checks what is to be shown, and has its page written. */
import { UserError } from "../../core/base/errors.ts";
import { allowMemory, requireRoom, residentBytes } from "../../core/base/memory_allowance.ts";
import { refuseOverwriting } from "../../core/base/overwriting.ts";
import { basename, dirname, join, resolve } from "../../core/base/path.ts";
import { voxelCount } from "../../core/base/shape.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import type { DatasetJson } from "../../core/dataset/dataset_json.ts";
import { isFolder } from "../../core/dataset/dataset_names.ts";
import { listInputCases } from "../../core/dataset/input_cases.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { isDicomFile } from "../../core/formats/dicom/read_dicom_file.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { checkSameGrid } from "../../core/formats/image/image_grid.ts";
import type { CaseHeaders } from "../../core/formats/image/read_image.ts";
import { imageEnding, supportedEndings, takesSeries } from "../../core/formats/image/readers.ts";
import type { Values } from "../flags/flag.ts";
import type { VIEW } from "../flags/view_flags.ts";
import { type AddVolume, requirePagePlace, writeViewPage } from "./view_page.ts";
import { hasVolume, type Judge, packViewImage, packViewLabels } from "./view_volumes.ts";

const DOING = "making the page";

type ViewValues = Values<typeof VIEW>;

/** A file to be shown, and how it is read. */
interface Source {
  readonly file: string;
  readonly reader: ReaderName;
}

/** @returns warnings @throws UserError naming what cannot be read, shown or written; Interrupted if `signal` aborts */
export async function runView(values: ViewValues, signal: AbortSignal): Promise<readonly string[]> {
  const { image, segmentations, output, maxMemory, datasetFile } = values;
  for (const file of [image, ...segmentations]) await requireThere(file);
  refuseOverwriting(
    [
      { path: image, what: "the image" },
      ...segmentations.map((path) => ({ path, what: "a segmentation" })),
      ...(datasetFile === undefined ? [] : [{ path: datasetFile, what: "the dataset.json" }]),
    ],
    [{ path: output, what: "the page" }],
    { doing: DOING, remedy: "give -o another name" },
  );
  await requirePagePlace(output);
  const dataset = await datasetOf(values);
  const warnings: string[] = [];
  const sourceOf = async (file: string): Promise<Source> => {
    const ending = endingOf(file);
    const json = dataset?.fileEnding === ending ? dataset.json as Readonly<Record<string, unknown>> : undefined;
    const chosen = await chooseReader(json ?? { file_ending: ending }, file, file, false, maxMemory);
    warnings.push(...chosen.warnings);
    return { file, reader: chosen.reader };
  };
  const labels: Source[] = [];
  for (const file of segmentations) labels.push(await sourceOf(file));
  const isDicom = await isFolder(image) || imageEnding(basename(image)) === undefined && await isDicomFile(image);
  const source = isDicom ? await seriesIn(image, labels[0].reader, values.series) : await sourceOf(image);
  const fill = async (add: AddVolume) => {
    const { isMeasured, warnings: found } = await addVolumes(add, image, source, labels, maxMemory);
    warnings.push(...found);
    return {
      segmentations: distinctNames(segmentations),
      names: Object.fromEntries([...dataset?.labels.names ?? []].filter(([label]) => label > 0)),
      hasVolume: isMeasured,
    };
  };
  await writeViewPage(output, basename(resolve(image)), fill, signal);
  return warnings;
}

async function addVolumes(
  add: AddVolume,
  image: string,
  source: Source,
  labels: readonly Source[],
  maxMemory: number | undefined,
) {
  const allowance = allowMemory(maxMemory, residentBytes());
  const judge = (file: string): Judge => ({ channels, geometry: { shape }, bufferBytes }: CaseHeaders) => {
    const bytes = 4 * channels * voxelCount(shape) + bufferBytes;
    requireRoom(allowance, bytes, `reading its ${shape.join(" x ")} voxels takes`, { doing: DOING, file });
  };
  let isMeasured = false;
  const warnings: string[] = [];
  const grids: CaseHeaders["geometry"][] = [];
  await add("image", async (sink) => {
    const geometry = await packViewImage(source.reader, source.file, sink, judge(image));
    isMeasured = hasVolume(geometry);
    grids.push(geometry);
  });
  for (const [i, { file, reader }] of labels.entries()) {
    await add(`labels-${i}`, async (sink) => {
      const requireGrid: Judge = (headers) => {
        judge(file)(headers);
        const warning = checkSameGrid({ file: image, geometry: grids[0] }, { file, geometry: headers.geometry }, DOING);
        if (warning !== null) warnings.push(warning);
      };
      await packViewLabels(reader, file, sink, requireGrid);
    });
  }
  return { isMeasured, warnings };
}

async function requireThere(file: string): Promise<void> {
  if (await statOrNull(file, DOING) !== null) return;
  throw new UserError({ doing: DOING, file, problem: "there is no such file or folder", remedy: "check the path" });
}

function endingOf(file: string): string {
  const ending = imageEnding(basename(file));
  if (ending !== undefined) return ending;
  const problem = `its name does not end in ${supportedEndings().join(", ")}`;
  throw new UserError({ doing: DOING, file, problem, remedy: "give an image or a segmentation" });
}

async function datasetOf({ datasetFile, segmentations }: ViewValues): Promise<DatasetJson | undefined> {
  if (datasetFile !== undefined) return await readDatasetJson(datasetFile);
  const beside = join(dirname(segmentations[0]), "dataset.json");
  return await statOrNull(beside, DOING) === null ? undefined : await readDatasetJson(beside);
}

/** The one series of a folder of DICOM files, or of one of them. */
async function seriesIn(folder: string, labelReader: ReaderName, uid: string | undefined): Promise<Source> {
  const reader = takesSeries(labelReader) ? labelReader : "SimpleITKIO";
  const { cases, failures } = await listInputCases(folder, {
    fileEnding: ".nii.gz",
    channelNames: ["image"],
    severalChannelsPerFile: () => true,
    series: uid === undefined ? [] : [uid],
  });
  if (failures.length > 0) throw failures[0];
  if (cases.length === 1 && cases[0].files.length === 1) return { file: cases[0].files[0], reader };
  const problem = `it holds ${cases.length} cases, and one image is shown`;
  throw new UserError({ doing: DOING, file: folder, problem, remedy: "name one of them" });
}

/** Of files: the name alone, with its folder where two have the same. */
function distinctNames(files: readonly string[]): string[] {
  const names = files.map((file) => basename(file));
  return files.map((file, i) => names.filter((name) => name === names[i]).length > 1 ? file : names[i]);
}
