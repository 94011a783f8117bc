/** What killed runs leave is removed by the next run, and nothing of a run that lives or of the user's. */
import { hiddenName, removeLeftovers, tryLock } from "../../core/base/leftovers.ts";
import { machineMark } from "../../core/base/machine.ts";
import { heldFolderPath, holdFolder, removeLeftFolders } from "../../core/base/held_folder.ts";
import { UserError } from "../../core/base/errors.ts";
import { createOnce, writeAll, writeAtomically } from "../../core/base/files.ts";
import { join } from "../../core/base/path.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

/** Of the machine that has the mark `machine`. */
const leftBy = (machine: string) => [
  `.case.nii.gz.${machine}-4711-0123abcd.tmp`,
  `.case_1-${machine}-4711-0123abcd.probabilities`,
  `.nnunet-logits-${machine}-4711-0123abcd.scratch`,
  `.intensities-${machine}-4711-0123abcd.tmp`,
  `.write-test-${machine}-4711-0123abcd.tmp`,
];
const LEFT = leftBy(machineMark());
const FOLDER = `.folder.${machineMark()}-4711-0123abcd.tmp`;
const LINK = `.link.${machineMark()}-4711-0123abcd.tmp`;
const OTHERS = [
  ".hidden",
  ".my.tmp",
  ".a.4711.tmp",
  ".b.4711-0123abcd.tmp",
  "case.nii.gz.00000000-4711-0123abcd.tmp",
  "case-00000000-4711-0123abcd.probabilities",
  ".x.00000000-4711-0123ABCD.tmp",
  ".nnunet-logits",
  "case.nii.gz",
];

Deno.test("hidden files of runs that have ended are removed; other names and folders stay", () =>
  inTempFolder(async (folder) => {
    for (const name of [...LEFT, ...OTHERS]) await Deno.writeTextFile(join(folder, name), "x");
    await Deno.mkdir(join(folder, FOLDER));
    await Deno.writeTextFile(join(folder, FOLDER, "inside"), "x");
    await Deno.symlink(join(folder, "case.nii.gz"), join(folder, LINK));
    removeLeftovers(folder);
    assertEquals(await namesIn(folder), [...OTHERS, FOLDER, LINK].sort());
    assertEquals(await namesIn(join(folder, FOLDER)), ["inside"]);
    removeLeftovers(join(folder, "not there"));
  }));

Deno.test("what another machine writes is kept, whatever this one's locks say, until it has been left alone for a day", () =>
  inTempFolder(async (folder) => {
    const other = machineMark() === "00000000" ? "00000001" : "00000000";
    const ago = (hours: number) => new Date(Date.now() - hours * 3600 * 1000);
    for (const name of leftBy(other)) {
      await Deno.writeTextFile(join(folder, name), "x");
      for (const hours of [0, 23]) {
        await Deno.utime(join(folder, name), ago(hours), ago(hours));
        removeLeftovers(folder);
        assertEquals(await namesIn(folder), [name]);
      }
      await Deno.utime(join(folder, name), ago(25), ago(25));
      {
        using file = await Deno.open(join(folder, name), { read: true, write: true });
        tryLock(file);
        removeLeftovers(folder);
        assertEquals(await namesIn(folder), [name]);
      }
      removeLeftovers(folder);
      assertEquals(await namesIn(folder), []);
    }
  }));

Deno.test("in folders of the user's only what was to become the file that is written goes", () =>
  inTempFolder(async (folder) => {
    const [other, left] = ["other", "report"].map((name) => `.${name}.json.${machineMark()}-4711-0123abcd.tmp`);
    for (const name of [other, left]) await Deno.writeTextFile(join(folder, name), "x");
    await writeAtomically(join(folder, "report.json"), "{}", { removesLeftovers: true });
    assertEquals(await namesIn(folder), [other, "report.json"]);
  }));

Deno.test("a file that is being written is kept until it has its name", () =>
  inTempFolder(async (folder) => {
    const path = join(folder, "a.txt");
    await writeAtomically(path, async (file) => {
      removeLeftovers(folder);
      assertEquals((await namesIn(folder)).length, 1);
      await writeAll(file, new TextEncoder().encode("whole"));
    });
    assertEquals(await Deno.readTextFile(path), "whole");
    for (const name of LEFT) {
      const file = await Deno.create(join(folder, name));
      tryLock(file);
      removeLeftovers(folder);
      assert((await namesIn(folder)).includes(name), name);
      file.close();
      removeLeftovers(folder);
      assert(!(await namesIn(folder)).includes(name), name);
    }
  }));

Deno.test("what another process writes is kept, and removed when it is killed", () =>
  inTempFolder(async (folder) => {
    const module = new URL("../../core/base/files.ts", import.meta.url).href;
    const script = join(folder, "writer.ts");
    const path = JSON.stringify(join(folder, "out.txt"));
    await Deno.writeTextFile(
      script,
      `import { writeAtomically } from "${module}";
       await writeAtomically(${path}, async (file) => {
         await file.write(new Uint8Array(10));
         console.log("writing");
         await new Promise((done) => setTimeout(done, 60_000));
       });`,
    );
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const permissions = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
    const args = ["run", "--quiet", "--no-check", "--no-prompt", "--config", config, ...permissions, script];
    const child = new Deno.Command("deno", { args, stdout: "piped" }).spawn();
    const reader = child.stdout.getReader();
    const first = await reader.read();
    assert(new TextDecoder().decode(first.value).startsWith("writing"));
    const hidden = (await namesIn(folder)).filter((name) => name.endsWith(".tmp"));
    assertEquals(hidden.length, 1);
    removeLeftovers(folder);
    assertEquals((await namesIn(folder)).filter((name) => name.endsWith(".tmp")), hidden);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    removeLeftovers(folder);
    assertEquals(await namesIn(folder), ["writer.ts"]);
  }));

Deno.test("the longest names a disk takes are written", () =>
  inTempFolder(async (folder) => {
    for (const name of ["x".repeat(255), "ä".repeat(127), "患".repeat(85)]) {
      await writeAtomically(join(folder, name), "there");
      assertEquals(await Deno.readTextFile(join(folder, name)), "there");
      assert(new TextEncoder().encode(hiddenName(name)).length <= 255);
    }
    assertEquals((await namesIn(folder)).length, 3);
  }));

Deno.test("a file that is being made is not taken for one that was left, however often somebody looks", () =>
  inTempFolder(async (folder) => {
    const names = Array.from({ length: 300 }, (_, i) => `${i}.json`);
    let isWriting = true;
    const looking = (async () => {
      while (isWriting) {
        removeLeftovers(folder);
        await new Promise((resolve) => setTimeout(resolve));
      }
    })();
    await Promise.all(names.map((name) => writeAtomically(join(folder, name), name)));
    isWriting = false;
    await looking;
    assertEquals(await namesIn(folder), names.toSorted());
  }));

Deno.test("folders of runs that have ended are removed with all they hold; those in use, of another machine and of others stay", () =>
  inTempFolder(async (folder) => {
    const other = machineMark() === "00000000" ? "00000001" : "00000000";
    const [left, bare, theirs] = [machineMark(), machineMark(), other].map((machine, i) =>
      `.stage-${machine}-${i}-0123abcd`
    );
    for (const name of [left, bare, theirs, ".other", "stage"]) {
      await Deno.mkdir(join(folder, name));
      await Deno.writeTextFile(join(folder, name, "inside"), "x");
    }
    for (const name of [left, theirs]) await Deno.writeTextFile(join(folder, `${name}.scratch`), "");
    const held = heldFolderPath(folder, ".stage-");
    {
      await using _held = await holdFolder(held, "testing");
      await Deno.writeTextFile(join(held, "inside"), "x");
      await removeLeftFolders(folder, ".stage-");
      assertEquals(await namesIn(held), ["inside"]);
      const marks = [held, join(folder, theirs)].map((path) => `${path}.scratch`);
      const kept = [".other", "stage", theirs, held, ...marks].map((path) => path.replace(`${folder}/`, ""));
      assertEquals(await namesIn(folder), kept.sort());
    }
    assertEquals(await namesIn(folder), [".other", theirs, `${theirs}.scratch`, "stage"].sort());
    await removeLeftFolders(join(folder, "not there"), ".stage-");
  }));

Deno.test("a folder that cannot be removed any more hides no error of the work that it was for", () =>
  inTempFolder(async (folder) => {
    const parent = join(folder, "parent");
    await Deno.mkdir(parent);
    const fail = async () => {
      await using _held = await holdFolder(heldFolderPath(parent, ".stage-"), "testing");
      await Deno.rename(parent, join(folder, "elsewhere"));
      await Deno.writeTextFile(parent, "");
      throw new UserError({ doing: "testing", problem: "the disk is read-only" });
    };
    await assertFails(fail, UserError, "the disk is read-only");
    const left = await namesIn(join(folder, "elsewhere"));
    assertEquals(left.length, 2);
    await removeLeftFolders(join(folder, "elsewhere"), ".stage-");
    assertEquals(await namesIn(join(folder, "elsewhere")), []);
  }));

Deno.test("a folder that is being made is not taken for one that was left, however often somebody looks", () =>
  inTempFolder(async (folder) => {
    const module = new URL("../../core/base/held_folder.ts", import.meta.url).href;
    const source = `import { removeLeftFolders } from "${module}";
      onmessage = async ({ data: folder }) => {
        postMessage("looking");
        for (;;) await removeLeftFolders(folder, ".stage-");
      };`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    await new Promise((resolve) => {
      worker.onmessage = resolve;
      worker.postMessage(folder);
    });
    for (let i = 0; i < 300; i++) {
      const path = heldFolderPath(folder, ".stage-");
      await using _held = await holdFolder(path, "testing");
      await Deno.writeTextFile(join(path, "inside"), "x");
      assertEquals(await namesIn(path), ["inside"]);
    }
    worker.terminate();
    URL.revokeObjectURL(url);
  }));

Deno.test("of those that create one file at a time the first has it, whole, while others look for leftovers", () =>
  inTempFolder(async (folder) => {
    const module = new URL("../../core/base/files.ts", import.meta.url).href;
    const leftovers = new URL("../../core/base/leftovers.ts", import.meta.url).href;
    const source = `import { createOnce } from "${module}";
      import { removeLeftovers } from "${leftovers}";
      onmessage = async ({ data: { folder, text } }) => {
        const names = [];
        for (let i = 0; i < 200; i++) {
          const path = folder + "/" + i + ".json";
          if (text === "") removeLeftovers(folder);
          else {
            await createOnce(path, text, "testing");
            names.push(Deno.readTextFileSync(path));
          }
        }
        postMessage(names);
      };`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const texts = ["first".repeat(1000), "second".repeat(1000), ""];
    const workers = texts.map(() => new Worker(url, { type: "module" }));
    const seen = await Promise.all(workers.map((worker, i) =>
      new Promise<string[]>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage({ folder, text: texts[i] });
      })
    ));
    for (const worker of workers) worker.terminate();
    URL.revokeObjectURL(url);
    assertEquals(seen[0], seen[1], "two runs have found different files");
    for (const text of seen[0]) assert(texts.includes(text));
    await createOnce(join(folder, "0.json"), "third", "testing");
    assertEquals(await Deno.readTextFile(join(folder, "0.json")), seen[0][0]);
    assertEquals((await namesIn(folder)).filter((name) => name.startsWith(".")), []);
  }));
