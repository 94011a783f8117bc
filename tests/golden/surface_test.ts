/** Surface metrics against DeepMind's surface-distance and MONAI (surface/make_surface_golden.py). */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { evaluateFolder } from "../../core/evaluate/evaluate_folder.ts";
import type { SurfaceMetrics } from "../../core/evaluate/surface/surface_metrics.ts";
import { labelTarget, targetsOf } from "../../core/evaluate/targets.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./surface/", import.meta.url));

type Expected = Record<string, Record<string, { SurfaceDice: number[]; HD95: number; ASSD: number }>>;

interface Golden {
  readonly tolerances: readonly number[];
  readonly volumes: Expected;
  readonly regions: Expected;
  readonly pictures: Expected;
}

async function golden(): Promise<Golden> {
  const text = await Deno.readTextFile(join(GOLDEN, "expected.json"));
  const quoted = text.replaceAll(/: (NaN|Infinity)|(?<=\s)NaN(?=[,\s])/g, (found) => found.replace(/\w+/, '"$&"'));
  return JSON.parse(quoted, (_, value) => value === "NaN" ? NaN : value === "Infinity" ? Infinity : value);
}

function assertNear(actual: number, expected: number, what: string): void {
  const near = Object.is(actual, expected) || Math.abs(actual - expected) <= 1e-6 * Math.max(1, Math.abs(expected));
  assert(near, `${what}: ${actual}, ${expected} is expected`);
}

async function assertAgrees(name: "volumes" | "regions" | "pictures", tolerance: number, threads: number) {
  const expected = await golden();
  const dataset = name === "regions" ? await readDatasetJson(join(GOLDEN, name, "dataset.json")) : undefined;
  const keys = Object.keys(Object.values(expected[name])[0]);
  const { cases } = await evaluateFolder({
    references: join(GOLDEN, name, "references"),
    predictions: join(GOLDEN, name, "predictions"),
    fileEnding: name === "pictures" ? ".png" : ".nii.gz",
    reader: name === "pictures" ? "NaturalImage2DIO" : "SimpleITKIO",
    targets: dataset ? targetsOf(dataset) : keys.map((key) => labelTarget(Number(key))),
    ...(dataset && { ignoreLabel: dataset.labels.ignoreLabel }),
    chill: false,
    surface: { tolerance },
    threads,
  });
  assertEquals(cases.length, Object.keys(expected[name]).length);
  for (const { predictionFile, surfaces } of cases) {
    const id = predictionFile.replace(/^.*\//, "").replace(/\.(nii\.gz|png)$/, "");
    assertEquals([...surfaces?.keys() ?? []].sort(), keys.sort());
    for (const [key, metrics] of surfaces ?? []) {
      const { SurfaceDice, HD95, ASSD } = expected[name][id][key];
      const at = (metric: keyof SurfaceMetrics) => `${name}, ${id}, ${key}, ${metric} at ${tolerance} mm`;
      assertNear(metrics.SurfaceDice, SurfaceDice[expected.tolerances.indexOf(tolerance)], at("SurfaceDice"));
      assertNear(metrics.ASSD, ASSD, at("ASSD"));
      // Of what is in one only, MONAI's percentile is NaN where its mean is infinite.
      assertNear(metrics.HD95, ASSD === Infinity ? Infinity : HD95, at("HD95"));
    }
  }
}

Deno.test("surface Dice, HD95 and ASSD are those of surface-distance and MONAI: lumps, borders, single voxels, emptiness, anisotropy, planes", async () => {
  for (const tolerance of [0, 1, 2.5]) await assertAgrees("volumes", tolerance, 1);
});

Deno.test("surfaces of regions with an ignore label are those of the packages, on several threads", async () => {
  for (const tolerance of [0, 1, 2.5]) await assertAgrees("regions", tolerance, 2);
});

Deno.test("surfaces of pictures are contours", async () => {
  for (const tolerance of [0, 1, 2.5]) await assertAgrees("pictures", tolerance, 1);
});

Deno.test("--surface leaves summary.json as upstream's and writes surface.json; --csv has a line for each case and label", async () => {
  await inTempFolder(async (folder) => {
    const plain = join(folder, "plain.json");
    const output = join(folder, "summary.json");
    const csv = join(folder, "metrics.csv");
    const of = (file: string) => [
      "evaluate_folder",
      ...["references", "predictions"].map((side) => join(GOLDEN, "regions", side)),
      ...[
        "-djfile",
        join(GOLDEN, "regions", "dataset.json"),
        "-pfile",
        join(GOLDEN, "regions", "plans.json"),
        "-o",
        file,
      ],
    ];
    assertEquals((await runCommand(of(plain))).code, 0);
    const { code, stdout, stderr } = await runCommand([...of(output), "--surface", "--tolerance", "2.5", "--csv", csv]);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(await Deno.readTextFile(output), await Deno.readTextFile(plain));
    assert(/^surface Dice \(2.5 mm\) +cases +mean +std +median +worst +in case$/m.test(stdout), stdout);
    assert(/^\(2, 3\) core: mean Dice 0\.\d{4}$/m.test(stdout), stdout);

    const { regions } = await golden();
    const surface = JSON.parse(await Deno.readTextFile(join(folder, "surface.json")));
    assertEquals(surface.tolerance_mm, 2.5);
    const keys = ["(1, 2, 3)", "(2, 3)", "3"];
    for (const key of keys) {
      const expected = Object.values(regions).reduce((sum, one) => sum + one[key].SurfaceDice[2], 0) / 3;
      assertNear(surface.mean[key].SurfaceDice, expected, key);
      assertEquals(surface.mean[key].in_both, 3);
    }
    const lines = (await Deno.readTextFile(csv)).trimEnd().split("\n");
    assertEquals(lines.length, 1 + 3 * keys.length);
    assert(
      lines[0].startsWith("case,label,name,Dice,IoU,") && lines[0].includes(",SurfaceDice,HD95_mm,ASSD_mm,"),
      lines[0],
    );
    assert(lines[1].startsWith('case_0,"(1, 2, 3)",whole,0.'), lines[1]);

    assertEquals((await runCommand([...of(plain), "--tolerance", "2"])).code, 2);
    const nowhere = await runCommand([...of(plain), "--csv", join(folder, "none", "metrics.csv")]);
    assertEquals(nowhere.code, 1);
    assert(nowhere.stderr.includes(`(${join(folder, "none")}): there is no such folder`), nowhere.stderr);
    const input = await runCommand([...of(plain), "--surface", "-o", join(GOLDEN, "regions", "dataset.json")]);
    assert(input.code === 1 && input.stderr.includes("would overwrite"), input.stderr);
  });
});

Deno.test("statistics name the worst case, and what is in one of the two only is infinitely far", async () => {
  await inTempFolder(async (folder) => {
    const sides = ["references", "predictions"].map((side) => join(GOLDEN, "volumes", side));
    const args = ["evaluate_simple", ...sides, "-l", "1", "2", "3", "--surface", "-o", join(folder, "of.json")];
    const { code, stdout } = await runCommand([...args, "--log", "json"]);
    assertEquals(code, 0);
    const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    const [distance] = events.filter((one) => one.event === "statistics" && one.metric === "HD95" && one.label === "1");
    assertEquals([distance.count, distance.infinite, distance.worst, distance.worstCase], [13, 1, null, "in_one"]);
    assert((await Deno.readTextFile(join(folder, "of_surface.json"))).includes('"HD95": Infinity'));
  });
});
