/** What of the disk and of memory bodies may take that are being received. */
import { join } from "../../core/base/path.ts";
import { freeAsTold, openJobStore } from "../../cli/serve/job_store.ts";
import { createTextRoom } from "../../cli/serve/text_room.ts";
import { HttpProblem } from "../../cli/serve/problem.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";

Deno.test("a disk is asked for what is free now and then, and each time at its end, so that no byte goes beyond", () => {
  const [piece, mebi] = [65_536, 1 << 20];
  let now = 0;
  let asked = 0;
  let disk = 100 * mebi;
  const free = freeAsTold(() => {
    asked++;
    return disk;
  }, () => now);
  const until = (end: number) => {
    while (disk > end && free.left() >= piece) {
      free.count(piece);
      disk -= piece;
    }
  };
  until(20 * mebi);
  assert(asked <= 6, `${asked} times`);
  // Another program, which is not noticed at once.
  disk -= 2 * mebi;
  now += 1000;
  until(0);
  assertEquals(disk, 0);
});

Deno.test("texts have room for so many bytes together, beyond the first ones of each, and give it back", async () => {
  const room = createTextRoom(1 << 20);
  const small = 16 << 10;
  {
    using one = room.open();
    using other = room.open();
    one.add(small);
    one.add(1 << 20);
    other.add(small);
    await assertFails(() => other.add(1), HttpProblem, "too many large texts");
    // What is refused has no room from then on, whenever it is disposed of.
    using third = room.open();
    await assertFails(() => third.add(2 * small), HttpProblem, "too many large texts");
    await assertFails(() => one.add(1), HttpProblem, "too many large texts");
    third.add(small + (1 << 20));
  }
  using next = room.open();
  next.add(small + (1 << 20));
});

Deno.test("why a job is refused is told where what came of it cannot be removed, and its room is free again", () =>
  inTempFolder(async (folder) => {
    using store = await openJobStore(folder, 1000);
    const jobs = join(folder, "jobs");
    const refuse = async () => {
      await using receiving = await store.receive();
      receiving.count(600);
      await Deno.rename(jobs, join(folder, "elsewhere"));
      await Deno.writeTextFile(jobs, "");
      throw new HttpProblem(507, "the disk is read-only");
    };
    await assertFails(refuse, HttpProblem, "the disk is read-only");
    assertEquals(store.room(), 1000);
  }));
