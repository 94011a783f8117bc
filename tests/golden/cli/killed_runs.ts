/** Kills the program at many moments, runs the same command again, and compares what is there with what a run in one piece leaves. */
import { fromFileUrl, join } from "../../../core/base/path.ts";
import { assert, assertEquals } from "../../assert.ts";
import type { KillOrder } from "./kill_preload.ts";
import { type CommandResult, runCommand } from "./run_command.ts";

/** A command that is killed and run again. */
export interface KilledCommand {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The folder that it changes. */
  readonly folder: string;
  /** Fills the empty folder. */
  prepare(): Promise<void>;
  /** What of a file is compared; by default all of it. */
  compared?(name: string, text: () => string): string | undefined;
}

/** A change of a file, as the preload notes it, and the how manieth of those like it. */
export type Moment = NonNullable<KillOrder["at"]>;

type Tree = ReadonlyMap<string, Uint8Array | string>;

export interface WholeRun {
  readonly tree: Tree;
  /** Changes of files, in their order. */
  readonly moments: readonly Moment[];
  readonly milliseconds: number;
}

const PRELOAD = fromFileUrl(new URL("./kill_preload.ts", import.meta.url));
const FLAGS = ["--frozen", "--preload", PRELOAD, "--allow-run"];

/** Runs the command in one piece, in a folder that is as it is to be. */
export async function runWhole(command: KilledCommand): Promise<WholeRun> {
  await empty(command);
  const log = `${command.folder}.log`;
  await Deno.remove(log).catch(() => {});
  const start = performance.now();
  const { code, stderr } = await run(command, { log });
  assertEquals(code, 0, stderr);
  const counts = new Map<string, number>();
  const moments = (await Deno.readTextFile(log)).trimEnd().split("\n").map((line) => {
    const occurrence = (counts.get(line) ?? 0) + 1;
    counts.set(line, occurrence);
    return { line, occurrence };
  });
  return { tree: await treeOf(command), moments, milliseconds: performance.now() - start };
}

/**
 * Kills the command at a moment (a change of a file, or milliseconds after its start), runs it again, and compares.
 * @returns false where the run had ended before
 */
export async function killAndGoOn(command: KilledCommand, { tree }: WholeRun, at: Moment | number): Promise<boolean> {
  await empty(command);
  const log = `${command.folder}.log`;
  await Deno.remove(log).catch(() => {});
  const { code } = typeof at === "number"
    ? await run(command, { log }, AbortSignal.timeout(at))
    : await run(command, { log, at });
  const killed = code === 137;
  const moment = typeof at === "number" ? `${Math.round(at)} ms` : `${at.line} (${at.occurrence})`;
  const again = await run(command, {});
  assertEquals(again.code, 0, `killed at ${moment}: ${again.stderr}`);
  const found = await treeOf(command);
  assertEquals([...found.keys()], [...tree.keys()], `killed at ${moment}: other files`);
  for (const [name, content] of tree) assertEquals(found.get(name), content, `killed at ${moment}: ${name}`);
  return killed;
}

/** All renames and removals, and of the other changes as many as make up the count, evenly spread, five at least. */
export function chooseMoments({ moments }: WholeRun, count: number): Moment[] {
  // How often reports are written is a matter of time.
  const certain = moments.filter(({ line, occurrence }) =>
    occurrence === 1 || !/report\.(html|json)|progress\.png/.test(line)
  );
  const renames = certain.filter(({ line }) => line.startsWith("rename "));
  const removals = certain.filter(({ line }) => line.startsWith("remove "));
  const others = certain.filter((one) => !renames.includes(one) && !removals.includes(one));
  const chosen = [...renames, ...removals];
  return [...chosen, ...spread(others, Math.max(5, count - chosen.length))];
}

/** At most `count` of them, the first and the last among them. */
function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.round(i * (items.length - 1) / Math.max(1, count - 1))]);
}

async function run(command: KilledCommand, order: Partial<KillOrder>, signal?: AbortSignal): Promise<CommandResult> {
  const env = { ...command.env, NNUNET_TEST_KILL: JSON.stringify(order) };
  return await runCommand(command.args, { env, flags: FLAGS, ...(signal && { killSignal: signal }) });
}

async function empty(command: KilledCommand): Promise<void> {
  await Deno.remove(command.folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(command.folder);
  await command.prepare();
}

async function treeOf({ folder, compared }: KilledCommand): Promise<Tree> {
  const tree = new Map<string, Uint8Array | string>();
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(join(folder, path))) {
      const inside = path === "" ? name : `${path}/${name}`;
      if (isDirectory) {
        tree.set(`${inside}/`, "");
        await walk(inside);
        continue;
      }
      const bytes = await Deno.readFile(join(folder, inside));
      tree.set(inside, compared?.(inside, () => new TextDecoder().decode(bytes)) ?? bytes);
    }
  };
  await walk("");
  assert(tree.size > 0);
  return new Map([...tree].sort(([a], [b]) => (a < b ? -1 : 1)));
}
