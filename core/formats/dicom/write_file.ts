/** Writes a DICOM object to a file of its own: preamble, meta information, attributes, and pixel data if it has them. Source: PS3.10. */
import { Interrupted } from "../../base/errors.ts";
import { writeAll, writeAtomically } from "../../base/files.ts";
import { WRITING } from "../image/image_format.ts";
import { EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from "./read_dicom_file.ts";
import { encodeObject, encodeWhole, type Encoding, pixelDataHead, type WrittenAttributes } from "./write_object.ts";
import { derivedUid } from "./write_uid.ts";

/** The program that writes, as files name it. */
const IMPLEMENTATION = "NNUNET";
/** Bytes of the preamble, before "DICM". */
const PREAMBLE_BYTES = 128;

export interface ObjectToWrite {
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly attributes: WrittenAttributes;
  /** Implicit VR where a value may be longer than 64 KiB. */
  readonly encoding: Encoding;
  /** The pixels in pieces, `bytes` of them, an even number. */
  readonly pixels?: { readonly bytes: number; readonly pieces: Iterable<Uint8Array> };
  readonly signal?: AbortSignal;
}

/**
 * Writes the object, whole or not at all.
 * @throws UserError if the file can't be written; Interrupted if the signal aborts
 */
export async function writeDicomFile(file: string, object: ObjectToWrite): Promise<void> {
  const { sopClass, sopInstance, encoding, pixels, signal } = object;
  const attributes = { ...object.attributes, SOPClassUID: sopClass, SOPInstanceUID: sopInstance };
  await writeAtomically(file, async (out) => {
    const put = async (piece: Uint8Array) => {
      if (signal?.aborted) throw new Interrupted(WRITING);
      await writeAll(out, piece);
    };
    await put(fileHead(sopClass, sopInstance, encoding));
    for (const piece of encodeObject(attributes, encoding)) await put(piece);
    if (!pixels) return;
    await put(pixelDataHead(pixels.bytes, encoding));
    for (const piece of pixels.pieces) await put(piece);
  }, { doing: WRITING, signal });
}

function fileHead(sopClass: string, sopInstance: string, encoding: Encoding): Uint8Array {
  const meta = encodeWhole({
    FileMetaInformationVersion: Uint8Array.of(0, 1),
    MediaStorageSOPClassUID: sopClass,
    MediaStorageSOPInstanceUID: sopInstance,
    TransferSyntaxUID: encoding === "explicit" ? EXPLICIT_LITTLE_ENDIAN : IMPLICIT_LITTLE_ENDIAN,
    ImplementationClassUID: derivedUid(["implementation", IMPLEMENTATION]),
    ImplementationVersionName: IMPLEMENTATION,
  }, "explicit");
  const group = new Uint8Array(12);
  group.set([2, 0, 0, 0, 0x55, 0x4c, 4, 0]); // (0002,0000) UL: the length of the group
  new DataView(group.buffer).setUint32(8, meta.length, true);
  const head = new Uint8Array(PREAMBLE_BYTES + 4 + group.length + meta.length);
  head.set(new TextEncoder().encode("DICM"), PREAMBLE_BYTES);
  head.set(group, PREAMBLE_BYTES + 4);
  head.set(meta, PREAMBLE_BYTES + 4 + group.length);
  return head;
}
