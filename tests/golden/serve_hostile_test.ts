/** Requests that mean harm: refused by name with a 4xx, none stops the service, and what is asked properly meanwhile is answered. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "./cli/run_command.ts";
import { hostileRequests, rawRequest } from "./cli/hostile_requests.ts";
import { ask, imagesOf, modelFolder, segmented, send, serve } from "./cli/served.ts";

const CT = "iso_ct_two_folds";

Deno.test("hostile requests are refused by name, leave nothing behind, and the service goes on", async () => {
  await inTempFolder(async (folder) => {
    const [state, root] = [join(folder, "state"), join(folder, "root")];
    await Deno.mkdir(root);
    await using served = await serve(["-m", modelFolder(CT), "--state", state, "--root", root, "--max-upload", "1M"]);
    const [image] = imagesOf(CT, "test_000", 1);
    const port = Number(new URL(served.url).port);
    const requests = hostileRequests(port, await Deno.readFile(image));
    assert(requests.length >= 50, `${requests.length}`);
    const meanwhile = segmented(served.url, [image]);
    const answers = await Promise.all(requests.map(async ({ bytes }) => await rawRequest(port, bytes)));
    requests.forEach(({ name, status, words = "" }, i) => {
      const answer = answers[i];
      assertEquals(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), status, `${name}: ${answer.slice(0, 500)}`);
      assert(answer.includes(words), `${name}: ${answer.slice(0, 500)}`);
      assert(!answer.includes(folder), `${name} tells where the service's folders are`);
    });
    assertEquals((await meanwhile).state, "done");
    assertEquals((await segmented(served.url, [image])).state, "done");
    assertEquals((await namesIn(join(state, "jobs"))).length, 2, "of refused jobs nothing is left");
    assertEquals(await namesIn(state), [".serve.lock", "jobs", "serve.json"]);
    assertEquals(await namesIn(folder), ["root", "state"]);
    assertEquals(served.stderr(), "");
  });
});

Deno.test("with a token nothing but health and the description is told without it, and it does not get into the log", async () => {
  await inTempFolder(async (folder) => {
    const token = "correct-horse-battery";
    const file = join(folder, "token");
    await Deno.writeTextFile(file, `${token}\n`);
    const args = ["-m", modelFolder(CT), "--state", join(folder, "state"), "--host", "0.0.0.0", "--log", "json"];
    for (const given of [["--token", token], ["--token-file", file]]) {
      await using served = await serve([...args, ...given]);
      const url = served.url.replace("0.0.0.0", "127.0.0.1");
      const statusOf = async (path: string, authorization?: string) => {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const response = await fetch(`${url}${path}`, { headers });
        await response.body?.cancel();
        return response.status;
      };
      for (const path of ["/health", "/docs", "/openapi.json"]) assertEquals(await statusOf(path), 200);
      for (const path of ["/models", "/jobs", "/metrics", `/jobs/${"0".repeat(32)}`]) {
        assertEquals(await statusOf(path), 401);
        assertEquals(await statusOf(path, `Bearer ${token}x`), 401);
        assertEquals(await statusOf(path, `Basic ${token}`), 401);
      }
      assertEquals(await statusOf("/models", `Bearer ${token}`), 200);
      const files = imagesOf(CT, "test_000", 1);
      assertEquals((await send(url, files)).status, 401);
      assertEquals((await send(url, files, {}, { authorization: `Bearer ${token}` })).status, 202);
      assertEquals(
        (await ask(`${url}/jobs`, { headers: { authorization: `Bearer ${token}` } })).body.jobs.length > 0,
        true,
      );
      assert(!served.stdout().includes(token) && !served.stderr().includes(token), served.stdout());
      const events = served.stdout().trim().split("\n").map((line) => JSON.parse(line));
      assertEquals(events.slice(0, 2).map(({ event }) => event), ["start", "listening"]);
      const request = events.find(({ event, status }) => event === "request" && status === 202);
      assertEquals([request.method, request.route], ["POST", "/jobs"]);
      await served.end("SIGTERM");
    }
  });
});
