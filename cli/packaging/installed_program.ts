/** What this program runs as: sources, a bundle, or one file; and where that is. */
import { dirname, fromFileUrl, join } from "../../core/base/path.ts";

/**
 * "checkout": the sources. "bundle": a folder made by `deno task bundle`. "package": one file made by `deno task package`, which has
 * unpacked itself. "executable": one file made by `deno task compile`.
 */
export type ProgramKind = "checkout" | "bundle" | "package" | "executable";

export interface InstalledProgram {
  readonly kind: ProgramKind;
  /** main.ts, main.js, or the one file. */
  readonly file: string;
}

/** Set by the launcher (launcher/launcher.c), which takes away what a user has set: the one file's path. */
const PACKAGE = "NNUNET_PACKAGE";

export async function installedProgram(): Promise<InstalledProgram> {
  if (Deno.build.standalone) return { kind: "executable", file: Deno.execPath() };
  const main = fromFileUrl(Deno.mainModule);
  const file = packageOf(main);
  if (file !== undefined) return { kind: "package", file };
  const isCheckout = await Deno.stat(join(dirname(main), "deno.json")).then((info) => info.isFile, () => false);
  return { kind: isCheckout ? "checkout" : "bundle", file: await Deno.realPath(main) };
}

/** Names that the one file was started under: its own and argv[0] (a symbolic link's); none where Deno was given a script. */
export function oneFileNames(): string[] {
  const zero = (globalThis as { process?: { argv0?: string } }).process?.argv0;
  const file = Deno.build.standalone ? Deno.execPath() : packageOf(fromFileUrl(Deno.mainModule));
  if (file === undefined) return [];
  return zero === undefined ? [file] : [file, zero];
}

/** The package that `main` was unpacked from: one lies in CACHE/CHECKSUM/program. */
function packageOf(main: string): string | undefined {
  return /[/\\][0-9a-f]{64}[/\\]program[/\\]main\.js$/.test(main) ? Deno.env.get(PACKAGE) : undefined;
}
