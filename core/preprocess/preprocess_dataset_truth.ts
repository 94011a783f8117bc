/** The ground truth's copy, which validation compares with where the raw dataset is not at hand. */
import { statOrNull } from "../base/stat_or_null.ts";
import { ensureFolder, writeAll, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { copyBesideLabels } from "../formats/image/beside_labels.ts";

const DOING = "copying the ground truth";

/** Copies the segmentations that are newer than their copy in `folder`, or of another size. Copies keep the time of change. */
export async function copyGroundTruth(cases: readonly RawCase[], fileEnding: string, folder: string): Promise<void> {
  await ensureFolder(folder, DOING);
  removeLeftovers(folder);
  for (const { id, label } of cases) {
    const target = join(folder, `${id}${fileEnding}`);
    await copyBesideLabels(label, target, { doing: DOING });
    const source = await Deno.stat(label);
    const copy = await statOrNull(target, DOING);
    const time = (info: Deno.FileInfo) => info.mtime?.getTime() ?? 0;
    if (copy && copy.size === source.size && time(copy) >= time(source)) continue;
    await writeAtomically(target, async (file) => {
      using from = await Deno.open(label);
      for await (const bytes of from.readable) await writeAll(file, bytes);
      if (source.mtime) await file.utime(source.atime ?? source.mtime, source.mtime);
    }, { doing: DOING, bytes: source.size });
  }
}
