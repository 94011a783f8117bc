/**
 * The service under load: 200 jobs of 8 clients, killed once meanwhile and started again; and a hundred hostile requests beside proper
 * ones, which take no longer than without.
 */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { hostileRequests, rawRequest } from "../golden/cli/hostile_requests.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
import { modelFolder, resultOf, segmented, serve } from "../golden/cli/served.ts";
import { answerManyJobs, CT, IMAGES } from "./serve_load.ts";

Deno.test({
  name:
    "of 200 jobs of 8 clients, with a kill and a restart in between, each that was accepted is answered right, and once",
  ignore: Deno.build.os === "windows",
  fn: () => inTempFolder(async (folder) => void await answerManyJobs(folder)),
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
