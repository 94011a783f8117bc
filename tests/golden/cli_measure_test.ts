/** `--statistics` and `--mesh` through the command line: of predictions, continued and shared ones too, and of segmentations that are there. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { copyFolder, GOLDEN, inTempFolder, interruptCommand, namesIn, runCommand } from "./cli/run_command.ts";
import { readMesh, surfaceProblems } from "./measure/read_mesh.ts";

const MODEL = join(GOLDEN, "models/regions_ignore");
const IMAGES = join(GOLDEN, "images/regions_ignore");
const CLASSES = ["whole", "core", "inner", "label 1", "label 2"];
const RECORDS = ".nnunet-measured";

interface Statistics {
  readonly cases: readonly { readonly case: string; readonly classes: readonly Record<string, unknown>[] }[];
  readonly missing: readonly string[];
}

async function read(file: string): Promise<Statistics> {
  return JSON.parse(await Deno.readTextFile(file));
}

/** Rows as objects; no field of these tests has a quote or a line's end in it but the regions'. */
async function readCsv(file: string): Promise<Record<string, string>[]> {
  const [head, ...rows] = (await Deno.readTextFile(file)).trimEnd().split("\n")
    .map((line) => [...line.matchAll(/"([^"]*)"(?:,|$)|([^,]*)(?:,|$)/g)].map(([, quoted, plain]) => quoted ?? plain));
  return rows.map((row) => Object.fromEntries(head.map((name, i) => [name, row[i]])));
}

function predicting(output: string, ...more: string[]): string[] {
  return ["predict_from_modelfolder", "-m", MODEL, "-i", IMAGES, "-o", output, "-f", "0", "--threads", "1", ...more];
}

Deno.test("predict writes statistics as JSON and CSV, a mesh a class, and what is kept lets a run go on", async () => {
  await inTempFolder(async (folder) => {
    const [output, file] = [join(folder, "out"), join(folder, "organs")];
    const first = await runCommand(predicting(output, "--statistics", file, "--mesh", "stl"));
    assertEquals([first.code, first.stderr], [0, ""]);
    assert(first.stdout.includes(`statistics of 2 cases: ${file}.json, ${file}.csv`), first.stdout);
    const { cases, missing } = await read(`${file}.json`);
    assertEquals([cases.map((one) => one.case), missing], [["test_000", "test_001"], []]);
    assertEquals(cases.map(({ classes }) => classes.map(({ name }) => name)), [CLASSES, CLASSES]);
    const rows = await readCsv(`${file}.csv`);
    assertEquals(
      rows.map((row) => [row.case, row.name]),
      cases.flatMap((one) => CLASSES.map((name) => [one.case, name])),
    );
    for (const [i, row] of rows.entries()) {
      const of = cases[Math.floor(i / CLASSES.length)].classes[i % CLASSES.length];
      assertEquals([row.label, Number(row.voxels), Number(row.ml)], [of.label, of.voxels, of.ml]);
      assertEquals(surfaceProblems(await readMesh(row.mesh_file)), [], row.mesh_file);
    }
    const all = join(output, "test_000_meshes");
    assertEquals(await namesIn(all), CLASSES.map((name) => `${name}.stl`).sort());

    // A case's numbers are measured again where they, a mesh or the segmentation are not what they were.
    const text = await Deno.readTextFile(`${file}.json`);
    await Deno.remove(join(output, RECORDS, "test_000.json"));
    await Deno.remove(join(output, "test_001_meshes", "core.stl"));
    const again = predicting(
      output,
      "--statistics",
      `${file}.json`,
      "--mesh",
      "stl",
      "--continue_prediction",
      "--log",
      "json",
    );
    const second = await runCommand(again);
    assertEquals([second.code, second.stderr], [0, ""]);
    assertEquals(measured(second.stdout), ["test_000", "test_001"]);
    assertEquals(await Deno.readTextFile(`${file}.json`), text);
    assert((await namesIn(join(output, "test_001_meshes"))).includes("core.stl"));
    assertEquals(measured((await runCommand(again)).stdout), []);
    assertEquals(await Deno.readTextFile(`${file}.json`), text);
  });
});

/** Cases that a log of events says were measured. */
function measured(stdout: string): string[] {
  return [...stdout.matchAll(/"case_measured","case":"(\w+)"/g)].map(([, id]) => id);
}

async function makeInput(folder: string): Promise<{ readonly ids: readonly string[]; readonly images: string }> {
  const ids = [..."abcdef"];
  const images = join(folder, "in");
  await Deno.mkdir(images);
  for (const id of ids) {
    for (const channel of ["0000", "0001"]) {
      await Deno.copyFile(join(IMAGES, `test_000_${channel}.nii.gz`), join(images, `${id}_${channel}.nii.gz`));
    }
  }
  return { ids, images };
}

Deno.test({
  name: "a run that is killed or stopped while it measures goes on where it was, and leaves nothing half-written",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const { ids, images } = await makeInput(folder);
      for (const signal of ["SIGKILL", "SIGINT"] as const) {
        const [output, file] = [join(folder, signal), join(folder, `${signal}.csv`)];
        const flags = ["--statistics", file, "--mesh", "stl", "--log", "json", "-i", images];
        const stopped = await interruptCommand(predicting(output, ...flags), '"case_measured"', signal);
        assert(stopped.code !== 0);
        assertEquals((await namesIn(folder)).includes(`${signal}.csv`), false);
        const first = measured(stopped.stdout);
        assert(first.length < ids.length, stopped.stdout);
        const again = await runCommand(predicting(output, ...flags, "--continue_prediction"));
        assertEquals([again.code, again.stderr], [0, ""]);
        const second = measured(again.stdout);
        // One may have been kept and not told.
        assertEquals(second.filter((id) => first.includes(id)), []);
        assert(second.length >= ids.length - first.length - 1, again.stdout);
        assertEquals((await readCsv(file)).map((row) => row.case), ids.flatMap((id) => CLASSES.map(() => id)));
        for (const name of [".", RECORDS, ...ids.map((id) => `${id}_meshes`)]) {
          const hidden = (await namesIn(join(output, name))).filter((one) => one.startsWith(".") && one !== RECORDS);
          assertEquals(hidden, [], name);
        }
      }
    }),
});

Deno.test("of processes that share cases, or have parts of them, each measures its own, and the last has all in the file", async () => {
  await inTempFolder(async (folder) => {
    const file = join(folder, "organs.json");
    const { ids, images } = await makeInput(folder);
    const run = (output: string, ...more: string[]) =>
      runCommand([...predicting(output, "--statistics", file, "--log", "json", ...more), "-i", images]);
    for (
      const parts of [[["--share"], ["--share"]], [0, 1].map((part) => ["-num_parts", "2", "-part_id", `${part}`])]
    ) {
      const output = join(folder, `out_${parts[0].length}`);
      const runs = await Promise.all(parts.map((flags) => run(output, ...flags)));
      assertEquals(runs.map(({ code, stderr }) => [code, stderr]), [[0, ""], [0, ""]]);
      const { cases, missing } = await read(file);
      assertEquals([cases.map((one) => one.case), missing], [ids, []]);
      assertEquals(runs.flatMap(({ stdout }) => measured(stdout)).sort(), ids);
      assertEquals(
        (await namesIn(join(output, RECORDS))).filter((name) => !name.startsWith(".")),
        ids.map((id) => `${id}.json`),
      );
      await Deno.remove(file);
    }
  });
});

Deno.test("a case that can't be measured is told, and the others are in the file; a class that is in no voxel has zeros", async () => {
  await inTempFolder(async (folder) => {
    const [output, images, file] = [join(folder, "out"), join(folder, "in"), join(folder, "organs.json")];
    assertEquals((await runCommand(predicting(output))).code, 0);
    await copyFolder(IMAGES, images);
    await Deno.truncate(join(images, "test_000_0001.nii.gz"), 5000);
    const report = join(folder, "report.json");
    const flags = ["--statistics", file, "--continue_prediction", "--report", report, "-i", images];
    const { code, stderr } = await runCommand(predicting(output, ...flags));
    assertEquals(code, 1, stderr);
    assert(/case test_000, .*test_000_0001\.nii\.gz\): /.test(stderr), stderr);
    assert(stderr.includes("1 segmentation could not be measured: test_000"), stderr);
    const { cases, missing } = await read(file);
    assertEquals([cases.map((one) => one.case), missing], [["test_001"], ["test_000"]]);
    const { outcome, failed } = JSON.parse(await Deno.readTextFile(report));
    assertEquals([outcome, failed.map(({ id }: { id: string }) => id)], ["some cases failed", ["test_000"]]);

    const meshes = join(folder, "meshes");
    const labels = ["-l", "3", "77", "--statistics", file, "--mesh", "obj", "-o", meshes];
    const { code: exit, stderr: said } = await runCommand(["measure", join(output, "test_001.nii.gz"), ...labels]);
    assertEquals([exit, said], [0, ""]);
    assertEquals(await namesIn(join(meshes, "test_001_meshes")), ["label 3.obj"]);
    const { cases: [{ classes: [, absent] }] } = await read(file);
    const { voxels, ml, box, centroidMm, channels, mesh } = absent;
    assertEquals([voxels, ml, box, centroidMm, channels, mesh], [0, 0, null, null, [], null]);
  });
});

Deno.test("measure gives for existing segmentations what predict does", async () => {
  await inTempFolder(async (folder) => {
    const [output, first, second] = [join(folder, "out"), join(folder, "first.csv"), join(folder, "second.csv")];
    assertEquals((await runCommand(predicting(output, "--statistics", first))).code, 0);
    const dataset = join(output, "dataset.json");
    const { code, stderr } = await runCommand([
      "measure",
      output,
      "-djfile",
      dataset,
      "-i",
      IMAGES,
      "--statistics",
      second,
    ]);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(await Deno.readTextFile(second), await Deno.readTextFile(first));
  });
});

Deno.test("statistics that can't be written, and meshes of pictures, are refused before anything is predicted", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "out");
    const refused = async (expected: string, ...more: string[]) => {
      const { code, stderr } = await runCommand(predicting(output, ...more));
      assert(code !== 0 && stderr.includes(expected), stderr);
      assertEquals(await namesIn(output), []);
    };
    await refused(`there is no folder ${join(folder, "gone")}`, "--statistics", join(folder, "gone", "organs.csv"));
    await refused("files of this name hold something else", "--statistics", join(folder, "dataset.json"));
    const image = join(folder, "image.csv");
    await Deno.copyFile(join(IMAGES, "test_000_0000.nii.gz"), image);
    await refused("the statistics would overwrite an input", "--statistics", image, "-i", image);
    const pictures = ["-m", join(GOLDEN, "models/rgb_png"), "-i", join(GOLDEN, "images/rgb_png")];
    await refused("NaturalImage2DIO reads pictures, and surfaces are of volumes", "--mesh", "stl", ...pictures);
    await refused(
      "it is the file of --report",
      "--report",
      join(folder, "a.json"),
      "--statistics",
      join(folder, "a.json"),
    );
  });
});
