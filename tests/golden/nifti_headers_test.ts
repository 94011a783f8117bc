/**
 * Every header case of tests/golden/headers: what SimpleITK 2.5.7 and nibabel 5.4 behind nnU-Net 2.5.1 read from it and write for it
 * (expected.json, made by make_header_cases.py), against what is read and written here.
 */
import zlib from "node:zlib";
import { messageOf, UserError } from "../../core/base/errors.ts";
import type { CaseImage, ReaderName } from "../../core/formats/image/image.ts";
import { interpretAsNibabel } from "../../core/formats/image/nifti/nibabel_geometry.ts";
import { parseNiftiHeader } from "../../core/formats/image/nifti/header.ts";
import { readCase } from "../../core/formats/image/read_image.ts";
import { type HeaderProblem, interpretAsItk, type ItkImage } from "../../core/formats/image/nifti/sitk_geometry.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals } from "../assert.ts";
import {
  agree,
  HEADERS,
  labelsFor,
  NIFTI_READERS,
  type Nums,
  type Read,
  READ_ANYWAY,
  readExpected,
  REFUSED,
  sha,
  type Written,
} from "./headers/cases.ts";

const expected = readExpected();

for (const reader of NIFTI_READERS) {
  Deno.test(`${reader} reads ${Object.keys(expected.cases).length} headers as upstream does, or refuses them`, async () => {
    await forEachCase(async (name, facts) => {
      const file = HEADERS + facts.file;
      const read = facts[reader];
      if (REFUSED[name]?.[reader] || (read.error && !READ_ANYWAY[name]?.[reader])) {
        assert(
          !REFUSED[name]?.[reader] || !read.error,
          "listed as refused though read upstream, and refused there too",
        );
        const error = await errorOf(() => readCase(reader, [file]));
        assert(error.message.includes(file.replace(/\.(hdr|img)$/, "")) && error.parts.remedy, error.message);
        return;
      }
      const image = await readCase(reader, [file], { nonFinite: "asUpstream" });
      if (!read.error) await checkImage(image, read);
    });
  });

  Deno.test(`${reader} writes segmentations with the header fields and voxels that upstream writes`, async () => {
    const file = await Deno.makeTempFile({ suffix: ".nii.gz" });
    let count = 0;
    await forEachCase(async (name, facts) => {
      const read = facts[reader];
      const fixed = read.fixed && read.fixed !== "same file" ? read.fixed : undefined;
      const written = fixed ?? (read.written === "as base" ? expected.cases.base[reader].written : read.written);
      if (!written || written === "as base" || REFUSED[name]?.[reader]) return;
      const { geometry } = await readCase(reader, [HEADERS + facts.file]);
      const data = labelsFor(geometry.shape[0] * geometry.shape[1] * geometry.shape[2]);
      await writeLabels(reader, file, { data, shape: geometry.shape }, geometry);
      // A 4-D source is an assertion upstream; here the segmentation of its 3-D grid is written.
      if (written.error) assertEquals((await readCase(reader, [file])).geometry.sitk, geometry.sitk);
      else await checkWritten(file, written);
      count++;
    });
    await Deno.remove(file);
    assert(count > 100, `only ${count} cases were written`);
  });
}

/** The error a user would see. */
async function errorOf(call: () => Promise<unknown>): Promise<UserError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("it was read");
}

/** Runs a check on every case and reports all that fail by name. */
async function forEachCase(
  check: (name: string, facts: (typeof expected.cases)[string]) => Promise<void>,
): Promise<void> {
  const failures: string[] = [];
  for (const [name, facts] of Object.entries(expected.cases)) {
    try {
      await check(name, facts);
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
    }
  }
  assert(failures.length === 0, failures.join("\n"));
}

async function checkImage(image: CaseImage, read: Read): Promise<void> {
  assertEquals([image.channels, ...image.geometry.shape], [...read.shape]);
  assertEquals(
    await sha(new Float32Array(image.data)),
    read.sha,
    `values start ${image.data.slice(0, 4)}, not ${read.probe}`,
  );
  assert(
    agree([...image.geometry.spacing], read.spacing),
    `spacing ${image.geometry.spacing}, expected ${read.spacing}`,
  );
  if (read.sitk_stuff) {
    const { spacing, origin, direction } = read.sitk_stuff;
    // Upstream's 4-D images have a fourth spacing, origin and axis.
    const [all, n] = [spacing.length, Math.min(3, spacing.length)];
    const cut = direction.filter((_, i) => i % all < n && i < n * all);
    const { sitk } = image.geometry;
    assert(sitk);
    assertEquals(sitk.spacing, spacing.slice(0, n));
    assert(agree([...sitk.origin], origin.slice(0, n)), `origin ${sitk.origin}, expected ${origin}`);
    assert(agree([...sitk.direction], cut, 1e-15), `direction ${sitk.direction}, expected ${cut}`);
  }
  if (read.nibabel_stuff) {
    const { nibabel } = image.geometry;
    assert(nibabel);
    const { original_affine: original, reoriented_affine: reoriented } = read.nibabel_stuff;
    assert(agree(nibabel.originalAffine, original, 1e-15), `affine ${nibabel.originalAffine}, expected ${original}`);
    if (reoriented) {
      assert(
        agree(nibabel.reorientedAffine, reoriented, 1e-15),
        `reoriented ${nibabel.reorientedAffine}, not ${reoriented}`,
      );
    }
  }
}

async function checkWritten(file: string, written: Written): Promise<void> {
  const bytes = new Uint8Array(zlib.gunzipSync(await Deno.readFile(file)));
  const view = new DataView(bytes.buffer);
  const floats = (at: number, count: number) =>
    Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, true));
  const shorts = (at: number, count: number) =>
    Array.from({ length: count }, (_, i) => view.getInt16(at + 2 * i, true));
  const check = (what: string, actual: unknown, wanted: Nums, tolerance = 0) =>
    assert(agree(actual, wanted, tolerance), `${what} is ${actual}, expected ${wanted}`);
  check("dim", shorts(40, 1 + view.getInt16(40, true)), written.dim);
  check("datatype", view.getInt16(70, true), written.datatype);
  check("pixdim", floats(76, 8), written.pixdim);
  check("vox_offset", view.getFloat32(108, true), written.vox_offset);
  check("slope and intercept", floats(112, 2), written.slope_inter);
  check("units", bytes[123], written.xyzt_units);
  check("codes", shorts(252, 2), written.qcode_scode);
  check("offset", floats(268, 3), written.quatern_qoffset.slice(3));
  check("sform", floats(280, 12), written.srow);
  const quaternion = floats(256, 3);
  const wanted = written.quatern_qoffset.slice(0, 3);
  // Half a turn has two quaternions, and nibabel's (of code 0) comes from an eigenvector of either sign.
  const half = Math.abs(Math.hypot(...wanted) - 1) < 1e-6;
  const opposite = half && agree(quaternion.map((value) => -value), wanted, 1e-7);
  if (!opposite) check("quaternion", quaternion, wanted, 1e-7);
  assertEquals(await sha(bytes.slice(352)), written.sha_zyx);
}

Deno.test("headers are written byte for byte as by SimpleITK and nibabel, but for the sign of zeros", async () => {
  const headers: Record<string, Record<string, string>> = JSON.parse(
    await Deno.readTextFile(`${HEADERS}written_headers.json`),
  );
  const file = await Deno.makeTempFile({ suffix: ".nii.gz" });
  for (const [name, byReader] of Object.entries(headers)) {
    for (const [reader, hex] of Object.entries(byReader)) {
      const { geometry } = await readCase(reader as ReaderName, [HEADERS + expected.cases[name].file]);
      const data = labelsFor(geometry.shape[0] * geometry.shape[1] * geometry.shape[2]);
      await writeLabels(reader as ReaderName, file, { data, shape: geometry.shape }, geometry);
      const bytes = new Uint8Array(zlib.gunzipSync(await Deno.readFile(file)).subarray(0, 352));
      assertEquals(positiveZeros(bytes).toHex(), positiveZeros(Uint8Array.fromHex(hex)).toHex(), `${name}, ${reader}`);
    }
  }
  await Deno.remove(file);
});

/** A header whose floats of quaternion, offset and sform that are -0 are made 0. */
function positiveZeros(header: Uint8Array): Uint8Array {
  const view = new DataView(header.buffer, header.byteOffset);
  for (let at = 256; at < 328; at += 4) if (view.getFloat32(at, true) === 0) view.setFloat32(at, 0, true);
  return header;
}

Deno.test("NaN and infinite voxels are kept unless the reader's own treatment is asked for", async () => {
  for (const name of ["nonfinite_float32", "nonfinite_float64", "nonfinite_float32_scaled"]) {
    const { data } = await readCase("SimpleITKIO", [HEADERS + expected.cases[name].file]);
    assertEquals([data[3], data[17], data[40]], [NaN, Infinity, -Infinity]);
    assertEquals(data.filter((value) => !Number.isFinite(value)).length, 3);
  }
});

Deno.test("the form that wins is ITK's and nibabel's, for 25 pairs of codes and 7 disagreements", () => {
  for (const [kind, winners] of Object.entries(expected.grid)) {
    if (kind === "legend") continue;
    const bytes = Deno.readFileSync(`${HEADERS}grid/${kind}.nii`);
    for (const [codes, winner] of Object.entries(winners)) {
      const [itk, nibabel] = winner.split("/");
      assertEquals(itkWinner(bytes, Number(codes[1]), Number(codes[3])), itk, `${kind} ${codes}`);
      assertEquals(nibabelWinner(bytes, Number(codes[1]), Number(codes[3])), nibabel, `${kind} ${codes}`);
    }
  }
});

Deno.test("a form that differs by flips wins as in ITK, whose comparison sees some of them", () => {
  const bytes = Deno.readFileSync(`${HEADERS}grid/flip.nii`);
  let count = 0;
  for (const [kind, flips] of Object.entries(expected.flips)) {
    for (const [signs, flip] of Object.entries(flips)) {
      setFloats(bytes, 76, flip.pixdim_0_3);
      setFloats(bytes, 256, flip.quatern_qoffset);
      setFloats(bytes, 280, flip.srow);
      const both = itkWinner(bytes, 1, 2);
      assertEquals(
        flip.winner === "q+s" ? signs : both,
        flip.winner === "q+s" ? "+++" : flip.winner,
        `${kind} ${signs}`,
      );
      count++;
    }
  }
  assertEquals(count, 144);
});

Deno.test("an sform is taken up to ITK's tolerances and not beyond", () => {
  const bytes = Deno.readFileSync(`${HEADERS}grid/flip.nii`);
  const pixdim = [0.8, 0.9, 2.5];
  const place = (cosines: number[][], shift = 0) => {
    const offset = [-11.5 + shift, 7.25, 30];
    setFloats(bytes, 280, cosines.flatMap((row, i) => [...row.map((value, j) => value * pixdim[j]), offset[i]]));
    setFloats(bytes, 256, [0, 0, 1, -11.5, 7.25, 30]);
    setFloats(bytes, 76, [1, ...pixdim]);
  };
  const skewed = (e: number) => place([[-1, e, 0], [0, -1, 0], [0, 0, 1]]);
  const turned = (e: number) => place([[-Math.cos(e), Math.sin(e), 0], [-Math.sin(e), -Math.cos(e), 0], [0, 0, 1]]);
  // By bisection with SimpleITK: 1e-4 for skew and turn, 9.966e-5 mm for the offset.
  const tolerances: [string, (e: number) => void, number, number, number, string][] = [
    ["skew, no qform", skewed, 1e-4, 0, 1, "error"],
    ["skew, codes 1 and 1", skewed, 1e-4, 1, 1, "q"],
    ["turn, codes 1 and 2", turned, 1e-4, 1, 2, "q"],
    ["shift, codes 1 and 2", (e) => place([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], e), 9.966e-5, 1, 2, "q"],
  ];
  for (const [what, set, limit, q, s, beyond] of tolerances) {
    set(0.99 * limit);
    assertEquals(chosen(bytes, q, s), "s", what);
    set(1.01 * limit);
    assertEquals(chosen(bytes, q, s), beyond, what);
  }
});

/** Whether the sform's very numbers were taken. */
function chosen(bytes: Uint8Array, q: number, s: number): string {
  const image = asItk(bytes, q, s);
  if ("problem" in image) return "error";
  const view = new DataView(bytes.buffer);
  const row = [0, 1, 2, 3].map((i) => view.getFloat32(280 + 4 * i, true));
  const column = [view.getFloat32(284, true), view.getFloat32(300, true), view.getFloat32(316, true)];
  const same = image.geometry.origin[0] === -row[3] &&
    Math.abs(image.geometry.direction[1] + row[1] / Math.hypot(...column)) < 1e-8;
  return same ? "s" : "q";
}

function asItk(bytes: Uint8Array, q: number, s: number): ItkImage | HeaderProblem {
  return interpretAsItk(headerWith(bytes, q, s), "file");
}

function headerWith(bytes: Uint8Array, q: number, s: number) {
  const view = new DataView(bytes.buffer);
  view.setInt16(252, q, true);
  view.setInt16(254, s, true);
  const header = parseNiftiHeader(bytes);
  assert(header);
  return header;
}

function itkWinner(bytes: Uint8Array, q: number, s: number): string {
  const image = asItk(bytes, q, s);
  if ("problem" in image) return "error";
  const numbers = (other: ItkImage | HeaderProblem) =>
    "problem" in other ? [] : [...other.geometry.origin, ...other.geometry.direction];
  const own = numbers(image);
  if (agree(own, numbers(asItk(bytes, 1, 0)), 1e-5)) return "q";
  if (agree(own, numbers(asItk(bytes, 0, 1)), 1e-5)) return "s";
  return agree(own, [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]) ? "identity" : "other";
}

function nibabelWinner(bytes: Uint8Array, q: number, s: number): string {
  const affine = (qform: number, sform: number) => {
    const image = interpretAsNibabel(headerWith(bytes, qform, sform));
    return "problem" in image ? [] : image.affine.flat();
  };
  const own = affine(q, s);
  if (agree(own, affine(0, 1), 1e-5)) return "s";
  return agree(own, affine(1, 0), 1e-5) ? "q" : "base";
}

function setFloats(bytes: Uint8Array, at: number, values: readonly number[]): void {
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setFloat32(at + 4 * i, value, true));
}
