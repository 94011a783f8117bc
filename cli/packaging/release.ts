/**
 * A release by one command: `deno task release [FOLDER] [--deno FILE]... [--target TARGET]...` writes the executables, their checksums,
 * the bill of materials, all licences and the changelog into FOLDER. On Linux the package of the Deno at hand is made; further ones
 * with --deno (that of the other processor); other systems by Deno's compiler with --target. SHA256SUMS is written last: a folder
 * that has it is whole.
 */
import { UsageError, UserError } from "../../core/base/errors.ts";
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { fromFileUrl, join, resolve } from "../../core/base/path.ts";
import { reportError } from "../exit_code.ts";
import { fileDigest } from "../program_digest.ts";
import { print } from "../terminal.ts";
import { VERSION } from "../version.ts";
import { SERVICE } from "./bundle.ts";
import { compile, readTargets, type Target } from "./compile.ts";
import { dependencies } from "./dependencies.ts";
import { makePackages } from "./package.ts";
import { processorOf } from "./package_file.ts";
import { cycloneDx, licencesText, type ReleasedFile } from "./sbom.ts";

const USAGE = "usage: deno task release [FOLDER] [--deno FILE]... [--target TARGET | all]...";
const DOING = "making a release";
const SUMS = "SHA256SUMS";

export interface ReleaseOptions {
  readonly folder: string;
  /** Deno executables for Linux to make packages of. */
  readonly denos: readonly string[];
  readonly targets: readonly Target[];
}

/** @returns the names of the files, SHA256SUMS among them */
export async function release({ folder, denos, targets }: ReleaseOptions): Promise<string[]> {
  const root = fromFileUrl(new URL("../../", import.meta.url));
  const changelog = await changelogOf(root);
  await ensureFolder(folder, DOING);
  await Deno.remove(join(folder, SUMS)).catch(() => {});
  const executables: string[] = [];
  for (const deno of denos) {
    const system = `linux-${await processorOf(deno) === "x86_64" ? "x64" : "arm64"}`;
    const [name, service] = [`nnunet-${system}`, `${SERVICE}-${system}`];
    if (executables.includes(name)) throw new UsageError(`${USAGE}\nerror: two Denos are given for ${name}`);
    await makePackages(folder, deno, name, service);
    executables.push(name, service);
  }
  const compiled = targets.filter((target) => !executables.includes(`nnunet-${target}`));
  if (compiled.length > 0) executables.push(...await compile(folder, compiled));
  const files = await Promise.all(executables.map((name) => released(folder, name)));

  const held = await dependencies(root);
  const texts = {
    [`nnunet-${VERSION}.cdx.json`]: cycloneDx(held, files),
    "LICENSE": await Deno.readTextFile(join(root, "LICENSE")),
    "NOTICE": await Deno.readTextFile(join(root, "NOTICE")),
    "LICENSES.txt": licencesText(held),
    "CHANGELOG.md": changelog,
  };
  for (const [name, text] of Object.entries(texts)) {
    await writeAtomically(join(folder, name), text, { doing: DOING });
    files.push(await released(folder, name));
  }
  const sums = files.toSorted((a, b) => a.name < b.name ? -1 : 1).map(({ name, sha256 }) => `${sha256}  ${name}\n`);
  await writeAtomically(join(folder, SUMS), sums.join(""), { doing: DOING });
  return [...files.map(({ name }) => name), SUMS];
}

async function released(folder: string, name: string): Promise<ReleasedFile> {
  return { name, sha256: await fileDigest(join(folder, name)) };
}

/** @throws UserError if the changelog says nothing of this version */
async function changelogOf(root: string): Promise<string> {
  const file = join(root, "CHANGELOG.md");
  const text = await Deno.readTextFile(file);
  if (text.split("\n").some((line) => line === `## ${VERSION}` || line.startsWith(`## ${VERSION} `))) return text;
  const remedy = "write what is new in it, under that heading";
  throw new UserError({ doing: DOING, file, problem: `it has no heading "## ${VERSION}"`, remedy });
}

function readArguments(args: readonly string[]): ReleaseOptions {
  let folder: string | undefined;
  const denos = Deno.build.os === "linux" ? [Deno.execPath()] : [];
  const targets = new Set<Target>();
  for (let i = 0; i < args.length; i++) {
    const value = args[i + 1];
    if (args[i] === "--deno" && value !== undefined) denos.push(resolve(args[++i]));
    else if (args[i] === "--target" && value !== undefined) {
      for (const one of readTargets(args[++i], USAGE)) targets.add(one);
    } else if (args[i].startsWith("-") || folder !== undefined) throw new UsageError(USAGE);
    else folder = args[i];
  }
  if (denos.length === 0 && targets.size === 0) throw new UsageError(`${USAGE}\nerror: give a --target`);
  return { folder: resolve(folder ?? "dist/release"), denos, targets: [...targets] };
}

if (import.meta.main) {
  try {
    const options = readArguments(Deno.args);
    const names = await release(options);
    print(`${options.folder}: ${names.join(", ")}`);
  } catch (error) {
    Deno.exit(reportError(error, Deno.args));
  }
}
