/**
 * A folder of images that goes with segmentations which are there: the images of a case by its name, in any format that the segmentations'
 * reader takes, CASE_0000.ENDING and on, or CASE.ENDING; or, of DICOM, the folder CASE, or one folder for each channel.
 */
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { readFolder } from "../base/read_folder.ts";
import { readDicomFolder, seriesPath } from "../formats/dicom/series.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { fileEndings, takesSeries } from "../formats/image/readers.ts";

export interface ImageFolder {
  /** The channels' files in channel order, one at least. @throws UserError if the case has no image */
  imagesOf(id: string): Promise<readonly string[]>;
}

/** @param doing For errors. @throws UserError if there is no such folder */
export async function openImageFolder(folder: string, reader: ReaderName, doing: string): Promise<ImageFolder> {
  const entries = await readFolder(folder, doing);
  if (!entries) {
    throw new UserError({ doing, file: folder, problem: "there is no such folder", remedy: "check the path" });
  }
  const files = new Set(entries.flatMap(({ name, isDirectory }) => isDirectory ? [] : [name]));
  const folders = new Set(entries.flatMap(({ name, isDirectory }) => isDirectory ? [name] : []));
  const endings = fileEndings(reader);
  return {
    async imagesOf(id) {
      for (const ending of endings) {
        const found = channelsIn(files, id, ending);
        if (found.length > 0) return found.map((name) => join(folder, name));
      }
      const series = takesSeries(reader) ? channelsIn(folders, id, "") : [];
      if (series.length > 0) return await Promise.all(series.map((name) => seriesIn(join(folder, name), id, doing)));
      const [usual, ...others] = endings;
      const orOthers = others.length > 0 ? `, nor with ${others.join(", ")}` : "";
      const problem = `there is neither ${id}_0000${usual} nor ${id}${usual} in it${orOthers}`;
      const remedy = "give the folder of the cases' images";
      throw new UserError({ doing, caseId: id, file: folder, problem, remedy });
    },
  };
}

function channelsIn(names: ReadonlySet<string>, id: string, ending: string): string[] {
  const found: string[] = [];
  for (let channel = 0;; channel++) {
    const name = `${id}_${String(channel).padStart(4, "0")}${ending}`;
    if (!names.has(name)) break;
    found.push(name);
  }
  const single = `${id}${ending}`;
  return found.length === 0 && names.has(single) ? [single] : found;
}

/** The one series of a folder. @throws UserError also where a file is damaged, which may be a slice of it */
async function seriesIn(folder: string, caseId: string, doing: string): Promise<string> {
  const { series, damaged } = await readDicomFolder(folder, doing);
  if (damaged.length > 0) throw damaged[0].withCase(caseId);
  const images = series.filter((one) => one.images > 0);
  if (images.length === 1) return seriesPath(folder, images[0].uid);
  const problem = images.length === 0
    ? "there are no images of a DICOM series in it"
    : `there are ${images.length} series in it: ${images.map(({ title }) => title).join("; ")}`;
  throw new UserError({ doing, caseId, file: folder, problem, remedy: "leave one series in the folder" });
}
