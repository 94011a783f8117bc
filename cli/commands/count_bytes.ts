/** Progress of work that is counted in bytes, shown in MiB. */
import type { CommandContext } from "./command.ts";

const MIB = 2 ** 20;

/** @param what Is done with the bytes: "packed" */
export function countBytes(count: CommandContext["count"], what: string): (doneBytes: number, ofBytes: number) => void {
  const tell = count(`MiB ${what}`, "bar");
  let last = -1;
  return (doneBytes, ofBytes) => {
    const done = Math.floor(doneBytes / MIB);
    if (done === last && doneBytes < ofBytes) return;
    last = done;
    tell(doneBytes < ofBytes ? done : Math.ceil(ofBytes / MIB), Math.ceil(ofBytes / MIB));
  };
}
