/** Folders of preprocessed data: only what preprocessing has made is ever replaced or removed, and by one run at a time. */
import { UserError } from "../../core/base/errors.ts";
import { takeLock } from "../../core/base/folder_lock.ts";
import { machineMark } from "../../core/base/machine.ts";
import { join } from "../../core/base/path.ts";
import {
  countDone,
  type DataFolderOptions,
  isComplete,
  openDataFolder,
} from "../../core/preprocess/preprocess_dataset_folder.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const NAME = "nnUNetPlans_2d";
const OPTIONS: DataFolderOptions = { setting: "s", inputs: new Map([["a", [["/raw/a", 1, 2]]]]), redo: false };

/** Preprocesses the case a, whose data are `text`. */
async function make(parent: string, text = "new", options = OPTIONS): Promise<void> {
  using folder = await openDataFolder(parent, NAME, options);
  await Deno.writeTextFile(join(folder.work, "a.bricks"), text);
  folder.record("a", [["a.bricks", text.length]]);
  await folder.finish();
}

async function fill(folder: string, names: readonly string[]): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const name of names) await Deno.writeTextFile(join(folder, name), "kept");
}

Deno.test("a folder that preprocessing has made is replaced, and so is one of Python's nnU-Net", async () => {
  const python = ["a.npz", "a.pkl", "a.npy", "a_seg.npy", "b.npz", "b.pkl", ".DS_Store"];
  for (const before of [python, ["a.b2nd", "a_seg.b2nd", "a.pkl"], []]) {
    await inTempFolder(async (parent) => {
      await fill(join(parent, NAME), before);
      await make(parent);
      assertEquals(await namesIn(join(parent, NAME)), ["a.bricks", "preprocessed.jsonl"]);
      await make(parent, "newer", { ...OPTIONS, redo: true });
      assertEquals(await Deno.readTextFile(join(parent, NAME, "a.bricks")), "newer");
      assertEquals(await namesIn(parent), [NAME]);
    });
  }
});

Deno.test("data that Python trains from have their record in a folder, as it takes their format from all files' endings", async () => {
  const endings = [".b2nd", "_seg.b2nd", ".pkl"];
  const makePython = async (parent: string, text: string, options = OPTIONS) => {
    using folder = await openDataFolder(parent, NAME, options);
    for (const ending of endings) await Deno.writeTextFile(join(folder.work, `a${ending}`), text);
    folder.record("a", endings.map((ending) => [`a${ending}`, text.length]));
    await folder.finish();
  };
  await inTempFolder(async (parent) => {
    const path = join(parent, NAME);
    await makePython(parent, "new");
    assertEquals(await namesIn(path), [".preprocessed", "a.b2nd", "a.pkl", "a_seg.b2nd"]);
    assert(isComplete(path, OPTIONS));
    assertEquals(countDone(parent, NAME, OPTIONS), 1);
    // Killed between the record's move and the folder's: all is there, and is used.
    await Deno.rename(path, join(parent, `.${NAME}.partial`));
    {
      using folder = await openDataFolder(parent, NAME, OPTIONS);
      assertEquals([...folder.done], ["a"]);
      assertEquals(await namesIn(folder.work), ["a.b2nd", "a.pkl", "a_seg.b2nd", "preprocessed.jsonl"]);
      await folder.finish();
    }
    assertEquals(await namesIn(path), [".preprocessed", "a.b2nd", "a.pkl", "a_seg.b2nd"]);
    await makePython(parent, "newer", { ...OPTIONS, redo: true });
    assertEquals(await Deno.readTextFile(join(path, "a.pkl")), "newer");
    assertEquals(await namesIn(parent), [NAME]);
    await Deno.writeTextFile(join(path, ".preprocessed", "notes.txt"), "kept");
    await assertFails(() => make(parent), UserError, ".preprocessed", "neither replaced nor removed");
    await Deno.remove(join(path, ".preprocessed", "notes.txt"));
    await make(parent, "new", { ...OPTIONS, setting: "other" });
    assertEquals(await namesIn(path), ["a.bricks", "preprocessed.jsonl"]);
  });
});

Deno.test("a folder with anything else in it is refused before the work, and stays as it is", async () => {
  const foreign = [
    ["a.npz", "a.pkl", "notes.txt"],
    ["thesis.npz"],
    ["measured.npy", "other.pkl"],
    ["image.nii.gz"],
    ["preprocessed.jsonl", "a.bricks", "notes.txt"],
  ];
  for (const names of foreign) {
    for (const folder of [NAME, `.${NAME}.partial`, `.${NAME}.replaced`]) {
      await inTempFolder(async (parent) => {
        await fill(join(parent, folder), names);
        const odd = names.find((name) => !["a.npz", "a.pkl", "preprocessed.jsonl", "a.bricks"].includes(name)) ?? "";
        await assertFails(() => make(parent), UserError, odd, "neither replaced nor removed", "data_identifier");
        assertEquals(await namesIn(join(parent, folder)), [...names].sort());
        assertEquals(await namesIn(parent), [folder]);
      });
    }
  }
  await inTempFolder(async (parent) => {
    await fill(join(parent, NAME, "a.npz"), ["inside"]);
    await fill(join(parent, NAME), ["a.pkl"]);
    await assertFails(() => make(parent), UserError, "a.npz");
    assertEquals(await namesIn(join(parent, NAME, "a.npz")), ["inside"]);
  });
});

Deno.test({
  name: "a folder that may not be written to is refused before the work, and stays; complete, it is used",
  // An administrator may write anywhere.
  ignore: Deno.build.os === "windows" || Deno.uid() === 0,
  fn: () =>
    inTempFolder(async (parent) => {
      await make(parent);
      const path = join(parent, NAME);
      await Deno.chmod(path, 0o555);
      try {
        const redo = { ...OPTIONS, redo: true };
        await assertFails(() => make(parent, "newer", redo), UserError, path, "may not be written to", "chmod u+w");
        assertEquals(await namesIn(parent), [NAME]);
        assertEquals(await Deno.readTextFile(join(path, "a.bricks")), "new");
        using folder = await openDataFolder(parent, NAME, OPTIONS);
        assert(folder.complete);
      } finally {
        await Deno.chmod(path, 0o755);
      }
      await make(parent, "newer", { ...OPTIONS, redo: true });
      assertEquals(await Deno.readTextFile(join(path, "a.bricks")), "newer");
    }),
});

Deno.test("a file that a user puts into the folder while it is made stays, and the new data are kept", () =>
  inTempFolder(async (parent) => {
    await make(parent);
    {
      using folder = await openDataFolder(parent, NAME, { ...OPTIONS, redo: true });
      await Deno.writeTextFile(join(folder.work, "a.bricks"), "newer");
      folder.record("a", [["a.bricks", 5]]);
      await Deno.writeTextFile(join(parent, NAME, "notes.txt"), "kept");
      await assertFails(() => folder.finish(), UserError, "notes.txt");
    }
    assertEquals(await namesIn(join(parent, NAME)), ["a.bricks", "notes.txt", "preprocessed.jsonl"]);
    await Deno.remove(join(parent, NAME, "notes.txt"));
    using folder = await openDataFolder(parent, NAME, { ...OPTIONS, setting: "other" });
    assert(!folder.complete);
  }));

Deno.test("a file of the folder's name is refused; of a link to a folder only the link is replaced", async () => {
  await inTempFolder(async (parent) => {
    await Deno.writeTextFile(join(parent, NAME), "kept");
    await assertFails(() => make(parent), UserError, "a file has that name", "data_identifier");
    assertEquals(await Deno.readTextFile(join(parent, NAME)), "kept");
  });
  await inTempFolder(async (parent) => {
    const elsewhere = join(parent, "elsewhere");
    await fill(elsewhere, ["notes.txt", "a.npz"]);
    await Deno.mkdir(join(parent, "data"));
    await Deno.symlink(elsewhere, join(parent, "data", NAME));
    await make(join(parent, "data"));
    assertEquals(await namesIn(elsewhere), ["a.npz", "notes.txt"]);
    assertEquals(await namesIn(join(parent, "data", NAME)), ["a.bricks", "preprocessed.jsonl"]);
  });
});

Deno.test("a record whose file names are paths, or whose lines are of another form, is not trusted", () =>
  inTempFolder(async (parent) => {
    const secret = join(parent, "secret");
    await Deno.writeTextFile(secret, "kept");
    const inputs = OPTIONS.inputs.get("a");
    const lines = [
      { id: "a", inputs, files: [["../secret", 4]] },
      { id: "a", inputs, files: [["", 4096]] },
      { id: "../a", inputs, files: [] },
      { id: "a", inputs },
      null,
      5,
      { id: "a", inputs, files: [["a.bricks"]] },
      { id: "a", inputs, files: "a.bricks" },
    ];
    for (const line of lines) {
      await fill(join(parent, NAME), ["a.bricks"]);
      const text = [{ setting: "s" }, line].map((one) => JSON.stringify(one)).join("\n");
      await Deno.writeTextFile(join(parent, NAME, "preprocessed.jsonl"), text);
      using folder = await openDataFolder(parent, NAME, OPTIONS);
      assertEquals([folder.complete, folder.done.size], [false, 0], JSON.stringify(line));
      assertEquals(await namesIn(folder.work), ["preprocessed.jsonl"]);
    }
    assertEquals(await Deno.readTextFile(secret), "kept");
  }));

Deno.test("two runs on the same data: the second is told, and can start when the first has ended", () =>
  inTempFolder(async (parent) => {
    {
      using _first = await openDataFolder(parent, NAME, OPTIONS);
      await assertFails(() => make(parent), UserError, "another run is preprocessing these data", "Wait until it ends");
      using _other = await openDataFolder(parent, "nnUNetPlans_3d_fullres", OPTIONS);
    }
    await make(parent);
    assertEquals(await namesIn(parent), [".nnUNetPlans_3d_fullres.partial", NAME]);
  }));

Deno.test("a lock that a killed process has left is taken, and its file goes with the next run", () =>
  inTempFolder(async (folder) => {
    const path = join(folder, ".lock");
    await Deno.writeTextFile(path, "");
    const lock = takeLock(path, { doing: "testing", problem: "taken" });
    await assertFails(() => takeLock(path, { doing: "testing", problem: "taken" }), UserError, "taken", path);
    lock[Symbol.dispose]();
    assertEquals(await namesIn(folder), []);
  }));

/** What a process of another machine writes into its lock. */
function beatOfAnother(path: string, use: "alone" | "shared", secondsAgo: number): void {
  const mark = machineMark() === "00000000" ? "00000001" : "00000000";
  Deno.writeTextFileSync(path, `${mark} ${use} elsewhere.example 4711 8`.padEnd(256));
  const time = new Date(Date.now() - secondsAgo * 1000);
  Deno.utimeSync(path, time, time);
}

Deno.test("another machine's lock counts although this one's system has none, until it has been silent for three minutes", () =>
  inTempFolder(async (folder) => {
    const path = join(folder, ".lock");
    const error = { doing: "testing", problem: "another run is at it" };
    for (const use of ["alone", "shared"] as const) {
      for (const secondsAgo of [0, 170]) {
        beatOfAnother(path, use, secondsAgo);
        const said = ["another run is at it, on the machine elsewhere.example", "180 s after it last wrote"];
        await assertFails(() => takeLock(path, error), UserError, ...said);
      }
      beatOfAnother(path, use, 190);
      takeLock(path, error)[Symbol.dispose]();
      assertEquals(await namesIn(folder), []);
    }
    beatOfAnother(path, "alone", 0);
    await assertFails(() => takeLock(path, error, { shared: true }), UserError, "elsewhere.example");
    beatOfAnother(path, "shared", 0);
    takeLock(path, error, { shared: true })[Symbol.dispose]();
    await Deno.remove(path);
  }));

Deno.test("a lock is written to as long as it is held, so that other machines see that it is", () =>
  inTempFolder(async (folder) => {
    const path = join(folder, ".lock");
    using _lock = takeLock(path, { doing: "testing", problem: "taken" }, { beatMs: 20 });
    const first = await Deno.readTextFile(path);
    assert(first.startsWith(`${machineMark()} alone `), first);
    for (let i = 0; i < 200 && await Deno.readTextFile(path) === first; i++) {
      await new Promise((r) => setTimeout(r, 20));
    }
    assert(await Deno.readTextFile(path) !== first);
  }));

Deno.test("several may share a lock; one that wants it alone waits for all of them, and the last removes its file", () =>
  inTempFolder(async (folder) => {
    const path = join(folder, ".lock");
    const error = { doing: "testing", problem: "taken" };
    const [one, other] = [1, 2].map(() => takeLock(path, error, { shared: true }));
    await assertFails(() => takeLock(path, error), UserError, "taken");
    one[Symbol.dispose]();
    await assertFails(() => takeLock(path, error), UserError, "taken");
    assertEquals(await namesIn(folder), [".lock"]);
    other[Symbol.dispose]();
    assertEquals(await namesIn(folder), []);
    using _alone = takeLock(path, error);
    await assertFails(() => takeLock(path, error, { shared: true }), UserError, "taken");
  }));
