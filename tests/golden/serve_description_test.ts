/** The OpenAPI document against the running service: every operation is asked for, and every answer is one that is described. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { schemaProblems } from "./cli/json_schema.ts";
import { inTempFolder } from "./cli/run_command.ts";
import { ask, atWork, imagesOf, type Json, modelFolder, segmented, send, serve } from "./cli/served.ts";

const CT = "iso_ct_two_folds";

Deno.test("the service answers as its OpenAPI document says, every operation and every kind of answer that can be had", async () => {
  await inTempFolder(async (folder) => {
    await using served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state"), "--max-queue", "1"]);
    const { url } = served;
    const document: Json = (await ask(`${url}/openapi.json`)).body;
    assertEquals(document.openapi, "3.1.1");
    const answered = new Set<string>();

    const check = async (method: string, path: string, at: string, init: RequestInit = {}): Promise<Json> => {
      const response = await fetch(`${url}${at}`, { method, ...init });
      const operation = document.paths[path]?.[method.toLowerCase()];
      const described = operation?.responses[response.status];
      assert(described, `${method} ${at} answers ${response.status}, which is not described`);
      answered.add(`${method} ${path} ${response.status}`);
      const text = await response.text();
      if (described.content === undefined) return assertEquals(text, "");
      const [type, { schema }] = Object.entries<Json>(described.content)[0];
      const given = response.headers.get("content-type") ?? "";
      assert(type === "*/*" || given.startsWith(type), `${method} ${at}: ${given} for ${type}`);
      if (!type.endsWith("json")) return text;
      const value = JSON.parse(text);
      assertEquals(schemaProblems(value, schema, document), [], `${method} ${at}`);
      return value;
    };
    const image = imagesOf(CT, "test_000", 1);
    const form = async (fields: Record<string, string> = {}) => {
      const body = new FormData();
      for (const [name, value] of Object.entries(fields)) body.append(name, value);
      body.append("image", new File([await Deno.readFile(image[0])], "a_0000.nii.gz"));
      return { body };
    };

    for (const path of ["/health", "/models", "/metrics", "/openapi.json", "/docs"]) await check("GET", path, path);
    const done = await segmented(url, image, { name: "first" });
    const cut = join(folder, "cut_0000.nii.gz");
    await Deno.writeFile(cut, new Uint8Array(100));
    const failed = await segmented(url, [cut]);
    const long = await check("POST", "/jobs", "/jobs", await form({ step_size: "0.01" }));
    await check("GET", "/jobs/{id}", `/jobs/${long.id}`);
    await atWork(url, long.id);
    const waiting = (await send(url, image)).body;
    await check("GET", "/jobs", "/jobs");
    await check("GET", "/jobs", "/jobs?state=failed");
    await check("GET", "/jobs", "/jobs?state=lost");
    await check("POST", "/jobs", "/jobs", await form()); // 503
    for (const { id } of [done, failed, long, waiting, { id: "0".repeat(32) }]) {
      await check("GET", "/jobs/{id}", `/jobs/${id}`);
      await check("GET", "/jobs/{id}/result", `/jobs/${id}/result`);
      await check("GET", "/jobs/{id}/report", `/jobs/${id}/report`);
    }
    await check("GET", "/jobs/{id}/result", `/jobs/${done.id}/result?part=probabilities`);
    await check("GET", "/jobs/{id}/result", `/jobs/${done.id}/result?part=all`);
    await check("GET", "/jobs/{id}/events", `/jobs/${done.id}/events`);
    await check("GET", "/jobs/{id}/events", `/jobs/${"0".repeat(32)}/events`);
    for (const { id } of [waiting, long, done, done]) await check("DELETE", "/jobs/{id}", `/jobs/${id}`);
    await check("POST", "/jobs", "/jobs", { body: "x", headers: { "content-type": "text/plain" } });
    await check("POST", "/jobs", "/jobs", await form({ model: "another" }));
    await check("POST", "/jobs", "/jobs", { body: "{}", headers: { "content-type": "application/json" } });
    const outside = { body: '{"files":["/etc/passwd"]}', headers: { "content-type": "application/json" } };
    await check("POST", "/jobs", "/jobs", outside);

    const described = Object.entries<Json>(document.paths).flatMap(([path, operations]) =>
      Object.entries<Json>(operations).flatMap(([method, { responses }]) =>
        Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`)
      )
    );
    // Tokens, other sites, slow clients, large bodies and full disks have tests of their own.
    const elsewhere = /(401|403|421|408|413|507)$/;
    assertEquals(described.filter((one) => !answered.has(one) && !elsewhere.test(one)), []);
    const page = await (await fetch(`${url}/docs`)).text();
    for (const path of Object.keys(document.paths)) assert(page.includes(path), path);
  });
});
