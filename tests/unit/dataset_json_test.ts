import { UserError } from "../../core/base/errors.ts";
import { parseDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { targetsOf } from "../../core/evaluate/targets.ts";
import { assertEquals, assertFails } from "../assert.ts";

const GOOD = {
  channel_names: { "0": "CT" },
  labels: { background: 0, liver: 1, tumour: 2 },
  file_ending: ".nii.gz",
  numTraining: 3,
};

Deno.test("channels, labels and file ending are read, and the JSON is kept as it is", () => {
  const dataset = parseDatasetJson(GOOD, "dataset.json");
  assertEquals([dataset.channelNames, dataset.fileEnding], [["CT"], ".nii.gz"]);
  assertEquals(dataset.labels.names, new Map([[0, "background"], [1, "liver"], [2, "tumour"]]));
  assertEquals(dataset.json, GOOD);
});

Deno.test("labels written as texts are the numbers that Python's int makes of them", () => {
  const labels = { background: "0", liver: "1", tumour: " 2 " };
  assertEquals(parseDatasetJson({ ...GOOD, labels }, "x").labels, parseDatasetJson(GOOD, "x").labels);
  const regions = { background: 0, whole: ["1", "2"], core: "2" };
  const order = { regions_class_order: [1, 2] };
  const asNumbers = { background: 0, whole: [1, 2], core: 2 };
  const [found, expected] = [regions, asNumbers].map((labels) => parseDatasetJson({ ...GOOD, labels, ...order }, "x"));
  assertEquals(found.labels, expected.labels);
  assertEquals(targetsOf(found), targetsOf(expected));
});

Deno.test("regions keep the file's order, and the label written for each", () => {
  const labels = { background: 0, whole: [1, 2], core: [2], ignore: 3 };
  const { labels: found } = parseDatasetJson({ ...GOOD, labels, regions_class_order: [1, 2] }, "dataset.json");
  assertEquals(found.regions, [{ name: "whole", labels: [1, 2] }, { name: "core", labels: [2] }]);
  assertEquals([found.regionsClassOrder, found.headCount, found.ignoreLabel], [[1, 2], 2, 3]);
});

Deno.test("each missing or wrong field is named", async () => {
  const cases: readonly (readonly [object, ...string[]])[] = [
    [{ ...GOOD, channel_names: undefined }, "channel_names: is missing"],
    [{ ...GOOD, channel_names: {} }, "channel_names", "no channel"],
    [{ ...GOOD, channel_names: ["CT"] }, "channel_names: expected an object"],
    [{ ...GOOD, modality: { "0": "CT", "1": "PET" } }, "modality", "2 channels", "channel_names 1"],
    [{ ...GOOD, file_ending: undefined }, "file_ending: is missing"],
    [{ ...GOOD, labels: undefined }, "labels: is missing"],
    [{ ...GOOD, labels: { "0": "background", "1": "liver" } }, "labels", "nnU-Net v1"],
    [{ ...GOOD, labels: { liver: 1 } }, "labels.background: is missing"],
    [{ ...GOOD, labels: { background: 1, liver: 2 } }, "labels.background", "found 1"],
    [{ ...GOOD, labels: { background: 0, liver: "one" } }, "labels.liver", 'found "one"'],
    [{ ...GOOD, labels: { background: 0, liver: "1.0" } }, "labels.liver", "expected an integer", 'found "1.0"'],
    [{ ...GOOD, channel_names: { "0": ["CT"] } }, "channel_names.0", "expected a text", 'found ["CT"]'],
    [{ ...GOOD, channel_names: { CT: "0" } }, "channel_names: is written {name: number}", '{"0": "CT"}'],
    [{ ...GOOD, labels: { background: 0, liver: 1, ignore: "2" } }, "labels.ignore", "without quotes: 2"],
    [
      { ...GOOD, channel_names: { CT: 0 } },
      "channel_names: is written {name: number}",
      'round, {number: name}: {"0": "CT"}',
    ],
    [{ ...GOOD, labels: { background: 0, liver: 1.5 } }, "labels.liver", "1.5"],
    [{ ...GOOD, labels: { background: 0, liver: 2 } }, "consecutive", "1 is missing"],
    [{ ...GOOD, labels: { background: 0, liver: 1, ignore: 3 } }, "labels.ignore", "has to be 2"],
    [{ ...GOOD, labels: { background: 0, liver: 1, ignore: [2] } }, "labels.ignore", "one integer"],
    [{ ...GOOD, labels: { background: 0, liver: [1, 2] } }, "regions_class_order: is missing", "1 integers"],
    [
      { ...GOOD, labels: { background: 0, liver: [1, 2] }, regions_class_order: [1, 2] },
      "regions_class_order",
      "found 2",
    ],
    [
      { ...GOOD, labels: { background: 0, liver: [1, 70000] }, regions_class_order: [1] },
      "labels are 0 to 65535, found 70000",
    ],
    [{ ...GOOD, labels: { background: 0, liver: "99999999999999999999" } }, "labels are 0 to 65535"],
    [[], "expected an object {...}, found []"],
  ];
  for (const [json, ...parts] of cases) {
    await assertFails(() => parseDatasetJson(json, "dataset.json"), UserError, "dataset.json", ...parts);
  }
});
