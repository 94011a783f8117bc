import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { checkOutputs, type ExpectedInput, listInputCases } from "../../core/dataset/input_cases.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const ONE: ExpectedInput = { fileEnding: ".nii.gz", channelNames: ["CT"], severalChannelsPerFile: () => false };
const TWO: ExpectedInput = { ...ONE, channelNames: ["T1", "T2"] };

/** Runs `test` with a folder of empty files of these names. */
async function inFolder(names: readonly string[], test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of names) await Deno.writeTextFile(join(folder, name), "");
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("cases of a folder come in the order of their names, channels in the order of their numbers", async () => {
  await inFolder(
    ["b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "a_0001.nii.gz", "B_0000.nii.gz", "B_0001.nii.gz"],
    async (folder) => {
      const { cases, failures, warnings } = await listInputCases(folder, TWO);
      assertEquals(cases.map(({ id }) => id), ["B", "a", "b"]);
      assertEquals(cases[2].files, [join(folder, "b_0000.nii.gz"), join(folder, "b_0001.nii.gz")]);
      assertEquals([failures.length, warnings.length], [0, 0]);
    },
  );
});

Deno.test("files of another ending beside the images don't matter", async () => {
  await inFolder(["a_0000.nii.gz", "notes.txt", "a_0000.nii"], async (folder) => {
    assertEquals((await listInputCases(folder, ONE)).cases.map(({ id }) => id), ["a"]);
  });
});

Deno.test("a case name may hold dots and underscores with digits", async () => {
  await inFolder(["x.1_0001_0000.nii.gz"], async (folder) => {
    assertEquals((await listInputCases(folder, ONE)).cases[0].id, "x.1_0001");
  });
});

Deno.test("a missing channel fails its case alone and names the file", async () => {
  await inFolder(["a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "c_0001.nii.gz"], async (folder) => {
    const { cases, failures } = await listInputCases(folder, TWO);
    assertEquals(cases.map(({ id }) => id), ["b"]);
    assertEquals(failures.map(({ parts }) => parts.caseId), ["a", "c"]);
    assert(failures[0].message.includes("a_0001.nii.gz (T2) is not there"), failures[0].message);
    assert(failures[1].message.includes("c_0000.nii.gz (T1) is not there"), failures[1].message);
  });
});

Deno.test("a surplus channel fails its case and says what the model has", async () => {
  await inFolder(["a_0000.nii.gz", "a_0001.nii.gz", "a_0003.nii.gz"], async (folder) => {
    const { cases, failures } = await listInputCases(folder, TWO);
    assertEquals(cases, []);
    assert(failures[0].message.includes("surplus channel: the model has 2 channels (0000 T1, 0001 T2)"));
    assert(failures[0].message.includes("a_0003.nii.gz"));
  });
});

Deno.test("one file may hold all channels where the reader can tell", async () => {
  await inFolder(["a_0000.nii.gz"], async (folder) => {
    const { cases, failures } = await listInputCases(folder, { ...TWO, severalChannelsPerFile: () => true });
    assertEquals([cases.length, failures.length], [1, 0]);
  });
});

Deno.test("a folder without a matching file says which endings are there", async () => {
  await inFolder(["a_0000.nii", "b_0000.nii", "readme.md"], async (folder) => {
    await assertFails(() => listInputCases(folder, ONE), UserError, folder, ".nii.gz", "2 files .nii", "1 file .md");
  });
  await inFolder([], async (folder) => {
    await assertFails(() => listInputCases(folder, ONE), UserError, "the folder is empty");
  });
});

Deno.test("a file without a channel number stands for the only channel, with a warning", async () => {
  await inFolder(["scan.nii.gz"], async (folder) => {
    for (const input of [folder, join(folder, "scan.nii.gz")]) {
      const { cases, warnings } = await listInputCases(input, ONE);
      assertEquals(cases, [{ id: "scan", files: [join(folder, "scan.nii.gz")] }]);
      assert(warnings[0].includes("scan.nii.gz has no channel number"), warnings[0]);
    }
  });
});

Deno.test("a file without a channel number is answered with the exact new name where there are several channels", async () => {
  await inFolder(["scan.nii.gz"], async (folder) => {
    const { failures } = await listInputCases(folder, TWO);
    assert(failures[0].message.includes("ename scan.nii.gz to scan_0000.nii.gz"), failures[0].message);
  });
});

Deno.test("two inputs for one output fail that case and leave the others", async () => {
  await inFolder(["a_0000.nii.gz", "a.nii.gz", "b_0000.nii.gz"], async (folder) => {
    const { cases, failures } = await listInputCases(folder, ONE);
    assertEquals(cases.map(({ id }) => id), ["b"]);
    assert(failures[0].message.includes("two inputs for one output: a.nii.gz and a_0000.nii.gz"), failures[0].message);
  });
});

Deno.test("hidden files are left out, and counted", async () => {
  await inFolder(["a_0000.nii.gz", "._a_0000.nii.gz"], async (folder) => {
    const { cases, warnings } = await listInputCases(folder, ONE);
    assertEquals(cases.length, 1);
    assert(warnings[0].startsWith("1 hidden file"), warnings[0]);
  });
});

Deno.test("files with commas are the channels of one case, in that order", async () => {
  await inFolder(["x_0000.nii.gz", "y.nii.gz", "x_0001.nii.gz"], async (folder) => {
    const [x0, x1, y] = ["x_0000.nii.gz", "x_0001.nii.gz", "y.nii.gz"].map((name) => join(folder, name));
    assertEquals((await listInputCases(`${x0},${y}`, TWO)).cases, [{ id: "x", files: [x0, y] }]);
    await assertFails(() => listInputCases(`${x1},${x0}`, TWO), UserError, "its name says channel 1", "channel order");
    await assertFails(() => listInputCases(`${x0},${x0}`, TWO), UserError, "named for two channels");
    await assertFails(() => listInputCases(x0, TWO), UserError, "1 file for a model of 2 channels (T1, T2)");
    await assertFails(() => listInputCases(`${x0},${folder}/none.nii.gz`, TWO), UserError, "there is no such file");
    await assertFails(() => listInputCases(`${x0},${folder}`, TWO), UserError, "it is a folder");
  });
});

Deno.test("a file of another ending is refused by name", async () => {
  await inFolder(["x.nii"], async (folder) => {
    await assertFails(() => listInputCases(join(folder, "x.nii"), ONE), UserError, "it ends with .nii", ".nii.gz");
  });
});

Deno.test("an output that would overwrite an input is refused", async () => {
  const cases = [{ id: "a", files: ["/data/a.nii.gz"] }];
  await assertFails(() => checkOutputs(cases, ["/data/../data/a.nii.gz"]), UserError, "overwrite an input image");
  checkOutputs(cases, ["/out/a.nii.gz"]);
});
