/** What lies in a watched folder, grouped into what may become cases, and whether it still changes. */
import { join, resolve } from "../../core/base/path.ts";
import { readFolder } from "../../core/base/read_folder.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { splitName } from "../../core/dataset/input_cases.ts";
import { entriesOf } from "../../core/formats/dicom/series.ts";

/** A file or a folder of the watched folder. */
export interface ArrivalPart {
  readonly name: string;
  readonly path: string;
  readonly isFolder: boolean;
  /** Undefined where the name has no channel number. */
  readonly channel?: number;
}

/** What has one case's name. */
export interface Arrival {
  readonly id: string;
  /** By name. */
  readonly parts: readonly ArrivalPart[];
}

/** An arrival as it was at one look. */
export interface LookedAt {
  readonly arrival: Arrival;
  /** Sizes and times of all its files; null where one is gone by now. */
  readonly state: string | null;
}

export interface WatchedFolder {
  readonly folder: string;
  readonly fileEnding: string;
  readonly channels: number;
  /** True: folders may be cases, of DICOM. */
  readonly takesFolders: boolean;
  /** Real paths of folders that are no cases, and what lies in them neither. */
  readonly apart: readonly string[];
}

const DOING = "looking into the watched folder";

/**
 * @returns The arrivals by id, and the names of files that are none of the model's
 * @throws UserError if the folder can't be read
 */
export async function listArrivals(
  { folder, fileEnding, channels, takesFolders, apart }: WatchedFolder,
): Promise<{ readonly arrivals: readonly Arrival[]; readonly strange: readonly string[] }> {
  const byCase = new Map<string, ArrivalPart[]>();
  const strange: string[] = [];
  for (const { name, path, isFolder } of await entriesOf(folder, DOING)) {
    if (!isFolder && !name.endsWith(fileEnding)) {
      strange.push(name);
      continue;
    }
    if (isFolder && (!takesFolders || await holdsOneOf(path, apart))) continue;
    const { id, channel } = isFolder ? splitFolderName(name, channels) : splitName(name, fileEnding);
    const parts = byCase.get(id) ?? [];
    parts.push({ name, path, isFolder, ...(channel !== undefined && { channel }) });
    byCase.set(id, parts);
  }
  return { arrivals: Array.from(byCase, ([id, parts]) => ({ id, parts })), strange };
}

/** As predict names cases by their folders; of one channel, a number that is not 0000 is a part of the name. */
function splitFolderName(name: string, channels: number): { readonly id: string; readonly channel?: number } {
  const match = (channels === 1 ? /^(.+)_(0000)$/ : /^(.+)_(\d{4})$/).exec(name);
  return match ? { id: match[1], channel: Number(match[2]) } : { id: name };
}

async function holdsOneOf(path: string, apart: readonly string[]): Promise<boolean> {
  const real = await Deno.realPath(path).catch(() => resolve(path));
  return apart.some((other) => other === real || other.startsWith(join(real, "/")));
}

/** Names, sizes and times of all files of an arrival; null where one is gone by now. @throws UserError if one may not be looked at */
export async function stateOf({ parts }: Arrival): Promise<string | null> {
  const lines: string[] = [];
  for (const { path, name, isFolder } of parts) {
    const found = isFolder ? await statesBelow(path, name) : await fileState(path, name);
    if (found === null) return null;
    lines.push(...found);
  }
  return lines.join("\n");
}

async function fileState(path: string, name: string): Promise<string[] | null> {
  const stat = await statOrNull(path, DOING);
  return stat && [`${name} ${stat.size} ${stat.mtime?.getTime()}`];
}

/** Hidden files count, as what is on its way to its name. */
async function statesBelow(folder: string, name: string): Promise<string[] | null> {
  const entries = await readFolder(folder, DOING);
  if (entries === null) return null;
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines: string[] = [`${name}/`];
  for (const entry of entries) {
    const [path, shown] = [join(folder, entry.name), `${name}/${entry.name}`];
    const found = entry.isDirectory ? await statesBelow(path, shown) : await fileState(path, shown);
    if (found === null) return null;
    lines.push(...found);
  }
  return lines;
}

export interface Settling {
  /** Those of a look that have not changed for long enough; what is not among them is forgotten. */
  settled(looked: readonly LookedAt[]): LookedAt[];
  /** Takes a case for one that has changed just now, and as much later than that. */
  startAgain(id: string, laterMs?: number): void;
}

/** By this process's clock, as those of machines that share a disk differ. @param clock Milliseconds */
export function createSettling(settleMs: number, clock: () => number = () => performance.now()): Settling {
  let seen = new Map<string, { readonly state: string; readonly since: number }>();
  return {
    settled(looked) {
      const now = clock();
      const next: typeof seen = new Map();
      const ready: LookedAt[] = [];
      for (const one of looked) {
        const { arrival: { id }, state } = one;
        if (state === null) continue;
        const before = seen.get(id);
        const since = before?.state === state ? before.since : now;
        next.set(id, { state, since });
        if (now - since >= settleMs) ready.push(one);
      }
      seen = next;
      return ready;
    },
    startAgain(id, laterMs = 0) {
      const before = seen.get(id);
      if (before) seen.set(id, { state: before.state, since: clock() + laterMs });
    },
  };
}
