/** The check of raw datasets: every mistake is found, named with case and file, and none hides another. */
import { UserError } from "../../core/base/errors.ts";
import { stringifyJson } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import { describeFinding, duplicateMembers, type Finding } from "../../core/dataset/integrity.ts";
import { analyseCase } from "../../core/preprocess/fingerprint_case.ts";
import { extractFingerprint, type FingerprintOptions } from "../../core/preprocess/fingerprint.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";
import { DATASET_JSON, IMAGE, LABEL, makeRawDataset, niftiBytes } from "./raw_dataset_fixture.ts";

const OPTIONS: FingerprintOptions = {
  clean: false,
  verify: true,
  allowGeometryMismatch: false,
  threads: 1,
  draws: 1e4,
};

/** A dataset with nothing wrong, damaged by `damage`, and what is then found. */
async function inDataset(
  damage: (folder: string) => Promise<void>,
  test: (raw: string, preprocessed: string) => Promise<void>,
): Promise<void> {
  await inTempFolder(async (folder) => {
    const raw = join(folder, "Dataset001_Tiny");
    await makeRawDataset(raw);
    await damage(raw);
    await test(raw, join(folder, "preprocessed"));
  });
}

const writeJson = (changes: Readonly<Record<string, unknown>>) => async (folder: string) => {
  await Deno.writeTextFile(join(folder, "dataset.json"), stringifyJson({ ...DATASET_JSON, ...changes }));
};
const writeLabel = (id: string, content: Partial<typeof LABEL>) => async (folder: string) => {
  await Deno.writeFile(join(folder, "labelsTr", `${id}.nii.gz`), niftiBytes({ ...LABEL, ...content }));
};
const writeImage = (id: string, content: Partial<typeof IMAGE>) => async (folder: string) => {
  await Deno.writeFile(join(folder, "imagesTr", `${id}_0000.nii.gz`), niftiBytes({ ...IMAGE, ...content }));
};
const truncate = (file: string) => async (folder: string) => {
  const path = join(folder, file);
  await Deno.writeFile(path, (await Deno.readFile(path)).slice(0, -20));
};
const remove = (file: string) => async (folder: string) => await Deno.remove(join(folder, file));

/** Mistake, how it is made, and for each finding its kind, case, and a part of what it says. */
const MISTAKES: readonly (readonly [
  string,
  (folder: string) => Promise<void>,
  ...(readonly [kind: string, caseId: string | undefined, text: string])[],
])[] = [
  ["labels that dataset.json does not have", writeLabel("b", { valueAt: (x) => (x > 4 ? 7 : 0) }), [
    "labels",
    "b",
    "labels that dataset.json does not have: 7",
  ]],
  ["a mask of 0 and 255", writeLabel("b", { valueAt: (x) => (x > 4 ? 255 : 0) }), ["labels", "b", "divide by 255"]],
  ["fractions in a segmentation", writeLabel("c", { valueAt: (x) => x / 2 }), [
    "labels",
    "c",
    "no whole numbers: 0.5, 1.5, 2.5, 3.5",
  ]],
  ["NaN in a segmentation", writeLabel("c", { valueAt: (x) => (x ? 0 : NaN) }), ["not finite", "c", "NaN"]],
  ["NaN in an image", writeImage("a", { valueAt: (x, y, z) => (x === 3 && y === 2 && z === 1 ? NaN : x) }), [
    "not finite",
    "a",
    "1 NaN or infinite voxel, the first (NaN) at (x 3, y 2, z 1) in channel 0",
  ]],
  ["another shape", writeLabel("a", { size: [8, 7, 5] }), [
    "shape",
    "a",
    "shape is 5 x 7 x 8 (z, y, x), the image's 6 x 7 x 8",
  ]],
  ["another origin", writeLabel("a", { origin: [0, 0, 4] }), ["geometry", "a", "up to 4.00 voxels away"]],
  ["another spacing", writeLabel("a", { spacing: [1, 1, 2] }), ["geometry", "a", "up to 5.00 voxels away"]],
  ["a truncated image", truncate("imagesTr/b_0000.nii.gz"), ["unreadable", "b", "cut short"]],
  ["a truncated segmentation", truncate("labelsTr/b.nii.gz"), ["unreadable", "b", "cut short"]],
  ["a truncated first image", truncate("imagesTr/a_0000.nii.gz"), ["unreadable", "a", "cut short"]],
  ["a segmentation that is missing", remove("labelsTr/c.nii.gz"), ["missing", "c", "no such file"]],
  ["wrong numTraining", writeJson({ numTraining: 4 }), ["numTraining", undefined, '"numTraining": 3']],
  ["missing numTraining", writeJson({ numTraining: undefined }), ["numTraining", undefined, '"numTraining": 3']],
  ["missing channel_names", writeJson({ channel_names: undefined }), [
    "dataset.json",
    undefined,
    "channel_names is missing",
  ]],
  ["modality only", writeJson({ channel_names: undefined, modality: { "0": "MR" } }), [
    "dataset.json",
    undefined,
    "rename `modality`",
  ]],
  ["missing labels", writeJson({ labels: undefined }), ["dataset.json", undefined, "labels is missing"]],
  [
    "a gap in the labels",
    writeJson({ labels: { background: 0, front: 1, back: 3 } }),
    [
      "labels",
      undefined,
      "not consecutive: 2 is missing",
    ],
    ["labels", "a", "does not have: 2"],
    ["labels", "b", "does not have: 2"],
    ["labels", "c", "does not have: 2"],
  ],
  ["labels turned round as in v1", writeJson({ labels: { "0": "background", "1": "front", "2": "back" } }), [
    "labels",
    undefined,
    '"labels": {"background": 0, "front": 1, "back": 2}',
  ]],
  ["an ignore label that is not the highest", writeJson({ labels: { background: 0, ignore: 1, back: 2 } }), [
    "labels",
    undefined,
    "not consecutive: 1 is missing",
  ], ["labels", undefined, '"ignore": 3']],
  ["no background", writeJson({ labels: { front: 1, back: 2 } }), ["labels", undefined, "background is missing"]],
  ["regions without an order", writeJson({ labels: { background: 0, whole: [1, 2], back: 2 } }), [
    "dataset.json",
    undefined,
    "regions_class_order: is missing",
  ]],
  [
    "more channels than files",
    writeJson({ channel_names: { "0": "T1", "1": "T2" } }),
    [
      "channels",
      "a",
      "1 channel in 1 file; needed: 2, one for each of channel_names in dataset.json; not there: a_0001.nii.gz",
    ],
    ["channels", "b", "1 channel"],
    ["channels", "c", "1 channel"],
  ],
  ["a channel number left out", async (folder) => {
    await Deno.rename(join(folder, "imagesTr/b_0000.nii.gz"), join(folder, "imagesTr/b_0001.nii.gz"));
  }, ["channels", "b", "its channels are 0001"]],
  [
    "a file without a channel number",
    async (folder) => {
      await Deno.rename(join(folder, "imagesTr/b_0000.nii.gz"), join(folder, "imagesTr/long_name.nii.gz"));
      await Deno.rename(join(folder, "labelsTr/b.nii.gz"), join(folder, "labelsTr/long_name.nii.gz"));
    },
    ["names", undefined, "long_name.nii.gz has no channel number; needed: long_name_0000.nii.gz"],
  ],
  ["all files without channel numbers", async (folder) => {
    for (const id of ["a", "b", "c"]) {
      await Deno.rename(join(folder, `imagesTr/${id}_0000.nii.gz`), join(folder, `imagesTr/${id}.nii.gz`));
    }
  }, ["names", undefined, "3 files have no channel number: a.nii.gz, b.nii.gz, c.nii.gz"]],
  ["no folder of segmentations", async (folder) => await Deno.remove(join(folder, "labelsTr"), { recursive: true }), [
    "no labels",
    undefined,
    "there is no such folder",
  ]],
  ["an ending without its dot", writeJson({ file_ending: "nii.gz" }), ["ending", undefined, 'needed: ".nii.gz"']],
  ["a label that is NaN", writeJson({ labels: { background: 0, front: 1, back: NaN } }), [
    "labels",
    undefined,
    "label back is NaN; needed: an integer from 0 on",
  ]],
  ["a label that is no number", writeJson({ labels: { background: 0, front: "one", back: 2 } }), [
    "labels",
    undefined,
    'label front is "one"; needed: an integer from 0 on',
  ]],
  ["channel names turned round", writeJson({ channel_names: { CT: 0 } }), [
    "dataset.json",
    undefined,
    'turn it round, {number: name}: {"0": "CT"}',
  ]],
  ["a list of channel names", writeJson({ channel_names: ["MR"] }), [
    "dataset.json",
    undefined,
    '"channel_names": {"0": "MR"}',
  ]],
  ["a case twice", async (folder) => {
    const entry = (id: string) => `{"images": ["imagesTr/${id}_0000.nii.gz"], "label": "labelsTr/${id}.nii.gz"}`;
    const dataset = `"a": ${entry("a")}, "b": ${entry("b")}, "a": ${entry("c")}`;
    const json = JSON.stringify({ ...DATASET_JSON, numTraining: 2 });
    await Deno.writeTextFile(join(folder, "dataset.json"), `${json.slice(0, -1)}, "dataset": {${dataset}}}`);
  }, ["duplicate", undefined, "has the case a more than once"]],
  [
    "listed files that are not there",
    writeJson({
      numTraining: 1,
      dataset: { a: { images: ["imagesTr/nowhere.nii.gz"], label: "labelsTr/a.nii.gz" } },
    }),
    ["missing", "a", "no such file"],
  ],
];

for (const [name, damage, ...expected] of MISTAKES) {
  Deno.test(`${name}: found, with what is there and what is needed`, async () => {
    await inDataset(damage, async (raw, preprocessed) => {
      const outcome = await extractFingerprint(raw, preprocessed, OPTIONS);
      assertEquals(outcome.state, "refused");
      const errors = outcome.findings.filter(({ severity }) => severity === "error");
      const said = errors.map(describeFinding);
      assertEquals(
        errors.map(({ kind, caseId }) => [kind, caseId]),
        expected.map(([kind, id]) => [kind, id]),
        said.join("\n"),
      );
      expected.forEach(([, , text], i) => assert(said[i].includes(text), `${said[i]}\nlacks ${text}`));
      assert(errors.every(({ file }) => file?.startsWith(raw)), "every finding names a file of the dataset");
      assertEquals(await namesIn(preprocessed), []);
    });
  });
}

Deno.test("all findings of a dataset come in one list, in the order of the cases, on one or several threads", async () => {
  const damage = async (folder: string) => {
    await truncate("imagesTr/a_0000.nii.gz")(folder);
    await writeLabel("b", { valueAt: () => 9, origin: [9, 0, 0] })(folder);
    await writeImage("c", { valueAt: () => Infinity })(folder);
    await writeJson({ numTraining: 5, labels: { background: 0, front: 1, back: 2, ignore: 7 } })(folder);
  };
  await inDataset(damage, async (raw, preprocessed) => {
    const lists: Finding[][] = [];
    for (const threads of [1, 3]) {
      const { findings } = await extractFingerprint(raw, preprocessed, { ...OPTIONS, threads });
      lists.push([...findings]);
    }
    assertEquals(lists[0].map(({ kind, caseId }) => `${kind} ${caseId ?? ""}`), [
      "numTraining ",
      "labels ",
      "unreadable a",
      "geometry b",
      "labels b",
      "not finite c",
    ]);
    assertEquals(lists[1], lists[0]);
  });
});

Deno.test("a case that there is no memory for is a finding of its own kind, a damaged one of another", async () => {
  await inDataset(truncate("labelsTr/b.nii.gz"), async (raw) => {
    const kinds: string[] = [];
    for (const [id, limit] of [["a", 1000], ["b", 1e9]] as const) {
      const { findings } = await analyseCase({
        index: 0,
        case: {
          id,
          images: [join(raw, "imagesTr", `${id}_0000.nii.gz`)],
          label: join(raw, "labelsTr", `${id}.nii.gz`),
        },
        reader: "SimpleITKIO",
        draws: 0,
        check: { allowGeometryMismatch: false },
        memory: { limit, taken: 0, isTheMachines: false },
      });
      kinds.push(...findings.map(({ kind }) => kind));
    }
    assertEquals(kinds, ["memory", "memory", "unreadable"]);
  });
});

Deno.test("one image in two cases, or as two channels, is worth a word and legal", async () => {
  const entry = (id: string) => ({ images: ["imagesTr/a_0000.nii.gz"], label: `labelsTr/${id}.nii.gz` });
  const raters = writeJson({ numTraining: 2, dataset: { a: entry("a"), b: entry("b") } });
  const twice = { images: ["imagesTr/a_0000.nii.gz", "imagesTr/a_0000.nii.gz"], label: "labelsTr/a.nii.gz" };
  const channels = writeJson({ numTraining: 1, channel_names: { "0": "MR", "1": "MR" }, dataset: { a: twice } });
  for (const [damage, id, text] of [[raters, "b", "a file of case a too"], [channels, "a", "listed twice"]] as const) {
    await inDataset(damage, async (raw, preprocessed) => {
      const { findings, state } = await extractFingerprint(raw, preprocessed, OPTIONS);
      assertEquals(findings.map(({ severity, kind, caseId }) => [severity, kind, caseId]), [[
        "warning",
        "duplicate",
        id,
      ]]);
      assert(findings[0].found.includes(text), findings[0].found);
      assertEquals(state, "written");
    });
  }
});

Deno.test("labels written as texts are labels", async () => {
  await inDataset(writeJson({ labels: { background: 0, front: "1", back: "2" } }), async (raw, preprocessed) => {
    const { findings, state } = await extractFingerprint(raw, preprocessed, OPTIONS);
    assertEquals([findings, state], [[], "written"]);
  });
});

Deno.test("grids up to a tenth of a voxel apart are the same, up to one voxel they give a warning", async () => {
  for (const [shift, count] of [[0.09, 0], [0.5, 1], [0.99, 1]]) {
    await inDataset(writeLabel("b", { origin: [shift, 0, 0] }), async (raw, preprocessed) => {
      const { findings, state, worstGeometry } = await extractFingerprint(raw, preprocessed, OPTIONS);
      assertEquals(state, "written");
      assertEquals(findings.map(({ severity, kind }) => `${severity} ${kind}`), Array(count).fill("warning geometry"));
      assertEquals(worstGeometry, undefined);
    });
  }
});

Deno.test("grids that are allowed to be apart give a warning, and the worst case is named", async () => {
  const damage = async (folder: string) => {
    await writeLabel("a", { origin: [3, 0, 0] })(folder);
    await writeLabel("b", { origin: [5, 0, 0] })(folder);
  };
  await inDataset(damage, async (raw, preprocessed) => {
    const outcome = await extractFingerprint(raw, preprocessed, { ...OPTIONS, allowGeometryMismatch: true });
    assertEquals(outcome.state, "written");
    assertEquals(outcome.findings.map(({ severity, caseId }) => `${severity} ${caseId}`), ["warning a", "warning b"]);
    assertEquals(outcome.worstGeometry?.case.id, "b");
    // What was allowed is not remembered for a check that does not allow it.
    assertEquals((await extractFingerprint(raw, preprocessed, OPTIONS)).findings.length, 2);
    assertEquals((await extractFingerprint(raw, preprocessed, OPTIONS)).state, "refused");
  });
});

Deno.test("a check is remembered until a file changes", async () => {
  await inDataset(writeLabel("b", { valueAt: () => 0 }), async (raw, preprocessed) => {
    const first = await extractFingerprint(raw, preprocessed, OPTIONS);
    assertEquals([first.state, first.check, first.findings.length], ["written", "done", 1]);
    const second = await extractFingerprint(raw, preprocessed, OPTIONS);
    assertEquals([second.state, second.check, second.findings], ["kept", "remembered", first.findings]);
    const path = join(raw, "labelsTr/c.nii.gz");
    await Deno.writeFile(path, niftiBytes({ ...LABEL, valueAt: () => 5 }));
    const third = await extractFingerprint(raw, preprocessed, OPTIONS);
    assertEquals([third.state, third.check], ["refused", "done"]);
    assertEquals(third.findings.map(({ caseId }) => caseId), ["b", "c"]);
  });
});

Deno.test("without a check a dataset that can be used is used", async () => {
  await inDataset(writeJson({ numTraining: 77 }), async (raw, preprocessed) => {
    const outcome = await extractFingerprint(raw, preprocessed, { ...OPTIONS, verify: false });
    assertEquals([outcome.state, outcome.check], ["written", "skipped"]);
    assertEquals(await namesIn(preprocessed), ["dataset_fingerprint.json"]);
  });
});

Deno.test("without a check a case that cannot be used ends the work, named", async () => {
  await inDataset(truncate("labelsTr/b.nii.gz"), async (raw, preprocessed) => {
    for (const threads of [1, 2]) {
      const options = { ...OPTIONS, verify: false, threads };
      await assertFails(() => extractFingerprint(raw, preprocessed, options), UserError, "cut short", "case b");
    }
    assertEquals(await namesIn(preprocessed), []);
  });
});

Deno.test("a dataset without foreground has no fingerprint, and says why", async () => {
  const damage = async (folder: string) => {
    for (const id of ["a", "b", "c"]) await writeLabel(id, { valueAt: () => 0 })(folder);
  };
  await inDataset(damage, async (raw, preprocessed) => {
    await assertFails(() => extractFingerprint(raw, preprocessed, OPTIONS), UserError, "no foreground voxel");
  });
});

Deno.test("folders that are empty or not there, and endings that no file has, are named", async () => {
  const cases: [(folder: string) => Promise<void>, string][] = [
    [async (folder) => await Deno.remove(folder, { recursive: true }), "there is no such folder"],
    [remove("dataset.json"), "there is no such file"],
    [writeJson({ file_ending: undefined }), "file_ending is missing"],
    [writeJson({ file_ending: ".mha" }), 'Write "file_ending": ".nii.gz" into dataset.json'],
    [async (folder) => await Deno.rename(join(folder, "imagesTr"), join(folder, "ImagesTr")), "Rename ImagesTr"],
    [async (folder) => {
      for (const id of ["a", "b", "c"]) await Deno.remove(join(folder, "imagesTr", `${id}_0000.nii.gz`));
    }, "the folder is empty"],
    [async (folder) => await Deno.remove(join(folder, "imagesTr"), { recursive: true }), "there is no such folder"],
    [async (folder) => await Deno.writeTextFile(join(folder, "dataset.json"), "{"), "not valid JSON"],
  ];
  for (const [damage, problem] of cases) {
    await inDataset(damage, async (raw, preprocessed) => {
      await assertFails(() => extractFingerprint(raw, preprocessed, OPTIONS), UserError, problem);
    });
  }
});

Deno.test("an ending that no reader takes is one of the findings", async () => {
  await inDataset(async (folder) => {
    for (const [part, suffix] of [["imagesTr", "_0000"], ["labelsTr", ""]]) {
      for (const id of ["a", "b", "c"]) {
        await Deno.rename(join(folder, part, `${id}${suffix}.nii.gz`), join(folder, part, `${id}${suffix}.jpg`));
      }
    }
    await writeJson({ file_ending: ".jpg", numTraining: 2 })(folder);
  }, async (raw, preprocessed) => {
    const { findings, state } = await extractFingerprint(raw, preprocessed, OPTIONS);
    assertEquals(state, "refused");
    assertEquals(findings.map(({ kind }) => kind), ["numTraining", "ending"]);
  });
});

Deno.test("a fingerprint that is kept is told apart from one of other images, and one that is damaged is refused", async () => {
  await inDataset(async () => {}, async (raw, preprocessed) => {
    await extractFingerprint(raw, preprocessed, OPTIONS);
    const warningsAfter = async (damage: (folder: string) => Promise<void>) => {
      await damage(raw);
      const warnings: string[] = [];
      const { state } = await extractFingerprint(raw, preprocessed, {
        ...OPTIONS,
        onWarning: (text) => warnings.push(text),
      });
      assertEquals(state, "kept");
      return warnings;
    };
    assertEquals(await warningsAfter(writeImage("a", { valueAt: (x) => 20 + x })), []);
    await writeLabel("a", { spacing: [1, 1, 2] })(raw);
    const [warning, ...others] = await warningsAfter(writeImage("a", { spacing: [1, 1, 2] }));
    assert(warning.includes("dataset_fingerprint.json is of other images") && others.length === 0, warning);
    await Deno.writeTextFile(join(preprocessed, "dataset_fingerprint.json"), "{");
    await remove("dataset.json")(raw);
    await writeJson({ description: "changed" })(raw);
    await assertFails(() => extractFingerprint(raw, preprocessed, OPTIONS), UserError, "--clean");
  });
});

Deno.test("keys that a JSON object has twice are found where they are asked for only", () => {
  const text =
    '{"a": {"x": 1, "x": 2}, "dataset": {"x\\"y": {"l": 1, "l": 2}, "b": [], "x\\"y": {}}, "dataset2": {"q": 1, "q": 2}}';
  assertEquals(duplicateMembers(text, "dataset"), ['x"y']);
});
