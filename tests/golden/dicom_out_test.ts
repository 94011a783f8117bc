/**
 * DICOM objects of small segmentations: segmentations against those that highdicom makes of the same labels (dicom_out/highdicom_seg.py),
 * structure sets by what is inside of their contours. dicom_out/validate.py has other programs read what predictions write.
 */
import type { Keyword } from "../../core/formats/dicom/attributes.ts";
import type { DicomDataset, DicomFile } from "../../core/formats/dicom/dataset.ts";
import { labelsOnSource } from "../../core/formats/dicom/labels_on_source.ts";
import { readDicomFile } from "../../core/formats/dicom/read_dicom_file.ts";
import { writeStructureSet } from "../../core/formats/dicom/rtstruct_object.ts";
import { codesOf, UNKNOWN_CODES } from "../../core/formats/dicom/seg_codes.ts";
import { type SegmentationToWrite, writeDicomSegmentation } from "../../core/formats/dicom/seg_object.ts";
import type { SourceImages } from "../../core/formats/dicom/source_images.ts";
import { type PlacedFrame, sourceOfFrames } from "../../core/formats/dicom/source_of_slices.ts";
import type { ImageGeometry } from "../../core/formats/image/image.ts";
import type { Vec3 } from "../../core/base/shape.ts";
import { assert, assertEquals } from "../assert.ts";

interface Case {
  readonly name: string;
  readonly files: readonly string[];
  readonly shape: Vec3;
  readonly names: readonly string[];
  readonly labels: string;
  readonly seg: string;
}
const here = new URL("./dicom_out/highdicom_seg.json", import.meta.url);
const { cases } = JSON.parse(Deno.readTextFileSync(here)) as { cases: readonly Case[] };
const bytes = (text: string) => Uint8Array.fromBase64(text);

async function read(file: string): Promise<DicomFile> {
  const found = await readDicomFile(file, "reading");
  assert(found);
  return found;
}

function vector(numbers: readonly number[]): Vec3 {
  return [numbers[0], numbers[1], numbers[2]];
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function normalOf({ rowDirection: r, columnDirection: c }: SourceImages): Vec3 {
  return [r[1] * c[2] - r[2] * c[1], r[2] * c[0] - r[0] * c[2], r[0] * c[1] - r[1] * c[0]];
}

/** The frames of all files, in the order of the files. */
async function framesOf(files: readonly string[]): Promise<PlacedFrame[]> {
  const frames: PlacedFrame[] = [];
  for (const file of files) {
    const { dataset } = await read(file);
    const groups = dataset.items("PerFrameFunctionalGroupsSequence");
    const places = groups.length > 0 ? groups.map((one) => one.items("PlanePositionSequence")[0]) : [dataset];
    const [sopClass = "", sopInstance = ""] = [dataset.text("SOPClassUID"), dataset.text("SOPInstanceUID")];
    places.forEach((place, frame) => {
      const position = vector(place.numbers("ImagePositionPatient"));
      frames.push({ file, sopClass, sopInstance, frame, frames: places.length, place: { position } });
    });
  }
  return frames;
}

function sitkGeometry(source: SourceImages, shape: Vec3): ImageGeometry {
  const { rowDirection, columnDirection, pixelSpacing: [rows, columns], slices } = source;
  const normal = normalOf(source);
  const between = dot(normal, slices[1].position) - dot(normal, slices[0].position);
  return {
    reader: "SimpleITKIO",
    spacing: [between, rows, columns],
    shape,
    sitk: {
      spacing: [columns, rows, between],
      origin: slices[0].position,
      direction: [0, 1, 2].flatMap((i) => [rowDirection[i], columnDirection[i], normal[i]]),
    },
  };
}

interface Written {
  readonly call: SegmentationToWrite;
  readonly data: Uint8Array;
  readonly seg: DicomFile;
  readonly structures: DicomFile;
  readonly theirs: DicomFile;
}

async function write(folder: string, { files, shape, labels, names, seg }: Case): Promise<Written> {
  const paths = files.map((_, i) => `${folder}/${i}.dcm`);
  files.forEach((content, i) => Deno.writeFileSync(paths[i], bytes(content)));
  Deno.writeFileSync(`${folder}/highdicom.dcm`, bytes(seg));
  const unsorted = await framesOf(paths);
  const normal = normalOf(await sourceOfFrames(unsorted));
  const along = ({ place: { position = [0, 0, 0] } }: PlacedFrame) => dot(normal, position);
  const source = await sourceOfFrames(unsorted.toSorted((a, b) => along(a) - along(b)));
  const data = bytes(labels);
  const call: SegmentationToWrite = {
    labels: labelsOnSource({ data, shape }, sitkGeometry(source, shape), source),
    source,
    segments: names.map((name, i) => ({
      label: i + 1,
      name,
      colour: [255, 0, 0],
      codes: codesOf(name) ?? UNKNOWN_CODES,
    })),
    maker: { model: "Dataset001_Things, 3d_fullres", version: "0.1.0" },
  };
  await writeDicomSegmentation(`${folder}/seg.dcm`, call);
  await writeStructureSet(`${folder}/rtstruct.dcm`, call);
  const [ours, structures, theirs] = await Promise.all(
    ["seg", "rtstruct", "highdicom"].map((name) => read(`${folder}/${name}.dcm`)),
  );
  return { call, data, seg: ours, structures, theirs };
}

async function withWritten(one: Case, check: (written: Written) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await check(await write(folder, one));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Frames by segment, place and source; the value is the frame's pixels. */
function pixelsByFrame({ file, dataset, pixels }: DicomFile): ReadonlyMap<string, string> {
  assert(pixels);
  const size = (dataset.number("Rows") ?? 0) * (dataset.number("Columns") ?? 0);
  const stored = Deno.readFileSync(file).subarray(pixels.offset, pixels.offset + (pixels.length ?? 0));
  return new Map(
    dataset.items("PerFrameFunctionalGroupsSequence").map((group, frame) => {
      const [place] = group.items("PlanePositionSequence");
      const [segment] = group.items("SegmentIdentificationSequence");
      const [source] = group.items("DerivationImageSequence")[0].items("SourceImageSequence");
      const key = [
        segment.number("ReferencedSegmentNumber"),
        ...place.numbers("ImagePositionPatient").map((value) => value.toFixed(3)),
        source.text("ReferencedSOPClassUID"),
        source.text("ReferencedSOPInstanceUID"),
        source.text("ReferencedFrameNumber"),
      ].join(" ");
      const bit = (i: number) => stored[i >> 3] >> (i & 7) & 1;
      return [key, Array.from({ length: size }, (_, i) => bit(frame * size + i)).join("")];
    }),
  );
}

/** What both objects have to say alike. */
const ALIKE = [
  ...keywords(
    "SOPClassUID",
    "Modality",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
  ),
  ...keywords("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"),
  ...keywords("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"),
  ...keywords(
    "PhotometricInterpretation",
    "PixelRepresentation",
    "SegmentationType",
    "LossyImageCompression",
    "ImageType",
  ),
];

function keywords(...names: readonly Keyword[]): readonly Keyword[] {
  return names;
}

function instancesOf(dataset: DicomDataset): string[] {
  return dataset.items("ReferencedSeriesSequence").flatMap((series) => [
    series.text("SeriesInstanceUID") ?? "",
    ...series.items("ReferencedInstanceSequence").map((one) => one.text("ReferencedSOPInstanceUID") ?? "").sort(),
  ]);
}

for (const one of cases) {
  Deno.test(`a DICOM segmentation of ${one.name} has highdicom's frames, pixels and references`, () =>
    withWritten(one, ({ seg, theirs }) => {
      const [ours, other] = [pixelsByFrame(seg), pixelsByFrame(theirs)];
      assertEquals([...ours.keys()].sort(), [...other.keys()].sort());
      for (const [key, pixels] of other) assertEquals(ours.get(key), pixels, key);
      for (const keyword of ALIKE) {
        assertEquals(seg.dataset.texts(keyword), theirs.dataset.texts(keyword), keyword);
        assertEquals(seg.dataset.numbers(keyword), theirs.dataset.numbers(keyword), keyword);
      }
      assertEquals(instancesOf(seg.dataset), instancesOf(theirs.dataset));
      const shared = [seg, theirs].map(({ dataset }) => dataset.items("SharedFunctionalGroupsSequence")[0]);
      const [measures, others] = shared.map((group) => group.items("PixelMeasuresSequence")[0]);
      assertEquals(measures.numbers("PixelSpacing"), others.numbers("PixelSpacing"));
      assertEquals(measures.numbers("SliceThickness"), others.numbers("SliceThickness"));
      const [orientation, theirOrientation] = shared.map((group) => group.items("PlaneOrientationSequence")[0]);
      assertEquals(orientation.numbers("ImageOrientationPatient"), theirOrientation.numbers("ImageOrientationPatient"));
    }));

  Deno.test(`the contours of ${one.name} hold each segment's pixels in the planes of their slices`, () =>
    withWritten(one, ({ call: { source }, data, structures: { dataset } }) => {
      const inside = new Uint8Array(data.length);
      const regions = dataset.items("StructureSetROISequence");
      assertEquals(regions.map((region) => region.text("ROIName")), [...one.names]);
      for (const item of dataset.items("ROIContourSequence")) {
        const label = item.number("ReferencedROINumber") ?? 0;
        for (const contour of item.items("ContourSequence")) fill(inside, label, contour, source);
      }
      assertEquals(inside, data);
    }));
}

/** Marks the pixels whose centres are in the contour. */
function fill(inside: Uint8Array, label: number, contour: DicomDataset, source: SourceImages): void {
  const { slices, rows, columns, rowDirection, columnDirection, pixelSpacing } = source;
  const [image] = contour.items("ContourImageSequence");
  const slice = slices.findIndex(({ sopInstance, frame }) =>
    sopInstance === image.text("ReferencedSOPInstanceUID") && frame === image.number("ReferencedFrameNumber")
  );
  const numbers = contour.numbers("ContourData");
  assertEquals(numbers.length, 3 * (contour.number("NumberOfContourPoints") ?? 0));
  const points: [number, number][] = [];
  for (let i = 0; i < numbers.length; i += 3) {
    const from = [0, 1, 2].map((axis) => numbers[i + axis] - slices[slice].position[axis]);
    assert(Math.abs(dot(from, normalOf(source))) < 1e-3, "in the plane of its slice");
    points.push([dot(from, rowDirection) / pixelSpacing[1], dot(from, columnDirection) / pixelSpacing[0]]);
  }
  for (let pixel = 0; pixel < rows * columns; pixel++) {
    const [x, y] = [pixel % columns, Math.floor(pixel / columns)];
    let odd = false;
    points.forEach(([xa, ya], i) => {
      const [xb, yb] = points[(i + 1) % points.length];
      if (ya > y !== yb > y && x < xa + (y - ya) / (yb - ya) * (xb - xa)) odd = !odd;
    });
    if (odd) inside[slice * rows * columns + pixel] = label;
  }
}

Deno.test("the same segmentation gives the same DICOM files, another one other UIDs", async () => {
  const [one] = cases;
  await withWritten(one, async ({ call, data, seg, structures }) => {
    for (const [written, writer] of [[seg, writeDicomSegmentation], [structures, writeStructureSet]] as const) {
      const again = `${written.file}.again.dcm`;
      await writer(again, call);
      assertEquals(Deno.readFileSync(again), Deno.readFileSync(written.file));
      const at = data.indexOf(1);
      data[at] = 0;
      await writer(again, call);
      data[at] = 1;
      const other = await read(again);
      for (const keyword of ["SOPInstanceUID", "SeriesInstanceUID"] as const) {
        assert(other.dataset.text(keyword) !== written.dataset.text(keyword));
      }
    }
  });
});

Deno.test("a segmentation without any segment is a valid object: one empty frame, no contours", () =>
  withWritten({ ...cases[0], labels: new Uint8Array(4 * 7 * 5).toBase64() }, ({ seg, structures }) => {
    assertEquals([...pixelsByFrame(seg).values()], ["0".repeat(35)]);
    assertEquals(seg.dataset.items("SegmentSequence").length, 1);
    assertEquals(structures.dataset.items("ROIContourSequence").length, 0);
  }));
