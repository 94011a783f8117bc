/** A mutation of one of a target's files, by what its name says it is. */
import { mutateBmp } from "./mutate_bmp.ts";
import { mutateB2nd } from "./mutate_b2nd.ts";
import { mutateBricks } from "./mutate_bricks.ts";
import { mutateBytes } from "./mutate_bytes.ts";
import { mutateDicom } from "./mutate_dicom.ts";
import { mutateNifti, mutatePng, mutateTextHeader } from "./mutate_images.ts";
import { mutateJson, mutateJsonBytes } from "./mutate_json.ts";
import { mutatePickle } from "./mutate_pickle.ts";
import { mutateTiff } from "./mutate_tiff.ts";
import { mutateNpy, mutateZip, zipMembers } from "./mutate_zip.ts";
import type { Random } from "./random.ts";

/** What a reader is given: files by their names. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** `files` with one of them changed. @param others Other inputs of the same reader, to take parts of */
export function mutateFiles(files: Files, random: Random, others: readonly Files[]): Files {
  const name = random.pick(Object.keys(files));
  const other = random.pick(others)[name] ?? files[name];
  return { ...files, [name]: mutateFile(name, files[name], random, other) };
}

function mutateFile(name: string, bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  const ending = /\.(nii\.gz|[^.]+)$/.exec(name)?.[1];
  switch (ending) {
    case "nii.gz":
      return mutateNifti(bytes, random, bytes[0] === 0x1f && bytes[1] === 0x8b);
    case "nii":
    case "hdr":
      return bytes.length < 360 ? mutateBytes(bytes, random, other) : mutateNifti(bytes, random, false);
    case "nrrd":
    case "nhdr":
    case "mha":
    case "mhd":
      return mutateTextHeader(bytes, random, other);
    case "png":
      return mutatePng(bytes, random);
    case "bmp":
      return mutateBmp(bytes, random, other);
    case "dcm":
      return mutateDicom(bytes, random, other);
    case "tif":
    case "tiff":
      return mutateTiff(bytes, random, other);
    case "pth":
    case "npz":
    case "zip":
      return mutateZip(membersOf(bytes), random, membersOf(other));
    case "pkl":
      return mutatePickle(bytes, random, other);
    case "npy":
      return mutateNpy(bytes, random);
    case "bricks":
      return mutateBricks(bytes, random);
    case "b2nd":
      return mutateB2nd(bytes, random, other);
    case "json":
      return mutateJsonBytes(bytes, random);
    case "jsonl":
      return mutateLines(bytes, random);
    default:
      return mutateBytes(bytes, random, other);
  }
}

const known = new WeakMap<Uint8Array, ReturnType<typeof zipMembers>>();

/** Of a seed, which is unpacked once. */
function membersOf(bytes: Uint8Array): ReturnType<typeof zipMembers> {
  const members = known.get(bytes) ?? zipMembers(bytes);
  known.set(bytes, members);
  return members;
}

function mutateLines(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.1)) return mutateBytes(bytes, random);
  const lines = new TextDecoder().decode(bytes).split("\n");
  const at = random.int(lines.length);
  const kind = random.int(10);
  if (kind === 0) lines.splice(at, 1);
  else if (kind === 1) lines.splice(at, 0, random.pick(lines));
  else lines[at] = mutateJson(lines[at], random);
  return new TextEncoder().encode(lines.join("\n"));
}
