/** The flags of `serve`. */
import { UsageError } from "../../core/base/errors.ts";
import { checkPrecision, MACHINE } from "./engine_flags.ts";
import type { FlagTable, Values } from "./flag.ts";
import { LOG } from "./forms.ts";
import { PREDICTION } from "./predict_flags.ts";

const MODELS = "Models";
const WHO = "Who may ask";
const JOBS = "Jobs";
const OUTPUT = "Output";

/** Shorter ones are found by trying. */
const TOKEN_LENGTH = 16;

export const SERVE = {
  models: {
    kind: "list",
    names: ["-m"],
    value: "FOLDER",
    required: true,
    repeats: true,
    beyond: true,
    group: MODELS,
    help:
      "Folders of the models to serve, each with plans.json, dataset.json and fold_X; NAME=FOLDER gives one a name. " +
      "Default: DATASET-CONFIGURATION. A cascade's second stage needs its first among them, which is run before it.",
  },
  folds: {
    kind: "list",
    names: ["-f"],
    value: "FOLD",
    form: PREDICTION.folds.form,
    group: MODELS,
    help: "Folds whose networks are averaged: numbers, or `all`. Default: all numbered ones that a model has.",
  },
  checkpoint: { ...PREDICTION.checkpoint, group: MODELS },
  assumePlansNetwork: { ...PREDICTION.assumePlansNetwork, group: MODELS },
  stdio: {
    kind: "switch",
    names: ["--stdio"],
    beyond: true,
    group: WHO,
    help:
      "No network: the program that has started this one asks, by a JSON request a line on stdin, and is answered on " +
      "stdout. Needs no permission to listen; of what follows nothing is used.",
  },
  host: {
    kind: "text",
    names: ["--host"],
    value: "ADDRESS",
    default: "127.0.0.1",
    beyond: true,
    group: WHO,
    help:
      "Address to listen on. Default: this machine alone. Others (0.0.0.0 for all the machine has) need --token or " +
      "--token-file.",
  },
  port: {
    kind: "integer",
    names: ["--port"],
    value: "N",
    range: { min: 0, max: 65535 },
    default: 8765,
    beyond: true,
    group: WHO,
    help: "Port to listen on; 0 takes one that is free, and the first line says which.",
  },
  token: {
    kind: "text",
    names: ["--token"],
    value: "TEXT",
    secret: true,
    beyond: true,
    group: WHO,
    help: "What clients send as `Authorization: Bearer TEXT`; 16 characters or more. Others on the machine may see it.",
  },
  tokenFile: {
    kind: "text",
    names: ["--token-file"],
    value: "FILE",
    beyond: true,
    group: WHO,
    help: "The same, in a file.",
  },
  tlsCert: {
    kind: "text",
    names: ["--tls-cert"],
    value: "FILE",
    beyond: true,
    group: WHO,
    help: "Certificate (PEM) for https, with --tls-key.",
  },
  tlsKey: {
    kind: "text",
    names: ["--tls-key"],
    value: "FILE",
    beyond: true,
    group: WHO,
    help: "Its private key (PEM).",
  },
  hostNames: {
    kind: "list",
    names: ["--host-name"],
    value: "NAME",
    repeats: true,
    beyond: true,
    group: WHO,
    help: "Further names by which clients may call the service, as behind a proxy. Without a token others are refused.",
  },
  roots: {
    kind: "list",
    names: ["--root"],
    value: "FOLDER",
    repeats: true,
    beyond: true,
    group: WHO,
    help: "Folders whose images jobs may name by their paths. Default: none, images are sent.",
  },
  state: {
    kind: "text",
    names: ["--state"],
    value: "FOLDER",
    beyond: true,
    group: JOBS,
    help:
      "Folder for the queue, images and results. Default: nnunet-serve in XDG_STATE_HOME, else in ~/.local/state. What " +
      "was accepted is there after any end of the service, and the next one goes on with it.",
  },
  keep: {
    kind: "number",
    names: ["--keep"],
    value: "HOURS",
    range: { above: 0, max: 87_600 },
    default: 24,
    beyond: true,
    group: JOBS,
    help: "How long results are kept. Images go as soon as their job is finished.",
  },
  maxQueue: {
    kind: "integer",
    names: ["--max-queue"],
    value: "N",
    range: { min: 1, max: 100_000 },
    default: 100,
    beyond: true,
    group: JOBS,
    help: "Jobs that may wait; more are refused.",
  },
  maxUpload: {
    kind: "bytes",
    names: ["--max-upload"],
    value: "SIZE",
    default: 8 * 2 ** 30,
    beyond: true,
    group: JOBS,
    help: "Most bytes of a job's images. Default: 8G.",
  },
  maxDisk: {
    kind: "bytes",
    names: ["--max-disk"],
    value: "SIZE",
    beyond: true,
    group: JOBS,
    help: "Most bytes in the state folder; what goes beyond is refused. Default: what the disk has.",
  },
  device: PREDICTION.device,
  gpuChoice: PREDICTION.gpuChoice,
  allowCpu: PREDICTION.allowCpu,
  allowSoftwareGpu: PREDICTION.allowSoftwareGpu,
  precision: PREDICTION.precision,
  threads: PREDICTION.threads,
  maxMemory: {
    ...PREDICTION.maxMemory,
    group: MACHINE,
    help: "Most memory to use, like 4G or 512M. Models that were not used for long are given back where it is short.",
  },
  deterministic: PREDICTION.deterministic,
  segmentCodes: { ...PREDICTION.segmentCodes, group: JOBS },
  logNames: {
    kind: "switch",
    names: ["--log-names"],
    beyond: true,
    group: OUTPUT,
    help:
      "Say names and paths of images in the log, which may be patients'. Without it there are numbers of jobs only.",
  },
  log: LOG,
  quiet: { ...PREDICTION.quiet, help: "No line for each request and job; warnings and errors only." },
} as const satisfies FlagTable;

export type ServeValues = Values<typeof SERVE>;

/** What the command line alone says. @throws UsageError */
export function checkServe(values: ServeValues): void {
  checkPrecision(values);
  if (values.stdio && values.log === "json") {
    throw new UsageError("argument --log: not allowed with argument --stdio, whose answers have stdout to themselves");
  }
  const { host, token, tokenFile, tlsCert, tlsKey } = values;
  if (token !== undefined && tokenFile !== undefined) {
    throw new UsageError("argument --token-file: not allowed with argument --token");
  }
  if (!isLoopback(host) && token === undefined && tokenFile === undefined) {
    throw new UsageError(
      `argument --host: other machines reach ${host}, so that a token is needed: --token-file FILE, or --token TEXT`,
    );
  }
  if (token !== undefined) requireToken(token, (problem) => new UsageError(`argument --token: ${problem}`));
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [given, missing] = tlsCert === undefined ? ["--tls-key", "--tls-cert"] : ["--tls-cert", "--tls-key"];
    throw new UsageError(`argument ${given}: it needs ${missing}`);
  }
}

/** True for addresses that other machines don't reach. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** @throws what `error` makes of the problem, unless the text can be a token */
export function requireToken(text: string, error: (problem: string) => Error): void {
  if (!/^[\x21-\x7e]+$/.test(text)) throw error("a token has letters, digits and signs of ASCII alone, and no blanks");
  if (text.length < TOKEN_LENGTH) throw error(`it has ${text.length} characters; ${TOKEN_LENGTH} or more are needed`);
}
