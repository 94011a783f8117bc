/** Where a case's images go when it is done or has failed, and the text that says why it failed. */
import { ensureFolder, removeIfThere, writeAtomically, writeError } from "../../core/base/files.ts";
import { hiddenName } from "../../core/base/leftovers.ts";
import { join } from "../../core/base/path.ts";
import { readError } from "../../core/base/read_error.ts";
import type { Arrival, ArrivalPart } from "./arrivals.ts";

const DOING = "moving the case's images";
const STATE = "state of the images: ";
const MOST_TEXT = 1 << 20;

/**
 * Moves all parts of an arrival into `folder`; what lies there under one of their names stays, and a folder CASE.2, CASE.3, ... in it
 * takes them then.
 * @returns Where they are
 * @throws UserError if that fails
 */
export async function moveArrival({ id, parts }: Arrival, folder: string): Promise<string> {
  await ensureFolder(folder, DOING);
  const target = freePlace(folder, id, parts);
  await ensureFolder(target, DOING);
  // Of a case that goes to another disk all is copied before the first of it is gone.
  const copies: { readonly part: ArrivalPart; readonly copy: string }[] = [];
  try {
    for (const part of parts) {
      if (!await rename(part.path, join(target, part.name))) copies.push(await copied(part, target));
    }
    for (const { part, copy } of copies) await Deno.rename(copy, join(target, part.name));
    for (const { part } of copies) await removeIfThere(part.path, DOING, { recursive: true });
  } catch (error) {
    throw writeError(error, target, DOING);
  }
  return target;
}

function freePlace(folder: string, id: string, parts: readonly ArrivalPart[]): string {
  const isFree = (place: string) => parts.every(({ name }) => !isThere(join(place, name)));
  for (let count = 1;; count++) {
    const place = count === 1 ? folder : join(folder, `${id}.${count}`);
    if (isFree(place)) return place;
  }
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** False if the two are on different disks. */
async function rename(from: string, to: string): Promise<boolean> {
  try {
    await Deno.rename(from, to);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "EXDEV") return false;
    throw writeError(error, to, DOING);
  }
}

async function copied(part: ArrivalPart, target: string) {
  const copy = join(target, hiddenName(part.name));
  try {
    await copyAll(part.path, copy, part.isFolder);
  } catch (error) {
    await removeIfThere(copy, DOING, { recursive: true });
    throw writeError(error, join(target, part.name), DOING);
  }
  return { part, copy };
}

async function copyAll(from: string, to: string, isFolder: boolean): Promise<void> {
  if (!isFolder) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    await copyAll(join(from, name), join(to, name), isDirectory);
  }
}

/** The text that says why a case failed. */
export function reasonFile(folder: string, { id, parts }: Arrival): string {
  return join(folder, `${id === "" ? parts[0].name : id}.failed.txt`);
}

/** @param state The images' as they were when it failed */
export async function writeReason(file: string, { parts }: Arrival, message: string, state: string): Promise<void> {
  const text = `${message}\n\nimages: ${parts.map(({ name }) => name).join(", ")}\n` +
    `${STATE}${await digest(state)}\n`;
  await writeAtomically(file, text, { doing: "writing why the case failed" });
}

/** True if `file` says that the case failed with its images as they are. @throws UserError if it can't be read */
export async function hasFailedAsItIs(file: string, state: string): Promise<boolean> {
  try {
    if ((await Deno.stat(file)).size > MOST_TEXT) return false;
    return (await Deno.readTextFile(file)).includes(`${STATE}${await digest(state)}\n`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw readError(error, file, "reading why a case failed");
  }
}

async function digest(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
