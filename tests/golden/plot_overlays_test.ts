/** The command plot_overlay_pngs against nnU-Net 2.5.1's own pictures (overlays/make_overlays_golden.py). */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { chooseSlice, countSlices, overlaySlicePng, type SliceCounts } from "../../core/evaluate/plot_overlay.ts";
import { assert, assertEquals } from "../assert.ts";
import { decodePng } from "../decode_png.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./overlays/", import.meta.url));
const DATASETS = fromFileUrl(new URL("./preprocess_dataset/", import.meta.url));
const PREPROCESSED = join(DATASETS, "expected");

async function assertSamePictures(folder: string, expected: string): Promise<void> {
  const names = await namesIn(expected);
  assertEquals(await namesIn(folder), names);
  for (const name of names) {
    const [ours, theirs] = [
      decodePng(await Deno.readFile(join(folder, name))),
      decodePng(await Deno.readFile(join(expected, name))),
    ];
    assertEquals([ours.width, ours.height, ours.channels], [theirs.width, theirs.height, 4], name);
    assertEquals(ours.data, theirs.data, name);
  }
}

Deno.test("pictures of raw and of preprocessed cases are upstream's, pixel for pixel", async () => {
  const own = join(GOLDEN, "raw");
  const others = join(DATASETS, "raw");
  const calls: readonly (readonly [name: string, raw: string, args: string])[] = [
    ["labels", own, "-d 814 --use_raw"],
    ["labels_strong", own, "-d Dataset814_Labels --use_raw -overlay_intensity 1.7 -np 1"],
    ["thick_second", others, "-d 811 --use_raw -channel_idx 1"],
    ["pictures", others, "-d 813 --use_raw"],
    ["thick_preprocessed", others, "-d 811"],
    ["regions_2d", others, "-d 812 -c 2d -overlay_intensity 0.3 -p nnUNetPlans"],
    ["pictures_second", others, "-d 813 -channel_idx 1"],
  ];
  for (const [name, raw, args] of calls) {
    await inTempFolder(async (folder) => {
      const output = join(folder, "new", "pictures");
      const env = { nnUNet_raw: raw, nnUNet_preprocessed: PREPROCESSED };
      const { code, stderr } = await runCommand(["nnUNetv2_plot_overlay_pngs", "-o", output, ...args.split(" ")], {
        env,
      });
      assertEquals([code, stderr], [0, ""], name);
      await assertSamePictures(output, join(GOLDEN, "expected", name));
    });
  }
});

Deno.test("bricks and npz of the same cases give the same pictures", async () => {
  await inTempFolder(async (folder) => {
    for (const format of ["bricks", "npz"]) {
      const env = { nnUNet_raw: join(DATASETS, "raw"), nnUNet_preprocessed: join(folder, format) };
      await copyFolder(join(PREPROCESSED, "Dataset811_Thick"), join(folder, format, "Dataset811_Thick"));
      await Deno.remove(join(folder, format, "Dataset811_Thick", "nnUNetPlans_3d_fullres"), { recursive: true });
      const made = await runCommand(["preprocess", "-d", "811", "-c", "3d_fullres", "--format", format], { env });
      assertEquals(made.code, 0, made.stderr);
      const { code, stdout } = await runCommand(
        ["plot_overlay_pngs", "-d", "811", "-o", join(folder, `of ${format}`)],
        {
          env,
        },
      );
      assertEquals([code, stdout.trimEnd().split("\n").at(-1)], [0, `3 pictures: ${join(folder, `of ${format}`)}`]);
    }
    await assertSamePictures(join(folder, "of bricks"), join(folder, "of npz"));
  });
});

Deno.test("a case that can't be drawn is named, and the others are drawn", async () => {
  await inTempFolder(async (folder) => {
    const raw = join(folder, "raw", "Dataset814_Labels");
    await copyFolder(join(GOLDEN, "raw", "Dataset814_Labels"), raw);
    await Deno.remove(join(raw, "labelsTr", "full.nii.gz"));
    const env = { nnUNet_raw: join(folder, "raw") };
    const draw = (...args: readonly string[]) =>
      runCommand(["plot_overlay_pngs", "-d", "814", "--use_raw", ...args], { env });
    const { code, stdout, stderr } = await draw("-o", join(folder, "pictures"), "--log", "json");
    assertEquals(code, 1);
    assert(stderr.includes("full") && stderr.includes(join(raw, "labelsTr", "full.nii.gz")), stderr);
    assertEquals(await namesIn(join(folder, "pictures")), ["blocks.png", "none.png", "tied.png"]);
    const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(events.filter(({ event }) => event === "case_failed").map((event) => event.case), ["full"]);
    assertEquals(events.at(-1).code, 1);

    const channel = await draw("-o", join(folder, "second"), "-channel_idx", "1");
    assertEquals(channel.code, 1);
    assert(channel.stderr.includes("there is no channel 1"), channel.stderr);
  });
});

Deno.test("what plot_overlay_pngs cannot start with is said with what to do", async () => {
  await inTempFolder(async (folder) => {
    const env = { nnUNet_raw: join(DATASETS, "raw"), nnUNet_preprocessed: PREPROCESSED };
    const fails = async (args: string, variables: Record<string, string>, exit: number, ...parts: string[]) => {
      const { code, stderr } = await runCommand(["plot_overlay_pngs", ...args.split(" ")], { env: variables });
      assertEquals(code, exit, stderr);
      for (const part of parts) assert(stderr.includes(part), stderr);
    };
    await fails(`-d 811 -o ${folder}`, {}, 1, "nnUNet_preprocessed is not set");
    await fails(`-d 811 -o ${folder} -c 3d_lowres`, env, 1, "3d_lowres", "3d_fullres");
    await fails(`-d 811 -o ${folder} -p Other`, env, 1, "Other.json");
    await fails(`-d 811 -o ${folder} -overlay_intensity -1`, env, 2, "-overlay_intensity");
    await fails(`-d 811`, env, 2, "-o");
    const labels = join(folder, "Dataset813_Pictures", "labelsTr");
    await copyFolder(join(DATASETS, "raw", "Dataset813_Pictures"), join(folder, "Dataset813_Pictures"));
    await fails(`-d 813 -o ${labels} --use_raw`, { nnUNet_raw: folder }, 1, "would overwrite an input", "p0.png");
  });
});

Deno.test("more than 15 labels, where upstream fails, take the colours again from the second on", () => {
  const labels = Uint8Array.from({ length: 32 }, (_, i) => i);
  const { data } = decodePng(overlaySlicePng(new Float32Array(32), labels, 8, 4, 1));
  const pixel = (i: number) => [...data.subarray(4 * i, 4 * i + 4)];
  assertEquals(pixel(0), [0, 0, 0, 255]);
  for (const label of [1, 2, 14]) assertEquals(pixel(label + 14), pixel(label));
  assert(pixel(15).some((value, i) => i < 3 && value > 0));
  assertEquals(pixel(31), pixel(3));
});

Deno.test("a slice is chosen by the labels of all its slabs", () => {
  const labels = [0, 0, 1, 0, 1, 1, 2, 0];
  const whole: SliceCounts = new Map();
  countSlices(whole, labels, 2, 0, 4);
  const slabs: SliceCounts = new Map();
  for (const first of [0, 2]) countSlices(slabs, labels.slice(2 * first, 2 * first + 4), 2, first, 4);
  assertEquals(slabs, whole);
  // Label 2, whole in the last slice, counts for half: upstream divides by the sum of the shares before it as well.
  assertEquals(chooseSlice(slabs, 4), 2);
  assertEquals(chooseSlice(new Map(), 4), 0);
});
