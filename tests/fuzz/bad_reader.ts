/** A reader with every fault that is looked for, to see that each is found: the file's name says which. */
import type { Target } from "./target.ts";

export const BAD_READER: Target = {
  name: "bad_reader",
  seeds: () => Promise.resolve([{ throw: new Uint8Array(1) }]),
  async read(folder) {
    for await (const { name } of Deno.readDir(folder)) {
      if (name === "throw") throw new TypeError("bad");
      if (name === "ask") new Float32Array(2 ** 27);
      if (name === "grow") grow();
      while (name === "hang") { /* for ever */ }
    }
  },
};

/** Takes 16 MiB after the other, in arrays that no one counts. */
function grow(): void {
  const lists: number[][] = [];
  for (;;) lists.push(new Array<number>(2 ** 21).fill(1));
}
