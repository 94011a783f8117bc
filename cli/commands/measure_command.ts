/** The command `measure`: sizes, places, intensities and surfaces of segmentations that are there. */
import { UsageError, UserError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { basename, join } from "../../core/base/path.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { openImageFolder } from "../../core/dataset/image_folder.ts";
import { chooseReader } from "../../core/dataset/choose_reader.ts";
import { isFolder } from "../../core/dataset/dataset_names.ts";
import { filesEndingIn } from "../../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { imageEnding, supportedEndings } from "../../core/formats/image/readers.ts";
import { classesOfDataset, classesOfLabels } from "../../core/measure/measured_classes.ts";
import { MEASURE } from "../flags/measure_flags.ts";
import type { Values } from "../flags/flag.ts";
import type { PredictedCase } from "../measuring.ts";
import { sayFailedCase } from "../event_log.ts";
import { failedCase } from "../report.ts";
import { defineCommand } from "./command.ts";

type MeasureValues = Values<typeof MEASURE>;

export const measureCommand = defineCommand({
  flags: MEASURE,
  examples: [
    {
      does: "Sizes, places and intensities of what was predicted, as a table",
      args: "segmentations -djfile segmentations/dataset.json -i images --statistics organs.csv",
    },
    { does: "The surfaces of labels 1 and 2 of one segmentation", args: "organs.nii.gz -l 1 2 --mesh stl" },
  ],
  details: [
    "What predict writes with --statistics and --mesh, of segmentations that are there, whoever made them. A class that is not in a case " +
    "has 0 voxels and no mesh. Cases that cannot be measured don't keep the others from being done.",
  ],
  check({ statistics, mesh, datasetFile, labels, output }) {
    if (statistics === undefined && mesh === undefined) {
      throw new UsageError("one of the arguments --statistics, --mesh is required");
    }
    if (datasetFile !== undefined && labels !== undefined) {
      throw new UsageError("argument -l: not allowed with argument -djfile, which names the labels");
    }
    if (output !== undefined && mesh === undefined) throw new UsageError("argument -o: it goes with --mesh");
  },
  async run(values, context) {
    const measuring = await import("../measuring.ts");
    const { segmentations, images, datasetFile, labels, maxMemory } = values;
    const dataset = datasetFile === undefined ? undefined : await readDatasetJson(datasetFile);
    const { files, fileEnding } = await listSegmentations(segmentations, dataset?.fileEnding);
    const json = dataset ? dataset.json as Readonly<Record<string, unknown>> : { file_ending: fileEnding };
    const { reader, warnings } = await chooseReader(json, datasetFile ?? files[0], files[0], !dataset, maxMemory);
    for (const warning of warnings) context.warn(warning);
    await measuring.checkStatisticsPlace(values, [segmentations, images, datasetFile]);
    measuring.checkMesh(values, reader);
    if (values.output !== undefined) await ensureFolder(values.output, "making the folder of the meshes");
    const folder = images === undefined ? undefined : await openImageFolder(images, reader, "looking for the images");
    const all = files.map((output) => ({ id: basename(output).slice(0, -fileEnding.length), files: [], output }));
    const cases: PredictedCase[] = [];
    const imageless: UserError[] = [];
    for (const one of all) {
      try {
        cases.push({ ...one, files: await folder?.imagesOf(one.id) ?? [] });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        imageless.push(error);
        sayFailedCase(failedCase(error), context);
      }
    }
    const failed = await measuring.measureResults({ ...values, quiet: false, disableProgressBar: false }, {
      cases,
      all: all.map((one) => cases.find(({ id }) => id === one.id) ?? one),
      fileEnding,
      ...(values.output !== undefined && { meshFolder: values.output }),
      reader,
      classes: dataset ? classesOfDataset(dataset) : classesOfLabels(labels ?? []),
      ...(dataset && images !== undefined && { channelNames: dataset.channelNames }),
      isShared: false,
      share: false,
    }, context);
    return failed.length + imageless.length === 0;
  },
});

/** The files, at least one, and their common ending: the dataset's, else the first that any has. */
async function listSegmentations(
  path: MeasureValues["segmentations"],
  ending: string | undefined,
): Promise<{ readonly files: readonly string[]; readonly fileEnding: string }> {
  const error = { doing: "looking for the segmentations", file: path };
  if (!await isFolder(path)) {
    if (await statOrNull(path, error.doing) === null) {
      throw new UserError({ ...error, problem: "there is no such file or folder", remedy: "check the path" });
    }
    const own = ending !== undefined && basename(path).endsWith(ending) ? ending : imageEnding(basename(path));
    if (own === undefined || (ending !== undefined && own !== ending)) {
      const problem = `its name does not end in ${ending ?? supportedEndings().join(", ")}`;
      throw new UserError({ ...error, problem, remedy: "give a segmentation, or a folder of them" });
    }
    return { files: [path], fileEnding: own };
  }
  for (const one of ending === undefined ? supportedEndings() : [ending]) {
    const names = await filesEndingIn(path, one);
    if (names.length > 0) return { files: names.map((name) => join(path, name)), fileEnding: one };
  }
  const problem = `no file in it ends in ${ending ?? supportedEndings().join(", ")}`;
  throw new UserError({ ...error, problem, remedy: "give the folder of the segmentations" });
}
