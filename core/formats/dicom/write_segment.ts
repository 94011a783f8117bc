/** What SEG and RTSTRUCT objects say alike: their segments, codes, the patient and study they belong to, who made them. */
import type { Code, SegmentCodes } from "./seg_codes.ts";
import type { Rgb } from "./seg_codes_file.ts";
import type { SourceImages, SourceSlice } from "./source_images.ts";
import { type Items, sequence, type WrittenAttributes } from "./write_object.ts";
import { derivedUid } from "./write_uid.ts";

/** A class of the segmentation. */
export interface Segment {
  readonly label: number;
  readonly name: string;
  readonly colour: Rgb;
  readonly codes: SegmentCodes;
}

/** Who made the segmentation. */
export interface Maker {
  /** The model: "Dataset004_Hippocampus, 3d_fullres". */
  readonly model: string;
  /** Of this program. */
  readonly version: string;
}

export const SOFTWARE = "nnunet";
/** Texts are UTF-8. */
const CHARACTERS = "ISO_IR 192";
const LONG_STRING = 64;

/** A text as a value of one line: without characters that mean something to DICOM, and at most `most` characters. */
export function shortText(text: string, most = LONG_STRING): string {
  const line = text.replace(/[\p{Cc}\\]+/gu, " ").trim();
  return [...line].slice(0, most).join("").trim() || "-";
}

export function codeItem({ scheme, code, meaning }: Code): WrittenAttributes {
  return { CodeValue: code, CodingSchemeDesignator: scheme, CodeMeaning: meaning };
}

/** A sequence of one code; undefined where there is none. */
export function codeSequence(code: Code | undefined): Items | undefined {
  return code && sequence(codeItem(code));
}

/** What refers to an instance of the source. */
export function instanceReference({ sopClass, sopInstance }: SourceSlice): WrittenAttributes {
  return { ReferencedSOPClassUID: sopClass, ReferencedSOPInstanceUID: sopInstance };
}

/** What refers to one slice of the source: its instance, and the frame where that has several. */
export function sliceReference(slice: SourceSlice): WrittenAttributes {
  const { frame } = slice;
  return { ...instanceReference(slice), ...(frame !== undefined && { ReferencedFrameNumber: String(frame) }) };
}

/** The source's frame of reference; of a source without one a UID that all objects made from it share. */
export function frameOfReference({ frameOfReferenceUid, seriesUid }: SourceImages): string {
  return frameOfReferenceUid ?? derivedUid(["frame of reference", seriesUid]);
}

/** Patient, study, equipment and the series' own description. */
export function commonAttributes(
  source: SourceImages,
  { model, version }: Maker,
  series: { readonly uid: string; readonly number: number; readonly description: string },
): WrittenAttributes {
  return {
    PatientName: null,
    PatientID: null,
    PatientBirthDate: null,
    PatientSex: null,
    StudyDate: null,
    StudyTime: null,
    AccessionNumber: null,
    ReferringPhysicianName: null,
    StudyID: null,
    PositionReferenceIndicator: null,
    ...source.attributes,
    SpecificCharacterSet: CHARACTERS,
    StudyInstanceUID: source.studyUid,
    SeriesInstanceUID: series.uid,
    SeriesNumber: String(series.number),
    SeriesDescription: shortText(series.description),
    InstanceNumber: "1",
    Manufacturer: SOFTWARE,
    ManufacturerModelName: shortText(model),
    DeviceSerialNumber: "-",
    SoftwareVersions: shortText(version),
  };
}

/** A number for a series that comes after the source's, and is the same each time. */
export function seriesNumber({ seriesNumber = 0 }: SourceImages, kind: number): number {
  const number = 100 * Math.max(0, Math.trunc(seriesNumber)) + kind;
  return Number.isFinite(number) && number < 2 ** 31 ? number : kind;
}
