/** Words that messages are made of: counts, folders that may not be read, what the system refused. */
import { reportError } from "../../cli/exit_code.ts";
import { UserError } from "../../core/base/errors.ts";
import { plural } from "../../core/base/plural.ts";
import { readFolder } from "../../core/base/read_folder.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

Deno.test("one is counted as one", () => {
  assertEquals([0, 1, 2].map((count) => plural(count, "case")), ["0 cases", "1 case", "2 cases"]);
});

Deno.test({
  name: "a folder that may not be read is named with what was being done; one that is not there is none",
  permissions: { read: ["/nowhere", "."] },
  async fn() {
    assertEquals(await readFolder("/nowhere", "listing the files"), null);
    await assertFails(
      () => readFolder("/etc", "listing the files"),
      UserError,
      "Listing the files (/etc): it may not be read",
    );
  },
});

/** What is printed to stderr meanwhile. */
async function stderrOf(run: () => unknown): Promise<string> {
  const { writeSync } = Deno.stderr;
  const texts: string[] = [];
  Deno.stderr.writeSync = (bytes) => {
    texts.push(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  try {
    await run();
  } finally {
    Deno.stderr.writeSync = writeSync;
  }
  return texts.join("");
}

Deno.test("what the system refuses is said once, in words", async () => {
  const denied = new Deno.errors.PermissionDenied("Permission denied (os error 13): readdir '/a/b c'");
  const full = Object.assign(new Error("No space left on device (os error 28): write '/a/b'"), { code: "ENOSPC" });
  const memory = new RangeError("Array buffer allocation failed");
  const say = (error: unknown) => stderrOf(() => assertEquals(reportError(error, []), 1));
  assertEquals(
    await say(denied),
    "error: no permission to list the folder /a/b c. Change it, or run the command as a user who has it.\n",
  );
  assert(
    (await say(full)).startsWith("error: the disk is full (it was to write /a/b). Free some space"),
    await say(full),
  );
  assert(!/allocation failed|os error/.test(await say(memory) + await say(full)));
});
