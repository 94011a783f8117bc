/**
 * A resident model: how long a small image's second request takes beside a fresh `predict`, what the service holds after many requests,
 * whether 200 jobs of 8 clients are answered right with a kill in between, and how much a hundred hostile requests slow proper ones.
 *
 *   deno task bench serve [MINUTES of the 200 jobs (5)] [ROUNDS with and without hostile requests (5)]
 */
import { join } from "../../core/base/path.ts";
import { hostileRequests, rawRequest } from "../golden/cli/hostile_requests.ts";
import { modelFolder, segmented, serve, type Served } from "../golden/cli/served.ts";
import { answerManyJobs, CT, IMAGES } from "../slow/serve_load.ts";
import { measureProcess } from "./measure_process.ts";
import { median } from "./measurements.ts";
import { ourCommand } from "./our_command.ts";
import { say } from "./say.ts";
import { benchWithNetwork } from "./with_network.ts";

const FRESH_RUNS = 5;
/** Requests after which the service's memory is read. */
const MEMORY_AFTER = [3, 10, 50] as const;
/** Proper jobs, one after the other, in each half of a round. */
const JOBS_IN_TURN = 20;
const HOSTILE = 100;
/** Connections with half a body, open while the proper jobs run. */
const HALF_SENT = 10;

export function bench(args: readonly string[]): Promise<number> {
  return benchWithNetwork("serve", args, measure);
}

async function measure([minutes = "5", rounds = "5"]: readonly string[]): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "nnunet_serve_bench_" });
  const inFolder = (name: string) => join(folder, name);
  try {
    const fresh = await freshPredictions(inFolder("fresh"));
    await using served = await serve(["-m", modelFolder(CT), "--state", inFolder("state"), "--max-upload", "1M"]);
    await measureRequests(served, fresh);
    await measureHostile(served, Number(rounds));
    await served.end("SIGTERM");
    const { accepted, lost, seconds } = await answerManyJobs(inFolder("many"), Number(minutes) * 60);
    say(
      `200 jobs of 8 clients, one kill -9: ${accepted} accepted and answered right, once; ${lost} requests met ` +
        `a service that was gone; ${seconds.toFixed(0)} s`,
    );
    return 0;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** @returns The median of whole `predict` runs on a folder with one small image, in seconds */
async function freshPredictions(folder: string): Promise<number> {
  const input = join(folder, "in");
  await Deno.mkdir(input, { recursive: true });
  await Deno.copyFile(IMAGES[0][0], join(input, "case_0000.nii.gz"));
  const runs: number[] = [];
  for (let run = 0; run < FRESH_RUNS; run++) {
    const output = join(folder, `out${run}`);
    const command = [...ourCommand("predict_from_modelfolder"), "-m", modelFolder(CT), "-f", "0", "1"];
    const { code, seconds, stderr } = await measureProcess([...command, "-i", input, "-o", output]);
    if (code !== 0) throw new Error(stderr);
    runs.push(seconds);
  }
  return median(runs);
}

async function measureRequests(served: Served, fresh: number): Promise<void> {
  const times: number[] = [];
  for (const count of MEMORY_AFTER) {
    while (times.length < count) times.push(await secondsOfJob(served.url));
    say(`memory after ${count} requests: ${(await residentMB(served.pid)).toFixed(0)} MB`);
  }
  const again = median(times.slice(1));
  say(`second request ${again.toFixed(2)} s, a fresh predict ${fresh.toFixed(2)} s: ${(again / fresh).toFixed(3)}`);
}

async function secondsOfJob(url: string): Promise<number> {
  const begun = performance.now();
  const { state } = await segmented(url, IMAGES[0]);
  if (state !== "done") throw new Error(`the job is ${state}`);
  return (performance.now() - begun) / 1000;
}

async function residentMB(pid: number): Promise<number> {
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "rss=", "-p", String(pid)] }).output();
  return Number(new TextDecoder().decode(stdout)) * 1024 / 1e6;
}

/** Rounds of proper jobs, without and with hostile requests spread over them, in turns. */
async function measureHostile(served: Served, rounds: number): Promise<void> {
  const port = Number(new URL(served.url).port);
  const requests = hostileRequests(port, await Deno.readFile(IMAGES[0][0]));
  const half = new TextEncoder().encode(
    `POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: multipart/form-data; boundary=b\r\n` +
      `Content-Length: 9000\r\n\r\n--b`,
  );
  const [alone, beside]: number[][] = [[], []];
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const without = await jobsInTurn(served.url);
    alone.push(...without);
    const apart = without.reduce((sum, seconds) => sum + seconds, 0) * 1000 / HOSTILE;
    const halves = Array.from({ length: HALF_SENT }, () => rawRequest(port, half));
    const hostile = Array.from({ length: HOSTILE }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * apart));
      const { bytes, status, name } = requests[i % requests.length];
      const answer = await rawRequest(port, bytes);
      if (!answer.startsWith(`HTTP/1.1 ${status} `)) throw new Error(`${name}: ${answer.slice(0, 200)}`);
      refused++;
    });
    beside.push(...await jobsInTurn(served.url));
    await Promise.all([...hostile, ...halves]);
  }
  const ratio = median(beside) / median(alone);
  say(
    `${refused} hostile requests refused; a proper job ${median(alone).toFixed(3)} s alone, ` +
      `${median(beside).toFixed(3)} s beside ${HOSTILE} hostile ones in ${JOBS_IN_TURN} jobs: ${ratio.toFixed(3)}`,
  );
}

async function jobsInTurn(url: string): Promise<number[]> {
  const times: number[] = [];
  while (times.length < JOBS_IN_TURN) times.push(await secondsOfJob(url));
  return times;
}
