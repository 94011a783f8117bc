/** Every flag of every console script of nnU-Net 2.5.1 and 2.8.1 (cli_flags/make_upstream_flags.py) beside those of the commands here. */
import { COMMANDS } from "../../cli/commands/commands.ts";
import { type Flag, type FlagTable, isPositional, takesMany } from "../../cli/flags/flag.ts";
import { assert, assertEquals } from "../assert.ts";
import scripts from "./cli_flags/upstream_flags.json" with { type: "json" };

interface UpstreamFlag {
  readonly names: readonly string[];
  readonly values: "none" | "one" | "many";
  readonly required: boolean;
  readonly type: string;
  readonly default: unknown;
  readonly since: string;
}

const SCRIPTS = scripts as Readonly<Record<string, { ignoresUnknown: boolean; flags: readonly UpstreamFlag[] }>>;

/** Defaults that differ on purpose: numbers of threads are the machine's, the device is found, and a part is the array's. */
const OWN_DEFAULTS = ["-np", "-npfp", "-npp", "-nps", "-device", "-num_parts", "-part_id"];
/** Required by one of the two: upstream fails without a dataset, and knows neither --best, which chooses the configuration, nor --folds. */
const REQUIRED_BY_ONE = ["-d", "-c", "fold"];
const KINDS: Readonly<Record<string, readonly Flag["kind"][]>> = {
  int: ["integer", "integers"],
  float: ["number"],
  str: ["text", "choice", "list"],
};
/** Upstream takes numbers alone, or parses the words itself: names are taken here as well, numbers are checked. */
const OTHER_KINDS: readonly string[] = ["-d", "-f", "-overwrite_target_spacing"];

function arity(flag: Flag): UpstreamFlag["values"] {
  return flag.kind === "switch" ? "none" : takesMany(flag) ? "many" : "one";
}

function find(table: FlagTable, { names }: UpstreamFlag): Flag | undefined {
  const flags = Object.values(table);
  if (names[0].startsWith("-")) return flags.find((flag) => names.every((name) => flag.names.includes(name)));
  return flags.find((flag) => isPositional(flag) && flag.names[0] === names[0]);
}

function problemsOf(flag: Flag | undefined, upstream: UpstreamFlag): string[] {
  if (!flag) return ["it is not there"];
  const problems: string[] = [];
  const [name] = upstream.names;
  if (arity(flag) !== upstream.values) problems.push(`it takes ${arity(flag)}, upstream's ${upstream.values}`);
  if (flag.kind === "switch") return problems;
  if (!KINDS[upstream.type].includes(flag.kind) && !OTHER_KINDS.includes(name)) {
    problems.push(`it is ${flag.kind}, upstream's ${upstream.type}`);
  }
  const required = flag.required === true;
  if (required !== upstream.required && !REQUIRED_BY_ONE.includes(name)) problems.push(`required: ${required}`);
  const own = JSON.stringify(flag.default ?? null);
  const theirs = JSON.stringify(upstream.default);
  const same = own.replaceAll('"', "") === theirs.replaceAll('"', "");
  if (!required && !same && !OWN_DEFAULTS.includes(name)) problems.push(`default ${own}, upstream's ${theirs}`);
  return problems;
}

for (const { name, upstream, load } of COMMANDS) {
  if (upstream === undefined || !load) continue;
  Deno.test(`${name} has every flag of ${upstream}, with its values, kind and default`, async () => {
    const { flags, upstreamIgnoresUnknown = false } = await load();
    const { ignoresUnknown, flags: declared } = SCRIPTS[upstream];
    assertEquals(upstreamIgnoresUnknown, ignoresUnknown);
    const problems = declared.flatMap((one) =>
      problemsOf(find(flags, one), one).map((problem) => `${one.names.join("/")}: ${problem}`)
    );
    assertEquals(problems, []);
    const known = new Set(declared.filter(({ since }) => since === "2.5.1").flatMap(({ names }) => names));
    for (const flag of Object.values(flags)) {
      const isUpstreams = flag.names.some((one) => known.has(one));
      assertEquals(flag.beyond !== true, isUpstreams, `${flag.names[0]} is marked as upstream's if it is`);
    }
  });
}

Deno.test("every console script of nnU-Net has its command", () => {
  const known = COMMANDS.flatMap(({ upstream }) => upstream ?? []);
  for (const script of Object.keys(SCRIPTS)) assert(known.includes(script), script);
});
