/** What the objects that are written take from the DICOM images that a segmentation was made from. */
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { Keyword } from "./attributes.ts";
import type { DicomDataset } from "./dataset.ts";
import { readDicomFile } from "./read_dicom_file.ts";
import type { SourceImages, SourceSlice } from "./source_images.ts";
import type { Items, WrittenAttributes, WrittenValue } from "./write_object.ts";

const DOING = "reading what the segmentation refers to";

/** A frame of a file, in the order of the voxels. */
export interface PlacedFrame {
  readonly file: string;
  readonly sopClass: string;
  readonly sopInstance: string;
  /** From 0 on, and how many the file has. */
  readonly frame: number;
  readonly frames: number;
  readonly place: { readonly position?: Vec3 };
}

/** Of patient, study and frame of reference, and what says who may see them: all that is taken over. */
const TAKEN_OVER = [
  ...keywords(
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
  ),
  ...keywords(
    "PatientSex",
    "PatientSexNeutered",
    "QualityControlSubject",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
  ),
  ...keywords(
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
  ),
  ...keywords("DeidentificationMethodCodeSequence", "PatientSpeciesDescription", "PatientBreedDescription"),
  ...keywords(
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "Occupation",
  ),
  ...keywords("AdditionalPatientHistory", "MedicalAlerts", "Allergies", "SmokingStatus", "LastMenstrualDate"),
  ...keywords(
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
  ),
  ...keywords("ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
  ...keywords("ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription", "ClinicalTrialCoordinatingCenterName"),
  ...keywords("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "StudyDescription"),
  ...keywords("ConsultingPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
  ...keywords("AdmittingDiagnosesDescription", "ProcedureCodeSequence", "TimezoneOffsetFromUTC"),
  ...keywords("PositionReferenceIndicator"),
];
const LOSSY = keywords("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod");
/** Of the items of those sequences: a code, or another identifier of the patient. */
const ITEM = [
  ...keywords(
    "CodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "CodeMeaning",
    "LongCodeValue",
    "URNCodeValue",
  ),
  ...keywords("PatientID", "IssuerOfPatientID", "TypeOfPatientID"),
];

/** Longer texts are none of a patient's or a study's: DICOM's longest, LT, has so many characters. */
const MOST_CHARACTERS = 10240;

function keywords(...names: readonly Keyword[]): readonly Keyword[] {
  return names;
}

/**
 * What is to be known of the images that `frames` are of.
 * @throws UserError naming the file that does not say where its pixels are or what it belongs to
 */
export async function sourceOfFrames(frames: readonly PlacedFrame[]): Promise<SourceImages> {
  const [{ file }] = frames;
  const dataset = (await readDicomFile(file, DOING))?.dataset;
  if (!dataset) throw lacking(file, "it is no DICOM file any more");
  const groups = [dataset.items("PerFrameFunctionalGroupsSequence").at(frames[0].frame), dataset]
    .concat(dataset.items("SharedFunctionalGroupsSequence")).filter((group) => group !== undefined);
  const numbers = (sequence: Keyword, keyword: Keyword) =>
    groups.map((group) => (group.items(sequence).at(0) ?? group).numbers(keyword)).find(({ length }) => length > 0) ??
      [];
  const cosines = numbers("PlaneOrientationSequence", "ImageOrientationPatient");
  const spacing = numbers("PixelMeasuresSequence", "PixelSpacing");
  const [thickness] = numbers("PixelMeasuresSequence", "SliceThickness");
  const required = (keyword: Keyword) => {
    const value = dataset.text(keyword);
    if (value === undefined || !isUid(value)) throw lacking(file, `it has no ${keyword}`);
    return value;
  };
  if (cosines.length !== 6 || spacing.length !== 2) throw lacking(file, "it does not say where its pixels are");
  const frameOfReferenceUid = dataset.text("FrameOfReferenceUID");
  const seriesNumber = dataset.number("SeriesNumber");
  return {
    slices: frames.map(sliceOf),
    rows: dataset.number("Rows") ?? 0,
    columns: dataset.number("Columns") ?? 0,
    rowDirection: [cosines[0], cosines[1], cosines[2]],
    columnDirection: [cosines[3], cosines[4], cosines[5]],
    pixelSpacing: [spacing[0], spacing[1]],
    ...(thickness > 0 && Number.isFinite(thickness) && { sliceThickness: thickness }),
    studyUid: required("StudyInstanceUID"),
    seriesUid: required("SeriesInstanceUID"),
    ...(frameOfReferenceUid !== undefined && isUid(frameOfReferenceUid) && { frameOfReferenceUid }),
    ...(seriesNumber !== undefined && Number.isFinite(seriesNumber) && { seriesNumber }),
    ...madeAt(dataset),
    attributes: { ...taken(dataset, TAKEN_OVER), ...untoldMethod(dataset) },
    lossy: dataset.text("LossyImageCompression") === "01" ? taken(dataset, LOSSY) : { LossyImageCompression: "00" },
  };
}

function sliceOf({ file, sopClass, sopInstance, frame, frames, place: { position } }: PlacedFrame): SourceSlice {
  if (!position) throw lacking(file, "it does not say where it lies in the patient");
  if (!isUid(sopClass) || !isUid(sopInstance)) throw lacking(file, "it has no SOP class or instance UID");
  return { sopClass, sopInstance, position, ...(frames > 1 && { frame: frame + 1 }) };
}

function isUid(text: string): boolean {
  return /^[0-9.]{1,64}$/.test(text);
}

function lacking(file: string, what: string): UserError {
  const problem = `${what}, and a DICOM object can't refer to it`;
  return new UserError({ doing: DOING, file, problem, remedy: "choose --output-format nifti" });
}

function madeAt(dataset: DicomDataset): { readonly date?: string; readonly time?: string } {
  const moment = dataset.text("AcquisitionDateTime");
  const pairs = [
    [dataset.text("ContentDate"), dataset.text("ContentTime")],
    [dataset.text("AcquisitionDate"), dataset.text("AcquisitionTime")],
    [moment?.slice(0, 8), moment?.slice(8, 14)],
    [dataset.text("SeriesDate"), dataset.text("SeriesTime")],
    [dataset.text("StudyDate"), dataset.text("StudyTime")],
  ];
  const [date, time] = pairs.find(([day = ""]) => /^\d{8}$/.test(day)) ?? [];
  return {
    ...(date !== undefined && { date }),
    ...(time !== undefined && /^\d{2,6}(\.\d{1,6})?$/.test(time) && { time }),
  };
}

/** Where a patient's identity was removed, the standard asks for how; where the source does not say it, that is said. */
function untoldMethod(dataset: DicomDataset): WrittenAttributes {
  const isTold = dataset.text("DeidentificationMethod") !== undefined ||
    dataset.items("DeidentificationMethodCodeSequence").length > 0;
  if (dataset.text("PatientIdentityRemoved") !== "YES" || isTold) return {};
  return { DeidentificationMethod: "not told by the source" };
}

/** The attributes of `keywords` that are there, as they are. */
function taken(dataset: DicomDataset, keywords: readonly Keyword[]): WrittenAttributes {
  const found: [Keyword, WrittenValue][] = [];
  for (const keyword of keywords) {
    if (!dataset.has(keyword)) continue;
    if (keyword.endsWith("Sequence")) found.push([keyword, itemsTaken(dataset.items(keyword))]);
    else {
      const texts = dataset.texts(keyword);
      const characters = texts.reduce((sum, text) => sum + text.length + 1, 0);
      if (characters <= MOST_CHARACTERS) found.push([keyword, texts.length === 0 ? null : texts]);
    }
  }
  return Object.fromEntries(found);
}

function itemsTaken(items: readonly DicomDataset[]): Items | null {
  return items.length === 0 ? null : { items: items.map((item) => taken(item, ITEM)) };
}
