/** Requests that mean harm: refused by name with a 4xx, none stops the service, and what is asked properly meanwhile is answered. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "./cli/run_command.ts";
import { hostileRequests, rawRequest } from "./cli/hostile_requests.ts";
import { ask, atWork, imagesOf, modelFolder, segmented, send, serve } from "./cli/served.ts";

const CT = "iso_ct_two_folds";

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

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

Deno.test("a half-sent body takes no place in the queue, and none is left for its end where others have taken it", async () => {
  await inTempFolder(async (folder) => {
    const state = join(folder, "state");
    await using served = await serve(["-m", modelFolder(CT), "--state", state, "--max-queue", "1"]);
    const port = Number(new URL(served.url).port);
    const image = imagesOf(CT, "test_000", 1);
    const form = new FormData();
    form.append("image", new File([await Deno.readFile(image[0])], "a_0000.nii.gz"));
    const request = new Request("http://127.0.0.1", { method: "POST", body: form });
    const type = request.headers.get("content-type");
    const body = await request.bytes();
    const head = new TextEncoder().encode(
      `POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\nContent-Type: ${type}\r\n` +
        `Content-Length: ${body.length}\r\n\r\n`,
    );
    const halves = await Promise.all([1, 2].map(() => Deno.connect({ hostname: "127.0.0.1", port })));
    for (const half of halves) {
      await writeAll(half, head);
      await writeAll(half, body.subarray(0, 100));
    }
    while ((await namesIn(join(state, "jobs"))).length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    const running = (await send(served.url, image, { step_size: "0.02" })).body;
    await atWork(served.url, running.id);
    const waiting = await send(served.url, image);
    assertEquals([waiting.status, waiting.body.position], [202, 1]);

    const refused = /^HTTP\/1\.1 503 [^]*\r\nretry-after: 30\r\n[^]*as many jobs wait as may/i;
    const unread = await rawRequest(port, head);
    assert(refused.test(unread), unread);
    const endOf = async (half: Deno.Conn) => {
      using _closing = half;
      await writeAll(half, body.subarray(100));
      return await new Response(half.readable).text();
    };
    const late = await endOf(halves[0]);
    assert(refused.test(late), late);
    for (const { id } of [waiting.body, running]) await ask(`${served.url}/jobs/${id}`, { method: "DELETE" });
    const taken = await endOf(halves[1]);
    assert(taken.startsWith("HTTP/1.1 202 "), taken);
    const { jobs } = (await ask(`${served.url}/jobs`)).body;
    assertEquals(jobs.length, 3);
    assertEquals((await namesIn(join(state, "jobs"))).length, 3, "of the refused one nothing is left");
    assertEquals(served.stderr(), "");
  });
});

Deno.test("large JSON bodies that come at once have some memory together, and small ones are answered meanwhile", async () => {
  await inTempFolder(async (folder) => {
    await using served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state")]);
    const port = Number(new URL(served.url).port);
    const body = new TextEncoder().encode(
      `POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${1 << 20}\r\n\r\n"${"x".repeat((1 << 20) - 2)}`,
    );
    const halves = await Promise.all(Array.from({ length: 24 }, () => Deno.connect({ hostname: "127.0.0.1", port })));
    const answers: string[] = [];
    const reading = halves.map(async (half) => {
      await writeAll(half, body).catch(() => {});
      const buffer = new Uint8Array(4096);
      const count = await half.read(buffer).catch(() => null);
      if (count !== null) answers.push(new TextDecoder().decode(buffer.subarray(0, count)));
    });
    // There is room for sixteen.
    while (answers.length < 8) await new Promise((resolve) => setTimeout(resolve, 10));
    const headers = { "content-type": "application/json" };
    const small = await ask(`${served.url}/jobs`, { method: "POST", body: '{"files":["/etc/passwd"]}', headers });
    assertEquals(small.status, 403);
    for (const half of halves) half.close();
    await Promise.all(reading);
    assert(answers.length < halves.length, answers.join("\n"));
    for (const answer of answers) assert(answer.startsWith("HTTP/1.1 503 "), answer);
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
