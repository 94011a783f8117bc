/** Statistics and surfaces of segmentations against numpy, SimpleITK and scikit-image (measure/make_measure_golden.py). */
import { fromFileUrl, join } from "../../core/base/path.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { type CaseMeasurement, type ClassMeasurement, measureCase } from "../../core/measure/measure_case.ts";
import type { MeshKind } from "../../core/measure/mesh/mesh_file.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "./cli/run_command.ts";
import { readMesh, surfaceProblems, volumeOf } from "./measure/read_mesh.ts";

const GOLDEN = fromFileUrl(new URL("./measure/", import.meta.url));

interface ExpectedClass {
  readonly labels: readonly number[];
  readonly voxels: number;
  readonly mm?: number;
  readonly low?: readonly number[];
  readonly high?: readonly number[];
  readonly centroid?: readonly number[];
  readonly centroidMm?: readonly number[];
  readonly lowMm?: readonly number[];
  readonly highMm?: readonly number[];
  readonly channels: readonly Readonly<Record<"excluded" | "mean" | "std" | "median" | "min" | "max", number>>[];
  readonly surface?: { readonly mm3: number; readonly triangles: number } | null;
}

interface ExpectedCase {
  readonly reader: ReaderName;
  readonly file?: string;
  readonly ending?: string;
  readonly channels: number;
  readonly classes: Readonly<Record<string, ExpectedClass>>;
}

async function golden(): Promise<[string, ExpectedCase][]> {
  return Object.entries(JSON.parse(await Deno.readTextFile(join(GOLDEN, "expected.json"))));
}

async function measure(name: string, one: ExpectedCase, mesh?: { kind: MeshKind; folder: string }) {
  const file = (suffix: string) => join(GOLDEN, "cases", `${one.file ?? name}${suffix}${one.ending ?? ".nii.gz"}`);
  const outcome = await measureCase({
    caseId: name,
    reader: one.reader,
    segmentation: file(""),
    images: Array.from({ length: one.channels }, (_, i) => file(`_000${i}`)),
    classes: Object.entries(one.classes).map(([key, { labels }]) => ({ key, name: key, labels })),
    ...(mesh && { mesh }),
  });
  if ("error" in outcome) throw new Error(outcome.error.problem);
  assertEquals(outcome.warnings, []);
  return outcome.measurement;
}

function assertNear(
  actual: readonly (number | undefined)[],
  expected: readonly number[],
  tolerance: number,
  what: string,
) {
  assertEquals(actual.length, expected.length, what);
  expected.forEach((value, i) => {
    const error = Math.abs((actual[i] ?? NaN) - value);
    assert(error <= tolerance * Math.max(1, Math.abs(value)), `${what}: ${actual}, expected ${expected}`);
  });
}

function assertAgrees(actual: ClassMeasurement, expected: ExpectedClass, { isPlane, turned }: Kind, what: string) {
  const { voxels, ml, box, boxMm, centroid, centroidMm, channels } = actual;
  assertEquals(voxels, expected.voxels, what);
  expected.channels.forEach((stats, i) => {
    const { excluded, values } = channels[i];
    assertEquals(excluded, stats.excluded, what);
    if (stats.mean === undefined) return assertEquals(values, undefined, what);
    assertEquals([values?.median, values?.min, values?.max], [stats.median, stats.min, stats.max], what);
    assertNear([values?.mean, values?.std], [stats.mean, stats.std], 1e-12, `${what}, channel ${i}`);
  });
  const { low, high, mm, lowMm, highMm } = expected;
  if (!low || !high || !expected.centroid) {
    return assertEquals([voxels, box, boxMm, centroid, centroidMm], [0, null, null, null, null], what);
  }
  if (isPlane) assertEquals(ml, null, what);
  else assertNear([ml ?? NaN], [(mm ?? NaN) / 1000], 1e-6, `${what}, ml`);
  const axes = low.length;
  if (!turned) {
    assertEquals([box?.low.slice(0, axes), box?.high.slice(0, axes)], [[...low], [...high]], what);
    assertNear(centroid?.slice(0, axes) ?? [], expected.centroid, 1e-5, `${what}, centroid`);
  }
  if (!expected.centroidMm) return assertEquals([centroidMm, boxMm], [null, null], what);
  assertNear(centroidMm?.slice(0, axes) ?? [], expected.centroidMm, 1e-5, `${what}, centroid in mm`);
  assertNear(boxMm?.low.slice(0, axes) ?? [], lowMm ?? [], 1e-5, `${what}, low corner in mm`);
  assertNear(boxMm?.high.slice(0, axes) ?? [], highMm ?? [], 1e-5, `${what}, high corner in mm`);
}

interface Kind {
  readonly isPlane: boolean;
  /** The array's axes are not those of the file, and positions in voxels are others. */
  readonly turned: boolean;
}

function kindOf(name: string, { reader, ending }: ExpectedCase): Kind {
  return { isPlane: name === "plane" || ending === ".png", turned: reader.endsWith("WithReorient") };
}

Deno.test("statistics of classes and regions are numpy's and SimpleITK's, for every reader, in planes and pictures", async () => {
  for (const [name, one] of await golden()) {
    const { classes, coordinates } = await measure(name, one);
    assertEquals(coordinates, one.ending === ".png" ? "none" : "LPS");
    assertEquals(classes.length, Object.keys(one.classes).length);
    for (const actual of classes) {
      assertAgrees(actual, one.classes[actual.key], kindOf(name, one), `${name}, ${actual.name}`);
    }
  }
});

Deno.test("surfaces are closed, seen from outside counterclockwise, and enclose what the statistics say", async () => {
  const volumes = new Map<string, (number | undefined)[]>();
  for (const [name, one] of await golden()) {
    if (kindOf(name, one).isPlane) continue;
    // Of many small ones one kind will do.
    for (const kind of name === "many" ? ["stl"] as const : ["stl", "obj"] as const) {
      await inTempFolder(async (folder) => {
        const { classes } = await measure(name, one, { kind, folder });
        volumes.set(name, classes.map(({ mesh }) => mesh?.ml));
        const there = classes.filter(({ voxels }) => voxels > 0).map((of) => `${of.name}.${kind}`);
        assertEquals(await namesIn(folder), there.sort());
        for (const of of classes) await assertSurface(of, one.classes[of.key], `${name}, ${of.name}.${kind}`);
      });
    }
  }
  // However an image is turned, its surfaces enclose the same.
  const [first, ...others] = [...volumes].filter(([name]) => name.startsWith("turned")).map(([, of]) => of);
  for (const of of others) {
    of.forEach((ml, i) => assertNear([ml ?? 0], [first[i] ?? 0], 1e-6, "a turned image's surfaces"));
  }
});

async function assertSurface({ mesh, ml, boxMm }: ClassMeasurement, { surface }: ExpectedClass, what: string) {
  if (!surface) return assertEquals(mesh, null, what);
  assert(mesh && ml !== null && boxMm, what);
  const triangles = await readMesh(mesh.file);
  assertEquals([triangles.length, mesh.triangles], [surface.triangles, surface.triangles], what);
  assertEquals(surfaceProblems(triangles), [], what);
  assertNear([volumeOf(triangles) / 1000], [mesh.ml], 1e-4, what);
  // The loops are scikit-image's; of the ways to cut them the one that encloses most is taken.
  const [least, most] = [surface.mm3 / 1000, Math.max(ml, surface.mm3 / 1000 * 1.07)];
  assert(mesh.ml >= least * (1 - 1e-4) && mesh.ml <= most, `${what}: ${mesh.ml} ml, ${least} to ${most} are expected`);
  for (const vertex of triangles.flat()) {
    vertex.forEach((value, axis) => {
      assert(
        value >= boxMm.low[axis] - 1e-3 && value <= boxMm.high[axis] + 1e-3,
        `${what}: a vertex outside of its box`,
      );
    });
  }
}

Deno.test("a ball's surface encloses its voxels to a thousandth", async () => {
  const [[name, one]] = (await golden()).filter(([name]) => name === "ball");
  await inTempFolder(async (folder) => {
    const { classes: [ball] }: CaseMeasurement = await measure(name, one, { kind: "stl", folder });
    assertNear([(ball.mesh?.ml ?? 0) / (ball.ml ?? 0)], [1], 1e-3, "surface and voxels");
  });
});

Deno.test("hundreds of classes can be asked of labels that are stored in a byte", async () => {
  const [[name, one]] = (await golden()).filter(([name]) => name === "lumps");
  const more = Array.from(
    { length: 300 },
    (_, i): [string, ExpectedClass] => [`more ${i}`, { ...one.classes[3], labels: [900 + i] }],
  );
  const { classes } = await measure(name, { ...one, classes: { ...Object.fromEntries(more), ...one.classes } });
  const known = classes.filter(({ key }) => key in one.classes);
  for (const actual of known) assertAgrees(actual, one.classes[actual.key], kindOf(name, one), actual.name);
  assertEquals([known.length, classes.filter(({ voxels }) => voxels === 0).length], [3, 301]);
});
