/**
 * One file for Linux that needs no Deno, no Node and no network: `deno task package [FOLDER] [--deno FILE]` writes FOLDER/nnunet. It holds
 * the Deno that runs this, or the one of --deno (for the other processor), and the program's bundle; see package_file.ts.
 * FOLDER/nnunet-serve, which may listen, is the same but for 16 bytes.
 */
import { UsageError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { fromFileUrl, join, resolve } from "../../core/base/path.ts";
import { reportError } from "../exit_code.ts";
import { print } from "../terminal.ts";
import { bundle, SERVICE, STARTERS } from "./bundle.ts";
import {
  type PackageEntry,
  type PackageMember,
  type Processor,
  processorOf,
  writePackage,
  writeService,
} from "./package_file.ts";

const USAGE = "usage: deno task package [FOLDER] [--deno FILE]";

/** Writes the packages `folder`/`name` and `folder`/`service` with the Deno `deno`. @returns their paths, and the index of both */
export async function makePackages(
  folder: string,
  deno: string,
  name = "nnunet",
  service = SERVICE,
): Promise<{ file: string; service: string; entries: PackageEntry[] }> {
  const launcher = await Deno.readFile(launcherOf(await processorOf(deno)));
  const runtime = await Deno.readFile(deno);
  await ensureFolder(folder, "making the package's folder");
  const file = join(folder, name);
  const program = await Deno.makeTempDir({ prefix: "nnunet_package_" });
  try {
    await bundle(program);
    const members = await programMembers(program);
    const first = { path: "deno", program: true, read: () => Promise.resolve(runtime) };
    const entries = await writePackage(file, launcher, [first, ...members]);
    await writeService(file, join(folder, service));
    return { file, service: join(folder, service), entries };
  } finally {
    await Deno.remove(program, { recursive: true });
  }
}

/** The launcher of a processor, in this checkout. */
export function launcherOf(processor: Processor): string {
  return fromFileUrl(new URL(`./launcher/launcher-${processor}`, import.meta.url));
}

/** The bundle's files, by name, so that the same sources give the same file. */
async function programMembers(folder: string): Promise<PackageMember[]> {
  const members: PackageMember[] = [];
  const walk = async (below: string) => {
    for await (const { name, isDirectory } of Deno.readDir(join(folder, below))) {
      const path = below === "" ? name : `${below}/${name}`;
      if (isDirectory) await walk(path);
      else if (!STARTERS.includes(path)) {
        members.push({ path: `program/${path}`, program: false, read: () => Deno.readFile(join(folder, path)) });
      }
    }
  };
  await walk("");
  return members.sort((a, b) => a.path < b.path ? -1 : 1);
}

function readArguments(args: readonly string[]): { folder: string; deno: string } {
  let folder: string | undefined;
  let deno = Deno.execPath();
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--deno" && i + 1 < args.length) deno = resolve(args[++i]);
    else if (args[i].startsWith("-") || folder !== undefined) throw new UsageError(USAGE);
    else folder = args[i];
  }
  return { folder: resolve(folder ?? "dist"), deno };
}

if (import.meta.main) {
  try {
    const { folder, deno } = readArguments(Deno.args);
    const { file, service, entries } = await makePackages(folder, deno);
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
    const unpacked = entries.reduce((sum, { size }) => sum + size, 0);
    print(`${file}: ${megabytes((await Deno.stat(file)).size)}, unpacked at its first start (${megabytes(unpacked)})`);
    print(`${service}: the same, for the service: it may listen`);
  } catch (error) {
    Deno.exit(reportError(error, Deno.args));
  }
}
