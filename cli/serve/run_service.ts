/** The service from checked flags to its end: models, engine, state folder, port; then requests and jobs until it is told to end. */
import { UserError } from "../../core/base/errors.ts";
import { join, resolve } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { readError } from "../../core/base/read_error.ts";
import type { CommandContext } from "../commands/command.ts";
import { engineWish } from "../engines/select_engine.ts";
import { wantedGpus } from "../engines/wanted_gpus.ts";
import { foldName } from "../flags/forms.ts";
import { requireToken, type ServeValues } from "../flags/serve_flags.ts";
import { EXIT } from "../exit_code.ts";
import { formatSeconds } from "../terminal.ts";
import { makePhantom } from "../demo/phantom.ts";
import { phantomNifti } from "../demo/phantom_files.ts";
import { commandLineOf } from "../report.ts";
import { VERSION } from "../version.ts";
import { type Answered, dispatcher } from "./dispatch.ts";
import { doJobs } from "./do_job.ts";
import { type HttpHandler, listen } from "./http_server.ts";
import type { JobRecord } from "./job.ts";
import { openJobQueue } from "./job_queue.ts";
import { type JobStore, openJobStore } from "./job_store.ts";
import { createMetrics } from "./metrics.ts";
import { openPredictor, type Predictor } from "./predictor.ts";
import { type Service } from "./routes.ts";
import { serveStdio } from "./stdio.ts";
import { createTextRoom } from "./text_room.ts";
import { openServedModels, type ServedModels } from "./served_models.ts";

const DOING = "starting the service";
/** A running job may go on for so long when the service is told to end; what comes after that takes a second or two. */
const GRACE_MS = 8000;
/** Then what the engine is at, which may be a large patch on a slow machine, is not waited for. */
const LAST_MS = 17_000;
/** Answers may go on for so long after that. */
const CLOSING_MS = 2000;
const TOKEN_BYTES = 4096;
/** Of large JSON bodies that are being received. */
const TEXT_BYTES = 16 << 20;

/** @throws UserError before it listens, for whatever would not work */
export async function runService(values: ServeValues, context: CommandContext): Promise<void> {
  if (values.stdio) return await runStdio(values, context);
  await requirePermission(values);
  const token = values.tokenFile === undefined ? values.token : await readToken(values.tokenFile);
  const tls = await readTls(values);
  const roots = await Promise.all(values.roots?.map(rootPath) ?? []);
  using models = await openModels(values, false);
  using store = await openJobStore(stateFolder(values), values.maxDisk ?? Number.MAX_SAFE_INTEGER);
  const lines = startLines();
  await using predictor = await startPredictor(values, context, lines.say);
  const log = createLog(values, context);
  const queue = await openJobQueue(store, doJobs(store, models, predictor, roots), {
    limit: values.maxQueue,
    places: predictor.places,
    keepMs: values.keep * 3_600_000,
    onEnd: log.job,
    onDefect: log.defect,
  });
  const ending = new AbortController();
  const service = serviceOf({ store, models, predictor, queue, log, ending: ending.signal, roots, values });
  // Who may ask depends on the port, which is known once it listens.
  const handler = Promise.withResolvers<HttpHandler>();
  const server = await listen(async (request) => await (await handler.promise)(request), {
    host: values.host,
    port: values.port,
    ...(tls && { tls }),
    onDefect: (error) => log.defect(error),
  });
  // From here on it answers, and can't ask anyone for anything.
  await Deno.permissions.revoke({ name: "net" });
  const rules = {
    host: values.host,
    port: server.port,
    ...(token !== undefined && { token }),
    names: values.hostNames ?? [],
  };
  handler.resolve(dispatcher(service, rules, log.request));
  sayListening(values, server.port, tls !== undefined, context);
  lines.release(context);
  sayStart(values, models, store, predictor, context);

  const { signal } = context;
  let isDone = false;
  const working = queue.run().finally(() => isDone = true);
  await new Promise<void>((done) => signal.aborted ? done() : signal.addEventListener("abort", () => done()));
  ending.abort();
  queue.stop(GRACE_MS);
  await Promise.race([working, new Promise((late) => Deno.unrefTimer(setTimeout(late, LAST_MS)))]);
  if (!isDone) await queue.handBack();
  await server.close(CLOSING_MS);
  const left = queue.waiting;
  if (left > 0) {
    context.print(
      `${plural(left, "job")} ${left === 1 ? "is" : "are"} left for the next service with this state folder`,
    );
  }
  // What is disposed of below would wait for the engine.
  if (!isDone) Deno.exit(EXIT.done);
}

async function openModels(values: ServeValues, takesSegmentations: boolean): Promise<ServedModels> {
  const { models, folds, checkpoint, assumePlansNetwork, segmentCodes } = values;
  return await openServedModels(models, {
    folds: folds?.map(foldName),
    checkpointName: checkpoint,
    assumePlansNetwork,
  }, { ...(segmentCodes !== undefined && { segmentCodes }), takesSegmentations });
}

/** stdout is the answers': what is said besides goes to stderr. */
async function runStdio(values: ServeValues, context: CommandContext): Promise<void> {
  using models = await openModels(values, true);
  await using predictor = await startPredictor(values, context, context.printError);
  await serveStdio(models, predictor, context);
}

/** @throws UserError where the program may not listen */
async function requirePermission({ host, port }: ServeValues): Promise<void> {
  const name = host.includes(":") ? `[${host}]` : host;
  const { state } = await Deno.permissions.query({ name: "net", host: `${name}:${port}` });
  if (state === "granted") return;
  throw new UserError({
    doing: DOING,
    problem: `this program has no permission to listen on ${host}, as it uses no network`,
    remedy: "start nnunet-serve in its place, which may listen on this machine's addresses and do nothing else on a " +
      "network (from the sources: deno task serve)",
  });
}

async function readToken(file: string): Promise<string> {
  const error = (problem: string) => new UserError({ doing: "reading the token", file, problem });
  let text: string;
  try {
    const { size, isFile } = await Deno.stat(file);
    if (!isFile || size > TOKEN_BYTES) throw error("a file of one line, the token, is needed");
    text = (await Deno.readTextFile(file)).trim();
  } catch (thrown) {
    throw readError(thrown, file, "reading the token");
  }
  requireToken(text, error);
  return text;
}

async function readTls({ tlsCert, tlsKey }: ServeValues) {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const read = async (file: string, doing: string) => {
    try {
      return await Deno.readTextFile(file);
    } catch (error) {
      throw readError(error, file, doing);
    }
  };
  return { cert: await read(tlsCert, "reading the certificate"), key: await read(tlsKey, "reading the private key") };
}

async function rootPath(folder: string): Promise<string> {
  try {
    const path = await Deno.realPath(folder);
    if ((await Deno.stat(path)).isDirectory) return path;
  } catch (error) {
    throw readError(error, folder, DOING);
  }
  throw new UserError({ doing: DOING, file: folder, problem: "--root names a file; a folder is needed" });
}

/** By the XDG base directory specification. */
function stateFolder({ state }: ServeValues): string {
  if (state !== undefined) return resolve(state);
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  const base = Deno.env.get("XDG_STATE_HOME") || (home ? join(home, ".local", "state") : undefined);
  if (base !== undefined) return join(base, "nnunet-serve");
  const problem = "there is no home folder for queue and results";
  throw new UserError({ doing: DOING, problem, remedy: "give a folder with --state" });
}

/** The first line on stdout says where it listens; what is said before waits for it. */
function startLines() {
  const held: string[] = [];
  return {
    say: (line: string) => void held.push(line),
    release({ print }: Pick<CommandContext, "print">) {
      held.forEach(print);
    },
  };
}

async function startPredictor(
  values: ServeValues,
  context: CommandContext,
  say: (line: string) => void,
): Promise<Predictor> {
  const { maxMemory, logNames } = values;
  const gpus = await wantedGpus(values, context);
  return await openPredictor({
    wish: engineWish(values),
    ...(gpus && { gpus }),
    ...(maxMemory !== undefined && { maxMemory }),
    commandLine: commandLineOf(context),
    hooks: { say, warn: context.warn },
    hidesCases: !logNames,
    onFailure: ({ cases, ...failure }) => context.event?.("gpu_failed", { ...failure, ...(logNames && { cases }) }),
  });
}

/** Of the phantom that the page offers. */
const PHANTOM_SEED = 7;

function serviceOf({ store, models, predictor, queue, log, ending, roots, values }: {
  readonly store: JobStore;
  readonly models: ServedModels;
  readonly predictor: Predictor;
  readonly queue: Service["queue"];
  readonly log: ServiceLog;
  readonly ending: AbortSignal;
  readonly roots: readonly string[];
  readonly values: ServeValues;
}): Service {
  const heldBytes = (name: string) => {
    const served = models.find(name);
    return served ? predictor.heldBytes(served.model) : 0;
  };
  let phantom: Uint8Array | undefined;
  return {
    reception: { store, models, roots, maxUpload: values.maxUpload, texts: createTextRoom(TEXT_BYTES) },
    queue,
    engine: () => predictor.engine.description,
    heldBytes,
    metrics: () =>
      log.metrics.text({
        queued: queue.waiting,
        running: queue.list().filter(({ state }) => state === "running").length,
        diskBytes: store.bytes(),
        modelBytes: new Map(models.all.map(({ name }) => [name, heldBytes(name)])),
        version: VERSION,
      }),
    phantom: () => phantom ??= phantomNifti(makePhantom(PHANTOM_SEED)),
    ending,
  };
}

function sayListening({ host }: ServeValues, port: number, isTls: boolean, { print, event }: CommandContext): void {
  const url = `${isTls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (event) event("listening", { url });
  else print(`listening on ${url}`);
}

function sayStart(
  { quiet }: ServeValues,
  models: ServedModels,
  store: JobStore,
  predictor: Predictor,
  { print }: CommandContext,
): void {
  if (quiet) return;
  for (const { name, model } of models.all) {
    const folds = model.folds.map((fold) => fold.name).join(" ");
    print(
      `model ${name}: ${model.trainerName}, ${model.configuration.name}, fold${
        model.folds.length > 1 ? "s" : ""
      } ${folds}`,
    );
  }
  const { description, reason } = predictor.engine;
  print(`engine: ${description}${reason ? ` (${reason})` : ""}`);
  const waiting = [...store.jobs.values()].filter(({ record }) => record.state === "queued").length;
  print(`state: ${store.folder}${waiting > 0 ? `, ${plural(waiting, "job")} left by an earlier service` : ""}`);
}

interface ServiceLog {
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly request: (answered: Answered) => void;
  readonly job: (record: JobRecord) => void;
  readonly defect: (error: unknown, record?: JobRecord) => void;
}

/** One line a request and one a job; names, which may be patients', where they are asked for. */
function createLog({ logNames, quiet }: ServeValues, { print, printError, event, warn }: CommandContext): ServiceLog {
  const metrics = createMetrics();
  return {
    metrics,
    request({ method, route, path, job, status, seconds, problem }) {
      metrics.request(route, method, status, seconds);
      const names = logNames ? { path, ...(problem !== undefined && { problem }) } : {};
      if (event) event("request", { method, route, status, seconds, ...(job !== undefined && { job }), ...names });
      else if (!quiet) {
        const shown = logNames ? path : route.replace("{id}", job ?? "{id}");
        print(`${method} ${shown} ${status} ${seconds.toFixed(3)} s${logNames && problem ? ` (${problem})` : ""}`);
      }
    },
    job(record) {
      const { id, model, state, started, finished, error } = record;
      const seconds = started && finished ? Math.max(0, Date.parse(finished) - Date.parse(started)) / 1000 : 0;
      metrics.job(model, state, seconds);
      const names = logNames ? { case: record.case, ...(error && { message: error.message }) } : {};
      if (event) event("job", { job: id, model, state, seconds, ...(error && { doing: error.doing }), ...names });
      else if (!quiet) {
        const why = error ? `: ${logNames ? error.message : error.doing}` : "";
        print(`job ${id}${logNames ? ` (${record.case})` : ""} ${state} in ${formatSeconds(seconds)}${why}`);
      }
    },
    defect(error, record) {
      const about = record ? `job ${record.id}: ` : "";
      if (error instanceof UserError && !logNames) return warn(`${about}${error.parts.doing}: ${error.parts.problem}`);
      if (error instanceof UserError) return warn(`${about}${error.message}`);
      printError(
        `error: ${about}a defect of the service: ${error instanceof Error ? error.stack ?? error.message : error}`,
      );
    },
  };
}
