/** Names of mesh files: what a class is called, as one component of a path that every system takes. */
import { pathNameProblem } from "../../base/path_name.ts";

/** Bytes of UTF-8 that a name has at most, without its ending. */
const MOST_BYTES = 120;
/** One name for each class, different also where letter case does not count; `names` may hold anything. */
export function meshNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const plain = plainName(name);
    let free = plain;
    for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${plain}_${i}`;
    taken.add(free.toLowerCase());
    return free;
  });
}

function plainName(name: string): string {
  // deno-lint-ignore no-control-regex -- these are what is taken out
  let plain = name.normalize("NFC").replace(/[\u0000-\u001f\u007f/\\<>:"|?*]/g, "_").replace(/^\./, "_");
  while (new TextEncoder().encode(plain).length > MOST_BYTES) plain = [...plain].slice(0, -1).join("");
  plain = plain.replace(/[. ]+$/, "").trimStart();
  if (plain === "") return "class";
  // What is left is a device's name.
  return pathNameProblem(plain, true) === undefined ? plain : `_${plain}`;
}
