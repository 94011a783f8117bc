import { Interrupted, UserError } from "../../core/base/errors.ts";
import { ensureFolder, requireWritable, writeAll, writeAtomically, writeError } from "../../core/base/files.ts";
import { assertEquals, assertFails } from "../assert.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
const names = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

Deno.test("a file is written whole, from text, bytes or a function, and replaces what was there", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.txt`;
    await writeAtomically(path, "ä");
    await writeAtomically(path, new TextEncoder().encode("second"), { sync: true });
    assertEquals(Deno.readTextFileSync(path), "second");
    await writeAtomically(path, async (file) => {
      assertEquals(names(folder).length, 2, "the hidden file lies beside");
      await writeAll(file, new Uint8Array(100_000).fill(65));
      await file.seek(0, Deno.SeekMode.Start);
      await writeAll(file, Uint8Array.of(66));
    });
    assertEquals(Deno.readTextFileSync(path), "B" + "A".repeat(99_999));
    assertEquals(names(folder), ["a.txt"]);
  }));

Deno.test("a failure in the middle leaves the former file and nothing beside it", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.txt`;
    await writeAtomically(path, "former");
    const failing = writeAtomically(path, async (file) => {
      await writeAll(file, new Uint8Array(10));
      throw new RangeError("a defect");
    });
    await assertFails(() => failing, RangeError, "a defect");
    assertEquals(names(folder), ["a.txt"]);
    assertEquals(Deno.readTextFileSync(path), "former");
  }));

Deno.test("a full disk is named, with the file, the bytes needed and free, and what to do", () =>
  inFolder(async (folder) => {
    // The error as Deno gives it on a full tmpfs; filling a disk is not for a test.
    const full = Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    const writing = writeAtomically(`${folder}/case.nii.gz`, () => Promise.reject(full), {
      doing: "writing the segmentation",
      bytes: 1234567,
    });
    const figures = "1,234,567 bytes are to be written, ";
    const said = [
      "Writing the segmentation",
      "case.nii.gz",
      "disk is full",
      figures,
      "bytes are free",
      "Free",
      "again",
    ];
    await assertFails(() => writing, UserError, ...said);
    assertEquals(names(folder), []);
    const quota = Object.assign(new Error("Disk quota exceeded (os error 122)"), { code: "EDQUOT" });
    await assertFails(
      () => Promise.reject(writeError(quota, `${folder}/a`, "writing")),
      UserError,
      "quota",
      "is used up",
    );
  }));

Deno.test("errors of the output folder end a run, errors of one file's name don't", () =>
  inFolder(async (folder) => {
    const ends = async (path: string) => {
      try {
        await writeAtomically(path, "x");
      } catch (error) {
        if (error instanceof UserError) return error.parts.endsRun ?? false;
        throw error;
      }
      return null;
    };
    assertEquals(await ends(`${folder}/no/a.txt`), true);
    assertEquals(await ends(`${folder}/${"a".repeat(300)}`), false);
    assertEquals(await ends(`${folder}/a.txt`), null);
  }));

Deno.test("a folder that can be written to passes the try and is left as it was; one that can't is named", () =>
  inFolder(async (folder) => {
    await requireWritable(folder, "preparing", 4096);
    assertEquals(names(folder), []);
    await assertFails(
      () => requireWritable(`${folder}/none`, "preparing", 1),
      UserError,
      `Preparing (${folder}/none): there is no such folder`,
    );
  }));

Deno.test("a missing folder, a file in place of a folder and a folder in place of a file are told apart", () =>
  inFolder(async (folder) => {
    await assertFails(
      () => writeAtomically(`${folder}/no/a.txt`, "x"),
      UserError,
      "a.txt",
      `${folder}/no is not there`,
    );
    const into = await Deno.open(`${folder}/no/a.txt`, { write: true, create: true }).catch((error) => error);
    const message = String(writeError(into, `${folder}/no`, "writing"));
    assertEquals([message.includes(`${folder}/no): it is not there`), message.includes("its folder")], [true, false]);
    await writeAtomically(`${folder}/file`, "x");
    await assertFails(() => writeAtomically(`${folder}/file/a.txt`, "x"), UserError, "not a folder");
    await Deno.mkdir(`${folder}/sub/inner`, { recursive: true });
    await assertFails(() => writeAtomically(`${folder}/sub`, "x"), UserError, "folder has that name");
    await assertFails(
      () => ensureFolder(`${folder}/file`, "making the output folder"),
      UserError,
      "a file has that name",
    );
    await ensureFolder(`${folder}/deep/er`, "making the output folder");
    await ensureFolder(`${folder}/deep/er`, "making the output folder");
    assertEquals(names(folder), ["deep", "file", "sub"]);
  }));

Deno.test("an interrupt removes the hidden file at once and ends the write", () =>
  inFolder(async (folder) => {
    const stop = new AbortController();
    const writing = writeAtomically(`${folder}/a.bin`, async (file) => {
      await writeAll(file, new Uint8Array(1000));
      stop.abort();
      assertEquals(names(folder), [], "gone while the writer still runs");
      await writeAll(file, new Uint8Array(1000));
    }, { signal: stop.signal });
    await assertFails(() => writing, Interrupted, "a.bin");
    await assertFails(() => writeAtomically(`${folder}/b`, "x", { signal: stop.signal }), Interrupted);
    assertEquals(names(folder), []);
  }));
