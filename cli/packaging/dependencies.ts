/**
 * What a release holds besides the project's own code, with licences: the packages of deno.lock, of which Deno's module graph says which
 * the program uses and where they lie; Deno itself, the launcher's C library, and the font of plots.
 */
import { z } from "zod";
import { UserError } from "../../core/base/errors.ts";
import { readJsonFile } from "../../core/base/json.ts";
import { join } from "../../core/base/path.ts";
import { workerScripts } from "./worker_scripts.ts";

export interface Dependency {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier. */
  readonly licence: string;
  /** Text of the licence and of notices. */
  readonly text: string;
  /** Package URL (purl). */
  readonly url: string;
  /** SHA-512 of the package in hex, where the lock file has it. */
  readonly sha512?: string;
  /** False: only tests use it, and no release holds it. */
  readonly released: boolean;
  /** True: the program's own modules import it, or it is no package. */
  readonly direct: boolean;
  /** URLs of those it needs. */
  readonly needs: readonly string[];
}

const lockSchema = z.object({
  version: z.literal("5"),
  npm: z.record(
    z.string(),
    z.object({
      integrity: z.string().startsWith("sha512-"),
      dependencies: z.array(z.string()).default([]),
      optionalDependencies: z.array(z.string()).default([]),
    }),
  ),
});
type Lock = z.infer<typeof lockSchema>;
const graphSchema = z.object({
  modules: z.array(z.object({ kind: z.string().optional(), npmPackage: z.string().optional() })),
  npmPackages: z.record(
    z.string(),
    z.object({
      name: z.string(),
      version: z.string(),
      dependencies: z.array(z.string()),
      localPath: z.string(),
    }),
  ),
});
type Packages = z.infer<typeof graphSchema>["npmPackages"];
const manifestSchema = z.object({ license: z.string() });

const DOING = "collecting the licences";
/** Texts for packages that come without one, or without that of what they hold. */
const TEXTS: Readonly<Record<string, { readonly file: string; readonly note: string }>> = {
  "@resvg/resvg-wasm": {
    file: "MPL-2.0.txt",
    note: "Its sources: https://github.com/yisibl/resvg-js and https://github.com/linebender/resvg\n\n",
  },
  "@niivue/niivue": { file: "niivue.txt", note: "" },
  "@cornerstonejs/codec-libjpeg-turbo-8bit": { file: "libjpeg-turbo.txt", note: "It holds libjpeg-turbo:\n\n" },
  "@cornerstonejs/codec-charls": { file: "charls.txt", note: "It holds CharLS:\n\n" },
  "@cornerstonejs/codec-openjpeg": { file: "openjpeg.txt", note: "It holds OpenJPEG:\n\n" },
};
/** Packages of which a file is taken as it is, so that no module imports them. */
const TAKEN = ["@niivue/niivue"];
/** What the launcher is linked from: the compiler's own functions and its C library (launcher/build.sh). */
const ZIG = "0.17.1";
const MUSL = "1.2.5";
const FONT = "2.37";

/** All dependencies of the checkout `root`, packages sorted by name first. @throws UserError if one has no licence that is known */
export async function dependencies(root: string): Promise<Dependency[]> {
  const lock = lockSchema.parse((await readJsonFile(join(root, "deno.lock"), DOING)).value);
  const known = new Map<string, Packages[string]>(); // all of the lock file
  const direct = new Set<string>();
  for (const entry of ["main.ts", ...await workerScripts(root)]) {
    const { modules, npmPackages } = await moduleGraph(root, entry);
    for (const { npmPackage } of modules) if (npmPackage !== undefined) direct.add(npmPackage);
    for (const [id, one] of Object.entries(npmPackages)) known.set(id, one);
  }
  for (const id of known.keys()) if (TAKEN.includes(id.slice(0, id.lastIndexOf("@")))) direct.add(id);
  const used = new Set(direct);
  for (const id of used) for (const needed of known.get(id)?.dependencies ?? []) used.add(needed);
  const unused = unusedPackages(lock);
  const packages = Object.keys(lock.npm).filter((id) => !unused.has(id)).sort().map(async (id) => {
    const at = id.lastIndexOf("@");
    const [name, version] = [id.slice(0, at), id.slice(at + 1)];
    const one = known.get(id);
    const needs = (one?.dependencies ?? []).filter((needed) => !unused.has(needed)).map(purl);
    const sha512 = Uint8Array.fromBase64(lock.npm[id].integrity.slice("sha512-".length)).toHex();
    const licence = await licenceOf(root, name, one?.localPath ?? placeOf(id, known));
    const url = purl(id);
    return { name, version, ...licence, url, sha512, released: used.has(id), direct: direct.has(id), needs };
  });
  return [...await Promise.all(packages), ...await others(root)];
}

/** Packages that others merely may use, as the tools of their builds: no module of the program imports them. */
function unusedPackages({ npm }: Lock): Set<string> {
  // A name stands without its version where there is one only.
  const names = (key: "dependencies" | "optionalDependencies") =>
    new Set(Object.values(npm).flatMap((one) => one[key]));
  const [needed, optional] = [names("dependencies"), names("optionalDependencies")];
  const isIn = (set: ReadonlySet<string>, id: string) => set.has(id) || set.has(id.slice(0, id.lastIndexOf("@")));
  return new Set(Object.keys(npm).filter((id) => isIn(optional, id) && !isIn(needed, id)));
}

async function moduleGraph(root: string, entry: string): Promise<z.infer<typeof graphSchema>> {
  const args = ["info", "--json", "--frozen", join(root, entry)];
  const { success, stdout, stderr } = await new Deno.Command("deno", { args, cwd: root }).output();
  const decoder = new TextDecoder();
  if (!success) throw new UserError({ doing: DOING, file: entry, problem: decoder.decode(stderr).trim() });
  return graphSchema.parse(JSON.parse(decoder.decode(stdout)));
}

/** Where Deno keeps a package: in NAME/VERSION beside others. */
function placeOf(id: string, known: ReadonlyMap<string, Packages[string]>): string {
  const [first] = known.values();
  const folder = first.localPath.slice(0, -`${first.name}/${first.version}`.length);
  return folder + id.slice(0, id.lastIndexOf("@")) + "/" + id.slice(id.lastIndexOf("@") + 1);
}

function purl(id: string): string {
  return `pkg:npm/${id.replace(/^@/, "%40")}`;
}

/** Of a package in Deno's cache: what its package.json says, and its files LICENSE, COPYING, NOTICE. */
async function licenceOf(root: string, name: string, folder: string): Promise<{ licence: string; text: string }> {
  const fail = (problem: string) =>
    new UserError({ doing: DOING, file: folder, problem, remedy: "run `deno install`" });
  const names = await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name).catch(() => []);
  if (names.length === 0) throw fail("the package is not in Deno's cache");
  const manifest = manifestSchema.safeParse((await readJsonFile(join(folder, "package.json"), DOING)).value);
  if (!manifest.success) throw fail("its package.json names no licence");
  const files = names.filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(join(folder, file))));
  const ours = TEXTS[name];
  if (ours !== undefined) {
    texts.push(ours.note + await Deno.readTextFile(join(root, "cli/packaging/licences", ours.file)));
  }
  if (texts.length === 0) throw fail("it has no licence file, and there is none for it in cli/packaging/licences");
  return { licence: manifest.data.license, text: texts.join("\n") };
}

/** What comes with no package manager. */
async function others(root: string): Promise<Dependency[]> {
  const text = (file: string) => Deno.readTextFile(join(root, file));
  const common = { released: true, direct: true, needs: [] };
  const deno = Deno.version.deno;
  return [
    {
      ...common,
      name: "deno",
      version: deno,
      licence: "MIT",
      url: `pkg:github/denoland/deno@v${deno}`,
      text: `${await text("cli/packaging/licences/deno.txt")}\nDeno holds V8 (BSD-3-Clause) and the libraries that ` +
        `https://github.com/denoland/deno/blob/v${deno}/Cargo.lock lists, under their own licences.\n`,
    },
    {
      ...common,
      name: "musl",
      version: MUSL,
      licence: "MIT",
      url: `pkg:generic/musl@${MUSL}`,
      text: await text("cli/packaging/licences/musl.txt"),
    },
    {
      ...common,
      name: "zig",
      version: ZIG,
      licence: "MIT",
      url: `pkg:pypi/ziglang@${ZIG}`,
      text: await text("cli/packaging/licences/zig.txt"),
    },
    {
      ...common,
      name: "DejaVu Sans",
      version: FONT,
      licence: "Bitstream-Vera",
      url: `pkg:generic/dejavu-sans@${FONT}`,
      text: await text("core/train/report/font/LICENSE"),
    },
  ];
}
