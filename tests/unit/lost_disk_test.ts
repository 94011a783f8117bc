/** A disk that is gone, or fails, while it is read or written. The errors are as Deno gives them on Linux for each of the system's. */
import { UserError } from "../../core/base/errors.ts";
import { writeError } from "../../core/base/files.ts";
import { readError } from "../../core/base/read_error.ts";
import { assert, assertEquals } from "../assert.ts";

const SHARE = [
  new Error("Stale file handle (os error 116): readfile '/share/a'"),
  new Error("Host is down (os error 112): open '/share/a'"),
  Object.assign(
    new Deno.errors.NotConnected("Transport endpoint is not connected (os error 107): open '/share/a'"),
    { code: "ENOTCONN" },
  ),
  Object.assign(new Deno.errors.TimedOut("Connection timed out (os error 110): open '/share/a'"), {
    code: "ETIMEDOUT",
  }),
];
const DISK = Object.assign(new Error("Input/output error (os error 5): open '/share/a'"), { code: "EIO" });

Deno.test({
  name: "a network share that goes away is told as that where it is read and where it is written, not as a full disk",
  ignore: Deno.build.os !== "linux",
  fn() {
    for (const thrown of SHARE) {
      for (const error of [readError(thrown, "/share/a", "reading"), writeError(thrown, "/share/a", "writing", 9)]) {
        assert(error instanceof UserError, String(error));
        const { problem, remedy } = error.parts;
        assert(problem.startsWith("the disk that it lies on does not answer ("), problem);
        assert(problem.endsWith(`${thrown.message.slice(0, thrown.message.indexOf(" (os"))})`), problem);
        assertEquals(remedy, "see that the drive or network share is connected, and run the same command again");
      }
    }
  },
});

Deno.test("a disk that reports an error has words where it is read and where it is written, and a defect stays one", () => {
  const read = readError(DISK, "/share/a", "reading");
  const written = writeError(DISK, "/share/a", "writing");
  assert(read instanceof UserError && written instanceof UserError);
  assertEquals([read, written].map(({ parts }) => parts.problem), [
    "the disk reports an error where it lies",
    "the disk reports an error where it is written to",
  ]);
  assertEquals([read.parts.endsRun, written.parts.endsRun], [undefined, true]);
  const defect = new TypeError("x is not a function");
  assertEquals([readError(defect, "a", "reading"), writeError(defect, "a", "writing")], [defect, defect]);
});
