/**
 * An image with segmentations as a page in one HTML file: the viewer's texts, NiiVue and the volumes are in it, and its content policy
 * forbids that anything is loaded from anywhere. So it needs no service and no permission for a network, and may be copied.
 */
import { UserError } from "../../core/base/errors.ts";
import { removeIfThere, writeAll, writeAtomically } from "../../core/base/files.ts";
import { escapeHtml } from "../../core/base/html.ts";
import { allowMemory, requireRoom, residentBytes } from "../../core/base/memory_allowance.ts";
import { refuseOverwriting } from "../../core/base/overwriting.ts";
import { basename, dirname, join } from "../../core/base/path.ts";
import { voxelCount } from "../../core/base/shape.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import type { DatasetJson } from "../../core/dataset/dataset_json.ts";
import { isFolder } from "../../core/dataset/dataset_names.ts";
import { listInputCases } from "../../core/dataset/input_cases.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { checkSameGrid, type NamedGrid } from "../../core/formats/image/image_grid.ts";
import type { CaseHeaders } from "../../core/formats/image/read_image.ts";
import { imageEnding, supportedEndings, takesSeries } from "../../core/formats/image/readers.ts";
import type { Values } from "../flags/flag.ts";
import type { VIEW } from "../flags/view_flags.ts";
import { NIIVUE, pageFile } from "../serve/page_files.ts";
import { hasVolume, writeViewImage, writeViewLabels } from "./view_volumes.ts";

const DOING = "making the page";
/** A multiple of three bytes, so that pieces of base64 join. */
const PIECE_BYTES = 3 << 18;
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; " +
  "connect-src data: blob:; base-uri 'none'; form-action 'none'";

type ViewValues = Values<typeof VIEW>;

/** @returns warnings @throws UserError naming what cannot be read or written; Interrupted if `signal` aborts */
export async function writeViewPage(values: ViewValues, signal: AbortSignal): Promise<readonly string[]> {
  const { image, segmentations, output, maxMemory } = values;
  refuseOverwriting(
    [{ path: image, what: "the image" }, ...segmentations.map((path) => ({ path, what: "a segmentation" }))],
    [{ path: output, what: "the page" }],
    { doing: DOING, remedy: "give -o another name" },
  );
  const dataset = await datasetOf(values);
  const warnings: string[] = [];
  const readerOf = async (file: string) => {
    const ending = endingOf(file);
    const json = dataset?.fileEnding === ending ? dataset.json as Readonly<Record<string, unknown>> : undefined;
    const chosen = await chooseReader(json ?? { file_ending: ending }, file, file, false, maxMemory);
    warnings.push(...chosen.warnings);
    return chosen.reader;
  };
  const allowance = allowMemory(maxMemory, residentBytes());
  const optionsFor = (file: string) => ({
    signal,
    judge({ channels, geometry: { shape }, bufferBytes }: CaseHeaders) {
      const bytes = 4 * channels * voxelCount(shape) + bufferBytes;
      requireRoom(allowance, bytes, `reading its ${shape.join(" x ")} voxels takes`, { doing: DOING, file });
    },
  });
  const folder = await Deno.makeTempDir({ prefix: "nnunet_view_" });
  try {
    const readers: ReaderName[] = [];
    for (const file of segmentations) readers.push(await readerOf(file));
    const source = await isFolder(image) ? await seriesIn(image, readers[0]) : image;
    const reader = source !== image ? seriesReader(readers[0]) : await readerOf(image);
    const target = join(folder, "image.nii.gz");
    const grid: NamedGrid = { file: image, geometry: await writeViewImage(reader, source, target, optionsFor(image)) };
    const volumes = [{ id: "image", file: target }];
    for (const [i, file] of segmentations.entries()) {
      const target = join(folder, `${i}.nii.gz`);
      const geometry = await writeViewLabels(readers[i], file, target, optionsFor(file));
      const warning = checkSameGrid(grid, { file, geometry }, DOING);
      if (warning) warnings.push(warning);
      volumes.push({ id: `labels-${i}`, file: target });
    }
    const about = {
      title: basename(image),
      segmentations: segmentations.map((file) => basename(file)),
      names: Object.fromEntries([...dataset?.labels.names ?? []].filter(([label]) => label > 0)),
      hasVolume: hasVolume(grid.geometry),
    };
    await writePage(output, about, volumes, signal);
  } finally {
    await removeIfThere(folder, DOING, { recursive: true });
  }
  return warnings;
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

function seriesReader(reader: ReaderName): ReaderName {
  return takesSeries(reader) ? reader : "SimpleITKIO";
}

/** The one series of a folder of DICOM files. */
async function seriesIn(folder: string, reader: ReaderName): Promise<string> {
  const { cases, failures } = await listInputCases(folder, {
    fileEnding: ".nii.gz",
    channelNames: ["image"],
    severalChannelsPerFile: () => true,
    ...(takesSeries(seriesReader(reader)) && { series: [] }),
  });
  if (failures.length > 0) throw failures[0];
  if (cases.length === 1 && cases[0].files.length === 1) return cases[0].files[0];
  const problem = `it holds ${cases.length} cases, and one image is shown`;
  throw new UserError({ doing: DOING, file: folder, problem, remedy: "name one of them" });
}

interface About {
  readonly title: string;
  readonly segmentations: readonly string[];
  readonly names: Readonly<Record<string, string>>;
  readonly hasVolume: boolean;
}

async function writePage(
  output: string,
  about: About,
  volumes: readonly { readonly id: string; readonly file: string }[],
  signal: AbortSignal,
): Promise<void> {
  const read = async (name: Parameters<typeof pageFile>[0]) => await Deno.readTextFile(await pageFile(name));
  const style = [await read("viewer.css"), await read("view.css")].join("\n");
  const scripts = [await read(NIIVUE), await read("viewer.js"), await read("view.js")];
  const encoder = new TextEncoder();
  await writeAtomically(output, async (file) => {
    const write = async (text: string) => await writeAll(file, encoder.encode(text));
    await write(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(about.title)}</title>
<style>${style}</style>
</head>
<body>
<header><h1>${escapeHtml(about.title)}</h1><label>Segmentation <select id="chosen"></select></label>
<p>For research; not a medical device.</p></header>
<main id="viewer"><p class="hint">Loading...</p></main>
<script type="application/json" id="about">${JSON.stringify(about).replaceAll("<", "\\u003c")}</script>
`);
    for (const { id, file: volume } of volumes) {
      await write(`<script type="application/octet-stream" id="${id}">`);
      await writeBase64(volume, write);
      await write("</script>\n");
    }
    // What a script ends with in HTML may stand in a text of it.
    for (const script of scripts) await write(`<script>${script.replaceAll(/<\/(script)/gi, "<\\/$1")}</script>\n`);
    await write("</body>\n</html>\n");
  }, { doing: DOING, removesLeftovers: true, signal });
}

async function writeBase64(path: string, write: (text: string) => Promise<void>): Promise<void> {
  using file = await Deno.open(path);
  const piece = new Uint8Array(PIECE_BYTES);
  for (;;) {
    let filled = 0;
    while (filled < piece.length) {
      const count = await file.read(piece.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    if (filled === 0) return;
    await write(piece.subarray(0, filled).toBase64());
  }
}
