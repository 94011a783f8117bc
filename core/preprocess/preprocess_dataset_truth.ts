/** The ground truth's copy, which validation compares with where the raw dataset is not at hand. */
import { ensureFolder, writeError } from "../base/files.ts";
import { join } from "../base/path.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";

/** Copies the segmentations that are newer than their copy in `folder`, or of another size. Copies keep the time of change. */
export async function copyGroundTruth(cases: readonly RawCase[], fileEnding: string, folder: string): Promise<void> {
  await ensureFolder(folder, "copying the ground truth");
  for (const { id, label } of cases) {
    const target = join(folder, `${id}${fileEnding}`);
    const source = await Deno.stat(label);
    const copy = await statOrNull(target);
    const time = (info: Deno.FileInfo) => info.mtime?.getTime() ?? 0;
    if (copy && copy.size === source.size && time(copy) >= time(source)) continue;
    const hidden = join(folder, `.${id}${fileEnding}.${Deno.pid}.tmp`);
    try {
      await Deno.copyFile(label, hidden);
      if (source.mtime) await Deno.utime(hidden, source.atime ?? source.mtime, source.mtime);
      await Deno.rename(hidden, target);
    } catch (error) {
      await Deno.remove(hidden).catch(() => {});
      throw writeError(error, target, "copying the ground truth", source.size);
    }
  }
}

async function statOrNull(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
