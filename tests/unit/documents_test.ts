import { join } from "../../core/base/path.ts";
import { fromFileUrl } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
/** What a path of the project begins with. */
const TOP_LEVEL = /^(?:core|cpu|gpu|kernels|cli|tests|examples)\//;

/** Paths of the project that a document names: in code spans, in its lines of code, and as targets of links. */
function namedPaths(text: string): string[] {
  const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code);
  const links = [...text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)].map(([, target]) => target);
  const words = spans.flatMap((code) => code.split(/[\s,;:()]+/)).filter((word) => TOP_LEVEL.test(word));
  const local = links.filter((target) => !/^[a-z]+:/.test(target));
  // <name> is to be filled in by the reader.
  return [...words, ...local].filter((path) => !/[<>$]/.test(path)).flatMap(withoutBraces);
}

/** "a/{b,c}" is "a/b" and "a/c". */
function withoutBraces(path: string): string[] {
  const braces = path.match(/^(.*?)\{([^}]*)\}(.*)$/);
  if (!braces) return [path];
  const [, before, choices, after] = braces;
  return choices.split(",").flatMap((choice) => withoutBraces(before + choice + after));
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(join(ROOT, path));
    return true;
  } catch {
    return false;
  }
}

Deno.test("every file and folder that the documents name exists", async () => {
  for (const name of DOCUMENTS) {
    const paths = namedPaths(await Deno.readTextFile(join(ROOT, name)));
    assert(paths.length > 5, `${name} names ${paths.length} paths`);
    const missing: string[] = [];
    for (const path of new Set(paths)) if (!(await exists(path))) missing.push(path);
    assertEquals(missing, [], `${name} names what is not there`);
  }
});

Deno.test("every part of core is in the architecture's table and in its order", async () => {
  const text = await Deno.readTextFile(join(ROOT, "ARCHITECTURE.md"));
  const { CORE_ORDER } = await import("../lint/layout_plugin.ts");
  assert(text.includes(CORE_ORDER.join(" ")), `the order of core is ${CORE_ORDER.join(" ")}`);
  const rooms = [...text.matchAll(/^\| `core\/(\w+)`/gm)].map(([, room]) => room);
  assertEquals(rooms, [...CORE_ORDER]);
});
