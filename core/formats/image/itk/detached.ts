/** Names of data files, which a header says: they are files in its folder, or in folders below it. */
import { UserError } from "../../../base/errors.ts";
import { pathNameProblem } from "../../../base/path_name.ts";
import { dirname, join } from "../../../base/path.ts";
import { show } from "../../../base/fields.ts";
import { READING } from "../image_format.ts";

/** More files of one image are refused. */
export const MOST_FILES = 100_000;

/** The path of the file that the header of `file` calls `name`. @throws UserError for one that leads out of the header's folder */
export function dataFile(file: string, name: string): string {
  const components = name.split(Deno.build.os === "windows" ? /[/\\]/ : "/").filter((one) => one !== ".");
  if (components.length === 0) throw badName(file, name, "expected a file's name");
  for (const component of components) {
    const problem = pathNameProblem(component);
    if (problem !== undefined) throw badName(file, name, problem);
  }
  return join(dirname(file), ...components);
}

function badName(file: string, name: string, problem: string): UserError {
  return new UserError({
    doing: READING,
    file,
    problem: `the name of its data file has to lead to a file in its folder or below: ${problem}, found ${show(name)}`,
    remedy:
      "put the data file beside the header and write its name alone into the header, or save the image as one file",
  });
}

/** Names of a pattern like "slice%03d.raw" for a number. @returns undefined for patterns that ask for anything but one integer */
export function numberedName(pattern: string): ((number: number) => string) | undefined {
  const parts = pattern.split("%%");
  const holes = parts.flatMap((part) => [...part.matchAll(/%/g)]);
  const match = /%(0?)(\d{0,2})[du]/;
  if (holes.length !== 1 || !parts.some((part) => match.test(part))) return undefined;
  return (number) =>
    parts.map((part) =>
      part.replace(match, (_, zero: string, width: string) => {
        const digits = String(Math.abs(number));
        const sign = number < 0 ? "-" : "";
        const length = Number(width || 0) - sign.length;
        return zero === "0" ? sign + digits.padStart(length, "0") : (sign + digits).padStart(Number(width || 0), " ");
      })
    ).join("%");
}
