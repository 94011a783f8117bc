/** The service killed (kill -9) at work, stopped, and started again: what it accepted is answered once, and right. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder } from "./cli/run_command.ts";
import { ask, atWork, ended, imagesOf, modelFolder, resultOf, segmented, send, serve } from "./cli/served.ts";

const CT = "iso_ct_two_folds";
const IMAGES = ["test_000", "test_001"].map((id) => imagesOf(CT, id, 1));

Deno.test({
  name: "a service that is killed at work answers all that it accepted after its next start, each once and right",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const args = ["-m", modelFolder(CT), "--state", join(folder, "state")];
      const options = { step_size: "0.15" };
      const accepted: string[] = [];
      const expected: Uint8Array[] = [];
      {
        await using served = await serve(args);
        for (const image of IMAGES) {
          const { id } = await segmented(served.url, image, options);
          expected.push(await resultOf(served.url, id));
        }
        for (let i = 0; i < 8; i++) {
          const { status, body } = await send(served.url, IMAGES[i % 2], options);
          assertEquals(status, 202);
          accepted.push(body.id);
        }
        while ((await ask(`${served.url}/jobs/${accepted[2]}`)).body.state === "queued") {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        await served.end("SIGKILL");
      }
      await using served = await serve(args);
      for (const [i, id] of accepted.entries()) {
        assertEquals((await ended(served.url, id)).state, "done");
        assertEquals(await resultOf(served.url, id), expected[i % 2]);
      }
      const jobs = (await ask(`${served.url}/jobs`)).body.jobs.map(({ id }: { id: string }) => id);
      assertEquals(jobs.slice(2), accepted);
    }),
});

Deno.test("SIGTERM hands a long job back within 20 seconds, and the next service does it", async () => {
  await inTempFolder(async (folder) => {
    const args = ["-m", modelFolder(CT), "--state", join(folder, "state")];
    let id = "";
    {
      await using served = await serve(args);
      // Of many times the seconds that the service gives a running job at its end, so that it is left on any machine.
      const { body } = await send(served.url, IMAGES[0], { step_size: "0.003" });
      id = body.id;
      await atWork(served.url, id);
      // Its headers are there: it is told of the job before the service ends.
      const events = (await fetch(`${served.url}/jobs/${id}/events`)).text();
      const { code, seconds } = await served.end("SIGTERM");
      assertEquals(code, 0);
      assert(seconds < 20, `${seconds} s`);
      assert(served.stdout().includes("1 job is left for the next service"), served.stdout());
      assert((await events).includes("event: job"));
    }
    await using served = await serve(args);
    const job = (await ask(`${served.url}/jobs/${id}`)).body;
    assert(["queued", "running"].includes(job.state), job.state);
    assert(served.stdout().includes("1 job left by an earlier service"), served.stdout());
    assertEquals((await ask(`${served.url}/jobs/${id}`, { method: "DELETE" })).body.state, "cancelled");
  });
});
