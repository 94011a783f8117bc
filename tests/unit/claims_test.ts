/** Claims on cases: exactly one has a case, and those of a process that is gone are outbid. */
import { openClaims } from "../../core/base/claims.ts";
import { machineMark } from "../../core/base/machine.ts";
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";

async function inFolder(test: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a process of another machine has left. */
function leaveClaim(folder: string, name: string, beat: number, failed = false): void {
  Deno.writeTextFileSync(join(folder, name), JSON.stringify({ machine: "elsewhere", pid: 1, beat, failed }));
}

Deno.test("a case is one process's until it is released, and a failed one is nobody's while that process runs", async () => {
  await inFolder((folder) => {
    using one = openClaims(folder);
    {
      using other = openClaims(folder);
      assertEquals([other.claim("a"), other.claim("b"), one.claim("a"), one.claim("c")], [
        "ours",
        "ours",
        "taken",
        "ours",
      ]);
      other.fail("b");
      assertEquals(one.claim("b"), "failed");
      other.release("a");
      assertEquals(one.claim("a"), "ours");
    }
    assertEquals(one.claim("b"), "ours");
    one.release("a");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [".b.claim-1", ".c.claim-1"]);
  });
  await inFolder((folder) => {
    openClaims(folder)[Symbol.dispose]();
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("another machine's claim holds as long as its heartbeat changes, and is then outbid by exactly one", async () => {
  await inFolder(async (folder) => {
    const goneMs = 300;
    using one = openClaims(folder, goneMs);
    using other = openClaims(folder, goneMs);
    const name = ".a.claim-3";
    for (let beat = 0; beat < 4; beat++) {
      leaveClaim(folder, name, beat);
      assertEquals([one.claim("a"), other.claim("a")], ["taken", "taken"]);
      await new Promise((resolve) => setTimeout(resolve, goneMs / 2));
    }
    await new Promise((resolve) => setTimeout(resolve, goneMs + 100));
    assertEquals([one.claim("a"), other.claim("a")], ["ours", "taken"]);
    one.release("a");
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("a claim that has outbid another is not removed with it, unless the case is written", async () => {
  await inFolder((folder) => {
    const slow = openClaims(folder);
    assertEquals(slow.claim("a"), "ours");
    leaveClaim(folder, ".a.claim-2", 0);
    slow[Symbol.dispose]();
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), [".a.claim-2"]);
    using next = openClaims(folder);
    assertEquals(next.claim("a"), "taken");
    assert(!Deno.readTextFileSync(join(folder, ".a.claim-2")).includes('pid":' + Deno.pid));
  });
});

Deno.test("claims that a killed process has left on cases that are no more are removed, those of processes that live stay", async () => {
  await inFolder((folder) => {
    using living = openClaims(folder);
    assertEquals(living.claim("a"), "ours");
    leaveClaim(folder, ".b.claim-3", 0);
    Deno.writeTextFileSync(join(folder, ".c.claim-1"), JSON.stringify({ machine: machineMark(), pid: 1, beat: 0 }));
    using next = openClaims(folder);
    next.releaseAbandoned();
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [".a.claim-1", ".b.claim-3"]);
    assertEquals([next.claim("a"), next.claim("c")], ["taken", "ours"]);
  });
});
