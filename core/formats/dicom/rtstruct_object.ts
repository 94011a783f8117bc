/**
 * A segmentation as an RT Structure Set: each class that is there is a region of closed contours in the planes of the source's
 * slices. Source: PS3.3 A.19 and C.8.8.5 to C.8.8.8. In implicit VR, as a contour's points may take more than 64 KiB.
 */
import type { Polygon } from "./rtstruct_contours.ts";
import { tracePolygons } from "./rtstruct_contours.ts";
import { contentHash, type PlacedSegment } from "./seg_frames.ts";
import type { SegmentationToWrite } from "./seg_object.ts";
import { type LabelsOnSlices, type SegmentPlace, segmentPlaces } from "./seg_places.ts";
import { instancesOf, type SourceImages, type SourceSlice } from "./source_images.ts";
import { writeDicomFile } from "./write_file.ts";
import { sequence, type WrittenAttributes } from "./write_object.ts";
import {
  codeItem,
  commonAttributes,
  frameOfReference,
  instanceReference,
  seriesNumber,
  shortText,
  sliceReference,
} from "./write_segment.ts";
import { derivedUid } from "./write_uid.ts";

const SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3";
/** Of a study, where structure sets refer to one: retired, and still what is written. */
const STUDY_CLASS = "1.2.840.10008.3.1.2.3.1";
/** Added to 100 times the number of the source's series. */
const SERIES = 52;
const SHORT_STRING = 16;
const SHORT_TEXT = 1024;
/** Steps in which points are written, as a share of the distance between pixels. */
const STEP = 1 / 2000;
const ANATOMY = new Set(["91723000", "123037004"]);

interface Region extends PlacedSegment {
  readonly number: number;
}

/**
 * Writes the object, whole or not at all; where no class is there, it has no region.
 * @throws UserError if the file can't be written; Interrupted if the signal aborts
 */
export async function writeStructureSet(file: string, segmentation: SegmentationToWrite): Promise<void> {
  const { labels, source, segments, maker, signal } = segmentation;
  const places = segmentPlaces(labels);
  const regions = segments.flatMap((segment): PlacedSegment[] => {
    const there = places.get(segment.label);
    return there ? [{ ...segment, places: there }] : [];
  }).map((region, i): Region => ({ ...region, number: i + 1 }));
  const content = contentHash(regions, labels);
  const uid = (what: string) => derivedUid(["RTSTRUCT", what, source.seriesUid, maker.model, maker.version, content]);
  const frameUid = frameOfReference(source);
  const series = { uid: uid("series"), number: seriesNumber(source, SERIES), description: maker.model };
  await writeDicomFile(file, {
    sopClass: SOP_CLASS,
    sopInstance: uid("instance"),
    attributes: {
      ...commonAttributes(source, maker, series),
      Modality: "RTSTRUCT",
      OperatorsName: null,
      FrameOfReferenceUID: frameUid,
      StructureSetLabel: shortText(maker.model, SHORT_STRING),
      StructureSetName: shortText(maker.model),
      StructureSetDate: source.date ?? null,
      StructureSetTime: source.time ?? null,
      ReferencedFrameOfReferenceSequence: sequence(referencedFrame(source, frameUid)),
      StructureSetROISequence: { items: regions.map((region) => regionItem(region, frameUid, maker.model)) },
      ROIContourSequence: { items: contourItems(regions, labels, source), streamed: true },
      RTROIObservationsSequence: { items: regions.map(observationItem) },
      ApprovalStatus: "UNAPPROVED",
    },
    encoding: "implicit",
    signal,
  });
}

function referencedFrame({ slices, studyUid, seriesUid }: SourceImages, uid: string): WrittenAttributes {
  return {
    FrameOfReferenceUID: uid,
    RTReferencedStudySequence: sequence({
      ReferencedSOPClassUID: STUDY_CLASS,
      ReferencedSOPInstanceUID: studyUid,
      RTReferencedSeriesSequence: sequence({
        SeriesInstanceUID: seriesUid,
        ContourImageSequence: { items: instancesOf(slices).map(instanceReference) },
      }),
    }),
  };
}

function regionItem({ number, label, name }: Region, frameUid: string, model: string): WrittenAttributes {
  return {
    ROINumber: String(number),
    ReferencedFrameOfReferenceUID: frameUid,
    ROIName: shortText(name),
    ROIDescription: shortText(`label ${label}: ${name}`, SHORT_TEXT),
    ROIGenerationAlgorithm: "AUTOMATIC",
    ROIGenerationDescription: shortText(model),
  };
}

function observationItem({ number, codes }: Region): WrittenAttributes {
  return {
    ObservationNumber: String(number),
    ReferencedROINumber: String(number),
    RTROIIdentificationCodeSequence: sequence(codeItem(codes.type)),
    RTROIInterpretedType: ANATOMY.has(codes.category.code) ? "ORGAN" : null,
    ROIInterpreter: null,
  };
}

function* contourItems(
  regions: readonly Region[],
  labels: LabelsOnSlices,
  source: SourceImages,
): Generator<WrittenAttributes> {
  for (const { number, label, colour, places } of regions) {
    yield {
      ReferencedROINumber: String(number),
      ROIDisplayColor: colour.map(String),
      ContourSequence: { items: contours(label, places, labels, source), streamed: true },
    };
  }
}

function* contours(
  label: number,
  places: readonly SegmentPlace[],
  labels: LabelsOnSlices,
  source: SourceImages,
): Generator<WrittenAttributes> {
  const write = pointWriter(source);
  let number = 0;
  for (const place of places) {
    const slice = source.slices[place.slice];
    for (const polygon of tracePolygons(labels, label, place)) {
      yield {
        ContourNumber: String(++number),
        ContourImageSequence: sequence(sliceReference(slice)),
        ContourGeometricType: "CLOSED_PLANAR",
        NumberOfContourPoints: String(polygon.length / 2),
        ContourData: write(polygon, slice),
      };
    }
  }
}

/** What makes of a polygon in pixels the text of its points in mm, x\y\z\x\y\z..., each number at most 16 characters. */
function pointWriter({ rowDirection, columnDirection, pixelSpacing: [rows, columns] }: SourceImages) {
  const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(Math.min(rows, columns) * STEP))));
  return (polygon: Polygon, { position }: SourceSlice): string[] => {
    const texts: string[] = [];
    for (let i = 0; i < polygon.length; i += 2) {
      for (let axis = 0; axis < 3; axis++) {
        const value = position[axis] + polygon[i] * columns * rowDirection[axis] +
          polygon[i + 1] * rows * columnDirection[axis];
        const text = value.toFixed(digits);
        texts.push(text.length <= 16 ? text : value.toPrecision(9));
      }
    }
    return texts;
  };
}
