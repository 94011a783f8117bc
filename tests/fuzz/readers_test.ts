/** What was found once, again; and a short run of mutations of every reader, always the same ones. `deno task fuzz` runs longer. */
import { assert, assertEquals } from "../assert.ts";
import { READERS } from "../../core/formats/image/readers.ts";
import { imageTargets } from "./format_targets.ts";
import { fuzzTarget, readCorpus } from "./fuzz.ts";
import { TARGETS } from "./targets.ts";

const SEED = 1;
/** All targets together take 40 seconds. */
const SECONDS = 40 / TARGETS.length;

for (const { name } of TARGETS) {
  Deno.test(`mutated files of ${name} are read or refused with what to do, in bounded time and memory`, async () => {
    const corpus = readCorpus(name);
    const inputs = corpus.map(({ files }) => files);
    const known = await fuzzTarget(name, { seed: SEED, mutations: 0, seconds: 600, inputs });
    assertEquals(known.failures.map(({ number, problem }) => `${corpus[number].name}: ${problem}`), []);
    assertEquals(known.count, corpus.length);

    const { count, failures } = await fuzzTarget(name, { seed: SEED, mutations: 20_000, seconds: SECONDS });
    const found = failures.map(({ number, problem }) =>
      `deno task fuzz --seed 1 --only ${name} --first ${number}: ${problem}`
    );
    assertEquals(found, []);
    assert(count > 0, "no mutation was read");
  });
}

Deno.test("a reader that hangs, grows or throws what is no UserError is found, and the run goes on behind it", async () => {
  const inputs = ["throw", "hang", "grow", "ask", "read"].map((what) => ({ [what]: new Uint8Array(1) }));
  const limits = { milliseconds: 3000, bytes: 2 ** 27 };
  const options = { seed: SEED, mutations: 0, seconds: 600, inputs, limits };
  const { count, failures } = await fuzzTarget("bad_reader", options);
  assertEquals(count, inputs.length);
  const problems = failures.map(({ number, problem }) => `${number}: ${problem.split("\n")[0]}`);
  const wanted = ["0: bad", "1: it took more than 3 s", "2: memory grew by more than 128 MiB", "3: it asked for 512"];
  assertEquals(problems.length, wanted.length, problems.join("\n"));
  for (const [i, part] of wanted.entries()) assert(problems[i].startsWith(part), problems[i]);
});

Deno.test("every image format is fuzzed", async () => {
  const seeds = await Promise.all(imageTargets.map(({ seeds }) => seeds("")));
  const names = seeds.flat().flatMap((files) => Object.keys(files));
  for (const { name, formats } of READERS) {
    for (const { endings } of formats) {
      const missing = endings.filter((ending) => !names.some((file) => file.endsWith(ending)));
      assertEquals(missing, [], `${name}: add files with these endings to imageTargets of format_targets.ts`);
    }
  }
});
