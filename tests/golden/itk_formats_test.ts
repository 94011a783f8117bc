/**
 * NRRD, MetaImage and GIPL against what nnU-Net's SimpleITKIO reads and writes with SimpleITK 2.5.7: files of every kind that its readers
 * know (NAME/make_NAME_cases.py makes them and says what it makes of each).
 */
import { gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { messageOf, UserError } from "../../core/base/errors.ts";
import { dirname, join } from "../../core/base/path.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { CaseImage, ReaderName } from "../../core/formats/image/image.ts";
import { probeImage, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { filesOfImage } from "../../core/formats/image/readers.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { agree, labelsFor, sha } from "./headers/cases.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { copyFolder, GOLDEN, namesIn, runCommand } from "./cli/run_command.ts";
import { ITK_FORMATS, itkCases, type ItkRead, type Sitk, unpackFiles } from "./itk_cases.ts";

/** Read upstream, and refused here, each for its reason. */
const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  nrrd: {
    sizes_fraction: "3.0 is no whole number",
    dimension_fraction: "3.0 is no whole number",
    ascii_fraction_in_int: "upstream cuts the fractions off",
    ascii_overflow: "upstream takes the numbers modulo 256",
    mins_nan_last: "an origin that is no number",
    "4d_time_first": "upstream takes z for the channels",
    "4d_mixed_axes": "the axis of channels has a direction in space",
    detached_outside: "the data file lies outside the header's folder",
    detached_back: "the data file's path goes upwards",
    kind_complex_last_float: "real and imaginary parts are not pairs",
  },
  mha: {
    type_MET_STRING: "no type of numbers",
    type_MET_FLOAT_MATRIX: "no type of numbers",
    zlib_sized_checksum: "a wrong checksum",
    ascii_fraction: "upstream cuts the fractions off",
    ascii_exponent_in_int: "numbers that are no integers",
    ascii_overflow: "upstream takes the numbers modulo 256",
    ascii_msb: "upstream turns the bytes of numbers that are written as text",
    offset_few: "upstream takes numbers that are missing for 0",
    offset_nan: "upstream takes nan for 0",
    "4d_mixed": "the axis of channels has a direction in space",
    sizes_zero: "upstream gives an image without voxels",
    ndims_fraction: "3.0 is no whole number",
    detached_outside: "the data file lies outside the header's folder",
  },
  gipl: {
    size_4_5_0_3: "upstream gives an image without voxels",
    size_4_0_5_1: "upstream gives an image without voxels",
    size_0_4_5_1: "upstream gives an image without voxels",
    spacing_nan: "a voxel size that is no number",
    spacing_inf: "a voxel size that is no number",
    origin_nan: "an origin that is no number",
    origin_inf: "an origin that is no number",
  },
};
const shorts = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, "MET_SHORT_little"]));

/**
 * Read as what they say, which is the image of another case: upstream refuses them for something that does not matter, or reads something
 * else (packed data behind a header without CompressedDataSize, large integers as text).
 */
const READ_ANYWAY: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  nrrd: {
    axis_units_with_directions: "int16_little",
    key_with_colon: "int16_little",
    ascii_tight_commas: "ascii_commas",
  },
  mha: {
    ...shorts(["zlib_no_size", "zlib_size_zero", "zlib_size_large", "zlib_no_size_garbage", "zlib_more", "gzip"]),
    ...shorts(["compressed_true", "compressed_TRUE", "compressed_1", "compressed_t", "compressed_Tomorrow"]),
    ...shorts(["cr", "named_MHA", "longer_line"]),
    packed_big: "MET_FLOAT_big",
    "4d_zlib": "4d",
    list_no_last_newline: "list",
    ascii_no_end: "MET_UCHAR_ascii",
    MET_LONG_LONG_ascii: "MET_LONG_LONG_little",
    MET_ULONG_LONG_ascii: "MET_ULONG_LONG_little",
  },
  gipl: { named_GIPL: "short" },
};

/** Vectors are taken for volumes: z for the channels. */
const isMistaken = ({ components }: ItkRead) => components !== undefined && components > 1;

/** All NaN are one. */
const hash = (data: Float32Array) => sha(Float32Array.from(data, (value) => Number.isNaN(value) ? NaN : value));

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs `check` on each case's file, and reports all that fail by name. */
async function forEachCase(
  format: string,
  check: (name: string, file: string, facts: ReturnType<typeof itkCases>[string]) => Promise<void>,
): Promise<void> {
  const failures: string[] = [];
  for (const [name, facts] of Object.entries(itkCases(format))) {
    await inFolder(async (folder) => {
      try {
        const files = unpackFiles(facts.files);
        for (const [path, bytes] of Object.entries(files)) {
          await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
          await Deno.writeFile(join(folder, path), bytes);
        }
        await check(name, join(folder, Object.keys(files)[0]), facts);
      } catch (error) {
        failures.push(`${name}: ${messageOf(error)}`);
      }
    });
  }
  assert(failures.length === 0, failures.join("\n"));
}

async function errorOf(reader: ReaderName, file: string): Promise<UserError> {
  try {
    await readCase(reader, [file]);
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("it was read");
}

function checkGeometry({ geometry: { sitk } }: CaseImage, expected: Sitk): void {
  const { spacing, origin, direction } = expected;
  // Upstream's 4-D images have a fourth spacing, origin and axis.
  const [all, n] = [spacing.length, Math.min(3, spacing.length)];
  const cut = direction.filter((_, i) => i % all < n && i < n * all);
  assert(sitk);
  assert(agree([...sitk.spacing], spacing.slice(0, n), 1e-15), `spacing ${sitk.spacing}, expected ${spacing}`);
  assert(agree([...sitk.origin], origin.slice(0, n), 1e-15), `origin ${sitk.origin}, expected ${origin}`);
  assert(agree([...sitk.direction], cut, 1e-15), `direction ${sitk.direction}, expected ${cut}`);
}

for (const format of ITK_FORMATS) {
  Deno.test(`SimpleITKIO reads ${Object.keys(itkCases(format)).length} files of ${format} as upstream does, or refuses them`, async () => {
    let count = 0;
    await forEachCase(format, async (name, file, facts) => {
      const refused = REFUSED[format]?.[name];
      const twin = READ_ANYWAY[format]?.[name];
      const read = twin ? itkCases(format)[twin].read : facts.read;
      if (refused) assert(!read.error, "listed as refused though read upstream, and refused there too");
      if (refused || isMistaken(read) || read.error) {
        const error = await errorOf("SimpleITKIO", file);
        assert(error.message.includes(dirname(file)) && error.parts.remedy, error.message);
        return;
      }
      const image = await readCase("SimpleITKIO", [file], { nonFinite: "asUpstream" });
      assertEquals([image.channels, ...image.geometry.shape], [...read.shape]);
      assertEquals(await hash(image.data), read.sha, `${image.data.slice(0, 4)}, not ${read.first}`);
      assert(agree([...image.geometry.spacing], read.spacing, 1e-15), `${image.geometry.spacing}, not ${read.spacing}`);
      checkGeometry(image, read.sitk);
      const probe = await probeImage("SimpleITKIO", file);
      assertEquals([probe.channels, probe.geometry], [image.channels, image.geometry]);
      if (!read.type.startsWith("complex")) assertEquals(probe.storedType, read.type);
      count++;
    });
    assert(count >= 60, `only ${count} files were read`);
  });

  Deno.test(`SimpleITKIO writes segmentations as ${format} with upstream's header and voxels`, () =>
    inFolder(async (folder) => {
      const target = join(folder, `written.${format}`);
      let count = 0;
      await forEachCase(format, async (name, file, { read }) => {
        if (read.error || typeof read.written !== "string" || isMistaken(read) || REFUSED[format]?.[name]) return;
        const { geometry } = await readCase("SimpleITKIO", [file]);
        const { shape } = geometry;
        await writeLabels("SimpleITKIO", target, { data: labelsFor(voxelCount(shape)), shape }, geometry);
        const [ours, theirs] = [await Deno.readFile(target), Uint8Array.fromBase64(read.written)];
        assertEquals(textOf(ours), textOf(theirs));
        assertEquals(dataOf(ours), dataOf(theirs));
        count++;
      });
      assert(count >= 45, `only ${count} files were written`);
    }));

  Deno.test(`SimpleITKIOWithReorient turns files of ${format} to RAS as DICOMOrient does, and back`, () =>
    inFolder(async (folder) => {
      const reader = "SimpleITKIOWithReorient";
      const target = join(folder, `written.${format}`);
      let count = 0;
      await forEachCase(format, async (name, file, { read, reoriented }) => {
        if (!reoriented) return;
        if (reoriented.error || REFUSED[format]?.[name]) {
          await errorOf(reader, file);
          return;
        }
        const image = await readCase(reader, [file]);
        assertEquals([1, ...image.geometry.shape], [...reoriented.shape]);
        assertEquals(await hash(image.data), reoriented.sha);
        checkGeometry(image, reoriented.sitk);
        assertEquals(image.geometry.sitk?.originalOrientation, reoriented.sitk.original_orientation);
        // Written from the turned array, it lies as the file does.
        const { shape } = image.geometry;
        const data = Uint16Array.from({ length: voxelCount(shape) }, (_, i) => i + 300);
        await writeLabels(reader, target, { data, shape }, image.geometry);
        // GIPL keeps no directions: an axis that a negative voxel size turns round is not turned on the way back.
        if (format === "gipl" && name === "spacing_negative") return;
        assertEquals([...(await readLabels(reader, target)).labels.data], [...data]);
        if (!read.error) {
          assertEquals((await readCase("SimpleITKIO", [target])).geometry.shape.join(), read.shape.slice(1).join());
        }
        count++;
      });
      assert(count >= 20, `only ${count} files were turned`);
    }));
}

/** An image as a file of each format, of float32; 3-D. */
const ENCODERS: Readonly<Record<string, (image: CaseImage) => Uint8Array>> = {
  nrrd: ({ data, geometry: { shape, sitk } }) => {
    assert(sitk);
    const { spacing, origin, direction } = sitk;
    const vectors = spacing.map((size, axis) =>
      `(${spacing.map((_, row) => size * direction[3 * row + axis]).join(",")})`
    );
    const lines = [
      ...["NRRD0004", "type: float", "dimension: 3", "space: LPS", `sizes: ${shape.toReversed().join(" ")}`],
      ...[`space directions: ${vectors.join(" ")}`, "kinds: domain domain domain", "endian: little", "encoding: gzip"],
      ...[`space origin: (${origin.join(",")})`, "", ""],
    ];
    return new Uint8Array([...new TextEncoder().encode(lines.join("\n")), ...gzipSync(new Uint8Array(data.buffer))]);
  },
  mha: ({ data, geometry: { shape, sitk } }) => {
    assert(sitk);
    const { spacing, origin, direction } = sitk;
    const lines = [
      ...["NDims = 3", `DimSize = ${shape.toReversed().join(" ")}`, `ElementSpacing = ${spacing.join(" ")}`],
      ...[`Offset = ${origin.join(" ")}`, "ElementType = MET_FLOAT"],
      `TransformMatrix = ${[0, 3, 6, 1, 4, 7, 2, 5, 8].map((i) => direction[i]).join(" ")}`,
      "ElementDataFile = LOCAL\n",
    ];
    return new Uint8Array([...new TextEncoder().encode(lines.join("\n")), ...new Uint8Array(data.buffer)]);
  },
  gipl: ({ data, geometry: { shape, sitk } }) => {
    assert(sitk);
    const bytes = new Uint8Array(256 + 4 * data.length);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < 3; i++) {
      view.setUint16(2 * i, shape[2 - i]);
      view.setFloat32(10 + 4 * i, sitk.spacing[i]);
      view.setFloat64(204 + 8 * i, sitk.origin[i]);
    }
    view.setUint16(8, 64);
    view.setUint32(252, 0xefffe9b0);
    data.forEach((value, i) => view.setFloat32(256 + 4 * i, value));
    return bytes;
  },
};

for (const format of ITK_FORMATS) {
  Deno.test(`predict takes images of ${format}, and writes such, as nnU-Net predicted from the same as NIfTI`, () =>
    inFolder(async (folder) => {
      const [model, images, output] = ["model", "images", "output"].map((part) => join(folder, part));
      // GIPL keeps no directions.
      const name = format === "gipl" ? "regions_ignore" : "transposed_sitk";
      await copyFolder(join(GOLDEN, "models", name), model);
      const json = JSON.parse(await Deno.readTextFile(join(model, "dataset.json")));
      await Deno.writeTextFile(join(model, "dataset.json"), JSON.stringify({ ...json, file_ending: `.${format}` }));
      await Deno.mkdir(images);
      for (const channel of ["0000", "0001"]) {
        const image = await readCase("SimpleITKIO", [
          join(GOLDEN, "images", name, `test_000_${channel}.nii.gz`),
        ]);
        await Deno.writeFile(join(images, `test_000_${channel}.${format}`), ENCODERS[format](image));
      }
      const { code, stderr } = await runCommand(
        ["nnUNetv2_predict_from_modelfolder", "-i", images, "-o", output, "-m", model, "-f", "0"],
      );
      assertEquals([code, stderr], [0, ""]);
      assert((await namesIn(output)).includes(`test_000.${format}`));
      const expected = join(GOLDEN, "expected", name, "test_000.nii.gz");
      await assertSameSegmentation("SimpleITKIO", join(output, `test_000.${format}`), expected);
    }));
}

Deno.test("all files of an image with detached data are known", () =>
  inFolder(async (folder) => {
    for (const name of ["detached_list", "detached_pattern", "detached_folder"]) {
      const files = unpackFiles(itkCases("nrrd")[name].files);
      for (const [path, bytes] of Object.entries(files)) {
        await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
        await Deno.writeFile(join(folder, path), bytes);
      }
      const known = await filesOfImage(join(folder, "a.nhdr"));
      assertEquals([...known].sort(), Object.keys(files).map((file) => join(folder, file)).sort());
    }
  }));

/** A written file's header; sizes of packed data depend on the packer. */
function textOf(bytes: Uint8Array): string {
  const end = endOfHeader(bytes);
  return new TextDecoder("latin1").decode(bytes.subarray(0, end)).replace(/(CompressedDataSize =) *\d+/, "$1");
}

function dataOf(bytes: Uint8Array): number[] {
  const data = bytes.subarray(endOfHeader(bytes));
  if (data[0] === 0x1f && data[1] === 0x8b) return [...gunzipSync(data)];
  return data[0] === 0x78 ? [...inflateSync(data)] : [...data];
}

function endOfHeader(bytes: Uint8Array): number {
  const text = new TextDecoder("latin1").decode(bytes);
  if (text.startsWith("NRRD")) return text.indexOf("\n\n") + 2;
  const local = "ElementDataFile = LOCAL\n";
  return text.includes(local) ? text.indexOf(local) + local.length : 256;
}
