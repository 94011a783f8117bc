/**
 * Preloaded into the program by tests that kill it (deno run --preload): every change of a file, in whichever thread, is noted in a log,
 * and at the one asked for the process ends as if by kill -9, before the change or, of a write, when half of it is written. Its clock
 * stands still, so that what is written does not depend on when. What the program computes stays as it is.
 */

/** In the variable NNUNET_TEST_KILL, as JSON. */
export interface KillOrder {
  /** File that each change adds a line to. */
  readonly log: string;
  /** A line of the log, and the how manieth of those like it. */
  readonly at?: { readonly line: string; readonly occurrence: number };
}

type AnyFunction = (...args: unknown[]) => unknown;

const { log, at }: KillOrder = JSON.parse(Deno.env.get("NNUNET_TEST_KILL") ?? "{}");
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

/** Functions that change files, with the place of the path that they change among their arguments. */
const CHANGES: readonly (readonly [name: string, path: number])[] = [
  ["rename", 1],
  ["remove", 0],
  ["mkdir", 0],
  ["link", 1],
  ["symlink", 1],
  ["truncate", 0],
  ["copyFile", 1],
  ["writeFile", 0],
  ["writeTextFile", 0],
];

const { readTextFileSync, kill, pid } = Deno;
const writeSync = Deno.FsFile.prototype.writeSync;
const notes = log === undefined ? undefined : Deno.openSync(log, { append: true, create: true });
const paths = new WeakMap<object, string>();

/** The last two names of a path, without what differs from run to run. */
function shown(path: unknown): string {
  const [folder, name] = String(path).split(/[\\/]/).slice(-2);
  return `${folder}/${name}`.replace(
    /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|-?[0-9a-f]{8}-\d+-[0-9a-f]{8}|-[0-9a-f]{8}\b/g,
    "#",
  )
    .replace(/^nnunet-train-\w+|^nnunet_cli_\w+/, "#");
}

/** @param half Does a part of the change */
function meet(operation: string, path: unknown, half?: () => void): void {
  if (!notes || path === log) return;
  const line = `${operation} ${shown(path)}`;
  writeSync.call(notes, new TextEncoder().encode(`${line}\n`));
  if (line !== at?.line) return;
  if (readTextFileSync(log).split("\n").filter((one) => one === line).length !== at.occurrence) return;
  half?.();
  kill(pid, "SIGKILL");
}

function wrap(holder: object, name: string, make: (original: AnyFunction) => AnyFunction): void {
  const functions = holder as Record<string, AnyFunction>;
  functions[name] = make(functions[name]);
}

for (const [name, at] of CHANGES) {
  for (const one of [name, `${name}Sync`]) {
    wrap(Deno, one, (original) => (...args) => {
      meet(name, args[at]);
      return original.apply(Deno, args);
    });
  }
}
const makes = (options: unknown): boolean =>
  (options as Deno.OpenOptions | undefined)?.write === true ||
  (options as Deno.OpenOptions | undefined)?.append === true;
const keep = (file: unknown, path: unknown) => {
  if (file instanceof Deno.FsFile) paths.set(file, String(path));
  return file;
};
wrap(Deno, "openSync", (original) => (path, options) => {
  if (makes(options)) meet("open", path);
  return keep(original.call(Deno, path, options), path);
});
wrap(Deno, "open", (original) => async (path, options) => {
  if (makes(options)) meet("open", path);
  return keep(await original.call(Deno, path, options), path);
});
for (const name of ["write", "writeSync"]) {
  wrap(Deno.FsFile.prototype, name, (original) =>
    function (this: unknown, data: unknown) {
      const file = this as Deno.FsFile;
      const bytes = data as Uint8Array;
      meet("write", paths.get(file), () => writeSync.call(file, bytes.subarray(0, bytes.length >> 1)));
      return original.call(file, bytes);
    });
}

globalThis.Date = class extends Date {
  constructor(...args: [] | [number]) {
    super(...(args.length === 0 ? [NOW] as const : args));
  }
  static override now = () => NOW;
} as DateConstructor;

/** Threads are wrapped as well. */
globalThis.Worker = class extends Worker {
  constructor(script: string | URL, options?: WorkerOptions) {
    const both = `import ${JSON.stringify(import.meta.url)}; import ${JSON.stringify(String(script))};`;
    super(`data:application/javascript,${encodeURIComponent(both)}`, options);
  }
};
