/** What an arrival that changes no more is: a case, a part of one, or what can't be predicted. */
import { UserError } from "../../core/base/errors.ts";
import { plural } from "../../core/base/plural.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { dicomCaseOf } from "../../core/dataset/dicom_cases.ts";
import { type CaseListing, type ExpectedInput, listImages } from "../../core/dataset/input_cases.ts";
import type { Arrival, ArrivalPart } from "./arrivals.ts";

export type Arrived =
  | { readonly kind: "case"; readonly files: readonly string[]; readonly warnings: readonly string[] }
  /** More is to come. */
  | { readonly kind: "part"; readonly lacks: string }
  | { readonly kind: "failed"; readonly error: UserError };

const DOING = "taking the case";

/** @param folder The watched one */
export async function arrivedCase(folder: string, arrival: Arrival, expected: ExpectedInput): Promise<Arrived> {
  try {
    const { parts } = arrival;
    const folders = parts.filter(({ isFolder }) => isFolder);
    if (folders.length === 0) return await ofFiles(folder, arrival, expected);
    if (folders.length < parts.length) throw twoInputs(folder, arrival);
    return await ofFolders(folder, arrival, expected);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { kind: "failed", error: error.withCase(arrival.id) };
  }
}

async function ofFiles(folder: string, { id, parts }: Arrival, expected: ExpectedInput): Promise<Arrived> {
  const { fileEnding, channelNames, severalChannelsPerFile } = expected;
  const empty: string[] = [];
  for (const { path, name } of parts) if (!(await statOrNull(path, DOING))?.size) empty.push(name);
  if (empty.length > 0) return { kind: "part", lacks: `what is in ${empty.join(", ")}, of 0 bytes` };
  const missing = missingChannels(parts, channelNames);
  if (missing.length > 0) {
    const contiguous = parts.every(({ channel }, i) => channel === i);
    if (!contiguous || !await severalChannelsPerFile(parts[0].path)) {
      return { kind: "part", lacks: missing.map((i) => named(id, i, fileEnding, channelNames)).join(", ") };
    }
  }
  return arrivedAs(await listImages(folder, parts.map(({ name }) => name), expected));
}

async function ofFolders(folder: string, { id, parts }: Arrival, expected: ExpectedInput): Promise<Arrived> {
  const { channelNames, series = [] } = expected;
  const whole = parts.filter(({ channel }) => channel === undefined);
  if (whole.length > 0 && parts.length > 1) throw twoInputs(folder, { id, parts });
  const missing = missingChannels(parts, channelNames);
  if (missing.length > 0) {
    return { kind: "part", lacks: missing.map((i) => named(id, i, "", channelNames)).join(", ") };
  }
  const surplus = parts.find(({ channel = 0 }) => channel >= channelNames.length);
  if (surplus) {
    throw new UserError({
      doing: DOING,
      file: surplus.path,
      problem: `surplus channel: the model has ${plural(channelNames.length, "channel")} (${channelNames.join(", ")})`,
      remedy: "remove what does not belong to the case, or use the model that was trained with these channels",
    });
  }
  const listing = await dicomCaseOf(parts.map(({ path }) => path), { channelNames, series });
  return listing ? arrivedAs(listing) : { kind: "part", lacks: "DICOM files" };
}

/** Of numbered parts, none of which is surplus: then no other file would make it a case. */
function missingChannels(parts: readonly ArrivalPart[], channelNames: readonly string[]): number[] {
  const there = parts.map(({ channel }) => channel);
  if (there.some((channel) => channel === undefined || channel >= channelNames.length)) return [];
  return channelNames.keys().filter((i) => !there.includes(i)).toArray();
}

function arrivedAs({ cases, failures, warnings }: CaseListing): Arrived {
  if (failures.length > 0) return { kind: "failed", error: failures[0] };
  return { kind: "case", files: cases[0].files, warnings };
}

function named(id: string, channel: number, ending: string, channelNames: readonly string[]): string {
  return `${id}_${String(channel).padStart(4, "0")}${ending} (${channelNames[channel]})`;
}

function twoInputs(folder: string, { parts }: Arrival): UserError {
  const problem = `two inputs for one output: ${parts.map(({ name }) => name).join(" and ")}`;
  return new UserError({ doing: DOING, file: folder, problem, remedy: "rename one of them" });
}
