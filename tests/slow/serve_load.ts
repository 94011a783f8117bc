/** 200 jobs of 8 clients, with a kill and a restart of the service in between. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import {
  ask,
  ended,
  imagesOf,
  type Json,
  modelFolder,
  resultOf,
  segmented,
  send,
  serve,
  type Served,
} from "../golden/cli/served.ts";

export const CT = "iso_ct_two_folds";
export const IMAGES = ["test_000", "test_001"].map((id) => imagesOf(CT, id, 1));
const [JOBS, CLIENTS] = [200, 8];

/**
 * Sends the jobs, kills the service at half of them, and asserts that each job that was accepted is answered right, and once.
 *
 * @param folder An empty one, for the service's state
 * @param seconds Over which the jobs are spread; as fast as they are accepted by default
 * @returns How many jobs were accepted, how many requests met a service that was gone, and how long all of it took
 */
export async function answerManyJobs(
  folder: string,
  seconds = 0,
): Promise<{ readonly accepted: number; readonly lost: number; readonly seconds: number }> {
  const args = ["-m", modelFolder(CT), "--state", join(folder, "state"), "--max-queue", String(JOBS)];
  await using first = await serve(args);
  let served: Promise<Served> = Promise.resolve(first);
  const expected: Uint8Array[] = [];
  for (const image of IMAGES) expected.push(await resultOf(first.url, (await segmented(first.url, image)).id));

  const start = performance.now();
  let begun = 0;
  let lost = 0;
  const accepted = new Map<string, number>();
  const client = async () => {
    for (let number = begun++; number < JOBS; number = begun++) {
      const wait = start + number / JOBS * seconds * 1000 - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      if (number === JOBS / 2) {
        served = first.end("SIGKILL").then(() => serve(args));
        await served;
      }
      try {
        const { status, body } = await send((await served).url, IMAGES[number % 2], { name: String(number) });
        assertEquals(status, 202);
        accepted.set(body.id, number);
        // Half of the clients wait for their answers before they ask again.
        if (number % 2 === 0) await ended((await served).url, body.id);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // fetch's: the service is gone
        lost++;
        await served;
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  assert(lost <= 2 * CLIENTS, `${lost} requests met a service that was gone`);
  await using second = await served;
  assert(second.url !== first.url || second.pid !== first.pid);
  for (const [id, number] of accepted) {
    const job = await ended(second.url, id);
    assertEquals([job.state, job.name], ["done", String(number)], JSON.stringify(job));
    assertEquals(await resultOf(second.url, id), expected[number % 2]);
  }
  const { jobs } = (await ask(`${second.url}/jobs`)).body as { jobs: Json[] };
  const names = jobs.map(({ name }) => name).filter((name) => name !== undefined);
  assertEquals(new Set(names).size, names.length, "no job is listed twice");
  assert(accepted.size >= JOBS - 2 * CLIENTS, `${accepted.size} were accepted`);
  return { accepted: accepted.size, lost, seconds: (performance.now() - start) / 1000 };
}
