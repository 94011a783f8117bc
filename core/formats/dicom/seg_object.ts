/**
 * A segmentation as a DICOM Segmentation object: one binary segment for each class that is there, frames only of the slices that a
 * segment is in, each with the slice it was made from. Source: PS3.3 A.51 and C.8.20.
 */
import { plural } from "../../base/plural.ts";
import { cielab } from "./seg_colour.ts";
import { contentHash, frameBytes, framesOf, packFrames, type PlacedSegment, type SegmentFrame } from "./seg_frames.ts";
import { type LabelsOnSlices, type SegmentPlace, segmentPlaces } from "./seg_places.ts";
import { instancesOf, sliceSpacing, type SourceImages } from "./source_images.ts";
import { writeDicomFile } from "./write_file.ts";
import { type Items, sequence, type WrittenAttributes } from "./write_object.ts";
import {
  codeItem,
  codeSequence,
  commonAttributes,
  frameOfReference,
  instanceReference,
  type Maker,
  type Segment,
  seriesNumber,
  shortText,
  sliceReference,
} from "./write_segment.ts";
import { derivedUid } from "./write_uid.ts";

const SOP_CLASS = "1.2.840.10008.5.1.4.1.1.66.4";
/** How far a Short Text reaches. */
const SHORT_TEXT = 1024;
/** Added to 100 times the number of the source's series. */
const SERIES = 51;

export interface SegmentationToWrite {
  readonly labels: LabelsOnSlices;
  readonly source: SourceImages;
  /** All classes that the labels may hold. */
  readonly segments: readonly Segment[];
  readonly maker: Maker;
  readonly signal?: AbortSignal;
}

/** A class that is written: its number in the object, and where it is. */
interface NumberedSegment extends PlacedSegment {
  readonly number: number;
}

/**
 * Writes the object, whole or not at all. Where no class is there, it has the first one, with one empty frame: none can't be written.
 * @throws UserError if the file can't be written; Interrupted if the signal aborts
 */
export async function writeDicomSegmentation(file: string, segmentation: SegmentationToWrite): Promise<void> {
  const { labels, source, segments, maker, signal } = segmentation;
  const numbered = numberSegments(segments, segmentPlaces(labels));
  const frames = framesOf(numbered);
  const content = contentHash(numbered, labels);
  const uid = (what: string) => derivedUid(["SEG", what, source.seriesUid, maker.model, maker.version, content]);
  const series = { uid: uid("series"), number: seriesNumber(source, SERIES), description: maker.model };
  await writeDicomFile(file, {
    sopClass: SOP_CLASS,
    sopInstance: uid("instance"),
    attributes: {
      ...commonAttributes(source, maker, series),
      ...imageAttributes(source, frames.length),
      ContentDescription: shortText(`${plural(numbered.length, "segment")} of ${maker.model}`),
      SegmentSequence: { items: numbered.map((one) => segmentItem(one, maker)) },
      ReferencedSeriesSequence: referencedSeries(source, frames),
      ...dimensionAttributes(uid("dimensions")),
      SharedFunctionalGroupsSequence: sequence(sharedGroups(source)),
      PerFrameFunctionalGroupsSequence: { items: frameGroups(numbered, source), streamed: true },
    },
    encoding: "explicit",
    pixels: { bytes: frameBytes(frames.length, labels), pieces: packFrames(frames, labels) },
    signal,
  });
}

function numberSegments(
  segments: readonly Segment[],
  places: ReadonlyMap<number, readonly SegmentPlace[]>,
): NumberedSegment[] {
  const there = segments.filter(({ label }) => places.has(label));
  if (there.length === 0) {
    const nowhere = { slice: 0, top: 0, bottom: -1, left: 0, right: -1, pixels: 0 };
    return segments.slice(0, 1).map((segment) => ({ ...segment, number: 1, places: [nowhere] }));
  }
  return there.map((segment, i) => ({ ...segment, number: i + 1, places: places.get(segment.label) ?? [] }));
}

function imageAttributes(source: SourceImages, frames: number): WrittenAttributes {
  return {
    Modality: "SEG",
    ImageType: ["DERIVED", "PRIMARY"],
    ContentDate: source.date ?? "19000101",
    ContentTime: source.time ?? "000000",
    ContentLabel: "SEGMENTATION",
    ContentCreatorName: null,
    FrameOfReferenceUID: frameOfReference(source),
    SamplesPerPixel: 1,
    PhotometricInterpretation: "MONOCHROME2",
    NumberOfFrames: String(frames),
    Rows: source.rows,
    Columns: source.columns,
    BitsAllocated: 1,
    BitsStored: 1,
    HighBit: 0,
    PixelRepresentation: 0,
    BurnedInAnnotation: "NO",
    ...source.lossy,
    SegmentationType: "BINARY",
    SegmentsOverlap: "NO",
  };
}

function segmentItem({ number, label, name, colour, codes }: NumberedSegment, { model }: Maker): WrittenAttributes {
  const region = codes.region && sequence({
    ...codeItem(codes.region),
    AnatomicRegionModifierSequence: codeSequence(codes.regionModifier),
  });
  return {
    SegmentNumber: number,
    SegmentLabel: shortText(name),
    SegmentDescription: shortText(`label ${label}: ${name}`, SHORT_TEXT),
    SegmentAlgorithmType: "AUTOMATIC",
    SegmentAlgorithmName: shortText(model),
    RecommendedDisplayCIELabValue: cielab(colour),
    SegmentedPropertyCategoryCodeSequence: codeSequence(codes.category),
    SegmentedPropertyTypeCodeSequence: sequence({
      ...codeItem(codes.type),
      SegmentedPropertyTypeModifierCodeSequence: codeSequence(codes.modifier),
    }),
    AnatomicRegionSequence: region,
  };
}

function dimensionAttributes(uid: string): WrittenAttributes {
  return {
    DimensionOrganizationSequence: sequence({ DimensionOrganizationUID: uid }),
    DimensionIndexSequence: sequence({
      DimensionOrganizationUID: uid,
      DimensionIndexPointer: ["ReferencedSegmentNumber"],
      FunctionalGroupPointer: ["SegmentIdentificationSequence"],
      DimensionDescriptionLabel: "Segment Number",
    }, {
      DimensionOrganizationUID: uid,
      DimensionIndexPointer: ["ImagePositionPatient"],
      FunctionalGroupPointer: ["PlanePositionSequence"],
      DimensionDescriptionLabel: "Image Position Patient",
    }),
  };
}

function sharedGroups(source: SourceImages): WrittenAttributes {
  const { pixelSpacing, rowDirection, columnDirection, sliceThickness } = source;
  const spacing = sliceSpacing(source);
  return {
    PixelMeasuresSequence: sequence({
      SliceThickness: sliceThickness ?? spacing,
      SpacingBetweenSlices: spacing,
      PixelSpacing: pixelSpacing,
    }),
    PlaneOrientationSequence: sequence({ ImageOrientationPatient: [...rowDirection, ...columnDirection] }),
  };
}

/** One item a frame, in the order of segments and slices. */
function* frameGroups(segments: readonly NumberedSegment[], { slices }: SourceImages): Generator<WrittenAttributes> {
  const used = [...new Set(segments.flatMap(({ places }) => places.map(({ slice }) => slice)))].sort((a, b) => a - b);
  const indices = new Map(used.map((slice, i) => [slice, i + 1]));
  for (const { number, places } of segments) {
    for (const { slice } of places) {
      const { position } = slices[slice];
      yield {
        FrameContentSequence: sequence({ DimensionIndexValues: [number, indices.get(slice) ?? 1] }),
        PlanePositionSequence: sequence({ ImagePositionPatient: position }),
        SegmentIdentificationSequence: sequence({ ReferencedSegmentNumber: number }),
        DerivationImageSequence: sequence({
          DerivationCodeSequence: sequence(SEGMENTATION),
          SourceImageSequence: sequence({
            ...sliceReference(slices[slice]),
            PurposeOfReferenceCodeSequence: sequence(SOURCE_IMAGE),
            SpatialLocationsPreserved: "YES",
          }),
        }),
      };
    }
  }
}

const SEGMENTATION = codeItem({ scheme: "DCM", code: "113076", meaning: "Segmentation" });
const SOURCE_IMAGE = codeItem({
  scheme: "DCM",
  code: "121322",
  meaning: "Source image for image processing operation",
});

/** The source's instances that frames refer to. */
function referencedSeries({ seriesUid, slices }: SourceImages, frames: readonly SegmentFrame[]): Items {
  const used = new Set(frames.map(({ place }) => place.slice));
  const instances = instancesOf(slices.filter((_, slice) => used.has(slice)));
  return sequence({
    SeriesInstanceUID: seriesUid,
    ReferencedInstanceSequence: { items: instances.map(instanceReference) },
  });
}
