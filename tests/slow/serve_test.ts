/**
 * The service under load: 200 jobs of 8 clients, killed once meanwhile and started again; and a hundred hostile requests beside proper
 * ones, which take no longer than without.
 */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { hostileRequests, rawRequest } from "../golden/cli/hostile_requests.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
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

const CT = "iso_ct_two_folds";
const IMAGES = ["test_000", "test_001"].map((id) => imagesOf(CT, id, 1));
const [JOBS, CLIENTS] = [200, 8];

Deno.test({
  name:
    "of 200 jobs of 8 clients, with a kill and a restart in between, each that was accepted is answered right, and once",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const args = ["-m", modelFolder(CT), "--state", join(folder, "state"), "--max-queue", String(JOBS)];
      await using first = await serve(args);
      let served: Promise<Served> = Promise.resolve(first);
      const expected: Uint8Array[] = [];
      for (const image of IMAGES) expected.push(await resultOf(first.url, (await segmented(first.url, image)).id));

      let begun = 0;
      let lost = 0;
      const accepted = new Map<string, number>();
      const client = async () => {
        for (let number = begun++; number < JOBS; number = begun++) {
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
    }),
});

Deno.test("hostile requests and half-sent bodies, again and again, leave proper requests as they are", async () => {
  await inTempFolder(async (folder) => {
    await using served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state"), "--max-upload", "1M"]);
    const port = Number(new URL(served.url).port);
    const image = await Deno.readFile(IMAGES[0][0]);
    const requests = hostileRequests(port, image);
    const half = new TextEncoder().encode(
      `POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000\r\n\r\n--b`,
    );
    const slow = Array.from({ length: 100 }, () => rawRequest(port, half));
    const first = await segmented(served.url, IMAGES[0]);
    const expected = await resultOf(served.url, first.id);
    for (let round = 0; round < 5; round++) {
      const answers = Promise.all(requests.map(async ({ bytes }) => await rawRequest(port, bytes)));
      const jobs = await Promise.all(Array.from({ length: 4 }, () => segmented(served.url, IMAGES[0])));
      for (const { id, state } of jobs) {
        assertEquals(state, "done");
        assertEquals(await resultOf(served.url, id), expected);
      }
      for (const [i, answer] of (await answers).entries()) {
        assert(answer.startsWith(`HTTP/1.1 ${requests[i].status} `), `${requests[i].name}: ${answer.slice(0, 200)}`);
      }
    }
    for (const answer of await Promise.all(slow)) assert(answer.startsWith("HTTP/1.1 408 "), answer.slice(0, 200));
    assertEquals(served.stderr(), "");
  });
});
