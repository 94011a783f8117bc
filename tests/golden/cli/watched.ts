/** A watcher in this process, and what it says. */
import { checkWatch, WATCH } from "../../../cli/flags/watch_flags.ts";
import { parseFlags } from "../../../cli/flags/parse_flags.ts";
import { runWatch } from "../../../cli/watch/run_watch.ts";
import { readEnvironment } from "../../../core/dataset/environment.ts";

export interface Said {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Watcher extends AsyncDisposable {
  readonly said: readonly Said[];
  /** Waits for an event of the case. */
  until(event: string, id?: string): Promise<Said>;
  /** As ctrl-C does; what the command came to. */
  stop(): Promise<boolean>;
  readonly ended: Promise<boolean>;
}

/**
 * @param args Behind the command's name
 * @param onSaid Called before the watcher goes on
 */
export function startWatcher(args: readonly string[], onSaid: (one: Said) => void = () => {}): Watcher {
  const said: Said[] = [];
  const controller = new AbortController();
  let wake = Promise.withResolvers<void>();
  const event = (name: string, fields: Readonly<Record<string, unknown>>) => {
    said.push({ event: name, fields });
    onSaid({ event: name, fields });
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const parsed = parseFlags(WATCH, args);
  if (parsed.help) throw new Error("help was asked for");
  checkWatch(parsed.values);
  const ended = runWatch(parsed.values, {
    shownName: "nnunet watch",
    byUpstreamName: false,
    args,
    environment: readEnvironment(() => undefined),
    signal: controller.signal,
    print: (text) => event("message", { text }),
    printError: (text) => event("message", { text }),
    warn: (message) => event("warning", { message }),
    count: () => () => {},
    draw: () => {},
    draws: false,
    event,
  });
  ended.catch(() => wake.resolve());
  let isOver = false;
  ended.finally(() => {
    isOver = true;
    wake.resolve();
  }).catch(() => {});
  return {
    said,
    ended,
    async until(name, id) {
      for (;;) {
        const found = said.find((one) => one.event === name && (id === undefined || one.fields.case === id));
        if (found) return found;
        if (isOver) throw new Error(`it has ended without ${name} ${id ?? ""}: ${JSON.stringify(said)}`);
        await wake.promise;
      }
    },
    async stop() {
      controller.abort();
      return await ended;
    },
    async [Symbol.asyncDispose]() {
      controller.abort();
      await ended.catch(() => {});
    },
  };
}
