/** Requests that a service must refuse, as bytes: what no library would send. */

export interface HostileRequest {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly status: number;
  /** Of the answer. */
  readonly words?: string;
}

const encoder = new TextEncoder();
const BOUNDARY = "b0undary";

function joined(...pieces: (string | Uint8Array)[]): Uint8Array {
  const parts = pieces.map((piece) => typeof piece === "string" ? encoder.encode(piece) : piece);
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}

type Headers = Readonly<Record<string, string>>;

/** @param image A file that the model would take */
export function hostileRequests(port: number, image: Uint8Array): readonly HostileRequest[] {
  const request = (method: string, path: string, headers: Headers = {}, body: Uint8Array = new Uint8Array()) => {
    const all = { Host: `127.0.0.1:${port}`, Connection: "close", "Content-Length": String(body.length), ...headers };
    const lines = Object.entries(all).filter(([, value]) => value !== "").map(([name, value]) =>
      `${name}: ${value}\r\n`
    );
    return joined(`${method} ${path} HTTP/1.1\r\n`, ...lines, "\r\n", body);
  };
  const get = (path: string, headers: Headers = {}) => request("GET", path, headers);
  const part = (disposition: string, content: string | Uint8Array) =>
    joined(`--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`, content, "\r\n");
  const form = (parts: readonly Uint8Array[], headers: Headers = {}, end = `--${BOUNDARY}--\r\n`) =>
    request(
      "POST",
      "/jobs",
      { "Content-Type": `multipart/form-data; boundary=${BOUNDARY}`, ...headers },
      joined(...parts, end),
    );
  const file = (name: string) => part(`name="image"; filename="${name}"`, image);
  const json = (text: string, headers: Headers = {}) =>
    request("POST", "/jobs", { "Content-Type": "application/json", ...headers }, encoder.encode(text));
  const good = file("a_0000.nii.gz");

  const names: readonly [string, number, string][] = [
    ["../a.nii.gz", 400, "not a path"],
    ["../../../../etc/cron.d/a.nii.gz", 400, "not a path"],
    ["/etc/a.nii.gz", 400, "not a path"],
    ["..\\\\..\\\\a.nii.gz", 400, "not a path"],
    ["C:\\\\a.nii.gz", 400, "not a path"],
    ["a:stream.nii.gz", 400, "Windows"],
    [".nii.gz", 400, "begins with"],
    ["..nii.gz", 400, "begins with"],
    [".hidden.nii.gz", 400, "begins with"],
    ["-rf.nii.gz", 400, "begins with"],
    ["a\u0000b.nii.gz", 400, "control characters"],
    ["a\tb.nii.gz", 400, "control characters"],
    [`${"x".repeat(300)}.nii.gz`, 400, "255 bytes"],
    ["con.nii.gz", 400, "device"],
    ["", 400, "not an empty text"],
    ["a_0000.exe", 415, "which the models take"],
    ["a_0000.nii.gz.html", 415, "which the models take"],
    ["job.json", 415, "which the models take"],
    ["_0000.nii.gz", 400, "no name of a case"],
  ];
  const refusedForms: readonly [string, Uint8Array, number, string][] = [
    ["no image", form([part('name="model"', "x")]), 404, "no model"],
    ["nothing", form([]), 400, "no image"],
    ["two of one name", form([good, good]), 400, "two images have the name"],
    ["a field twice", form([part('name="nan"', "zero"), part('name="nan"', "min"), good]), 400, "given twice"],
    ["an unknown field", form([part('name="shell"', "rm"), good]), 400, "shell"],
    ["a field like a prototype's", form([part('name="__proto__"', "1"), good]), 400, "__proto__"],
    ["a step of nothing", form([part('name="step_size"', "0"), good]), 400, "step_size"],
    ["a step that is no number", form([part('name="step_size"', "1e-300"), good]), 400, "step_size"],
    ["a choice that there is not", form([part('name="nan"', "all"), good]), 400, "nan"],
    ["a long field", form([part('name="name"', "x".repeat(10_000)), good]), 413, "more than 4096 bytes"],
    ["a long name", form([part('name="name"', "x".repeat(300)), good]), 400, "name"],
    ["another model", form([part('name="model"', "../../secret"), good]), 404, "no model"],
    ["a file in another part", form([part('name="model"; filename="a_0000.nii.gz"', image)]), 400, "parts named image"],
    ["a part without a name", form([part('filename="a_0000.nii.gz"', image)]), 400, "no name"],
    ["no end", form([good], {}, ""), 400, "ends before its last boundary"],
    ["no boundary", form([good], { "Content-Type": "multipart/form-data" }), 400, "no boundary"],
    ["another boundary", form([good], { "Content-Type": "multipart/form-data; boundary=x" }), 400, "ends before"],
    ["headers without end", form([joined(`--${BOUNDARY}\r\nX: ${"y".repeat(20_000)}`)]), 400, "over 8192 bytes"],
    [
      "too many fields",
      form(Array.from({ length: 20 }, (_, i) => part(`name="f${i}"`, ""))),
      400,
      "more than 16 fields",
    ],
    [
      "more bytes than are taken",
      form([part('name="image"; filename="a.nii.gz"', new Uint8Array(2 << 20))]),
      413,
      "are the most",
    ],
    ["a claim of ten gigabytes", form([good], { "Content-Length": "10000000000" }), 413, "are the most"],
    ["a form as text", form([good], { "Content-Type": "text/plain" }), 415, "send multipart/form-data"],
    ["no type", form([good], { "Content-Type": "" }), 415, "send multipart/form-data"],
  ];
  const refusedJson: readonly [string, Uint8Array, number, string][] = [
    ["no JSON", json("{"), 400, "no JSON"],
    ["a list", json("[]"), 400, ""],
    ["no files", json('{"files":[]}'), 400, "files"],
    ["numbers for files", json('{"files":[1]}'), 400, "files"],
    ["unknown keys", json('{"files":["/a.nii.gz"],"shell":"rm"}'), 400, "shell"],
    ["unknown options", json('{"files":["/a.nii.gz"],"options":{"device":"cuda"}}'), 400, "device"],
    ["an absurd step", json('{"files":["/a.nii.gz"],"options":{"step_size":-1}}'), 400, "step_size"],
    ["a path outside", json('{"files":["/etc/passwd"]}'), 403, "--root"],
    ["a device", json('{"files":["/dev/zero"]}'), 403, "--root"],
    ["a path that leads up", json('{"files":["/tmp/../etc/passwd"]}'), 403, "--root"],
    ["a relative path", json('{"files":["main.ts"]}'), 403, "--root"],
    ["a zero byte", json('{"files":["/tmp/a\\u0000.nii.gz"]}'), 403, "--root"],
    [
      "no UTF-8",
      request("POST", "/jobs", { "Content-Type": "application/json" }, Uint8Array.of(34, 255, 34)),
      400,
      "UTF-8",
    ],
    ["a large JSON", json(`"${"x".repeat(2 << 20)}"`), 413, "are the most"],
    ["a length that is none", json("{}", { "Content-Length": "-5" }), 400, ""],
  ];
  const sites: readonly [string, Uint8Array, number, string][] = [
    ["a page of another site", form([good], { Origin: "http://evil.example" }), 403, "another site"],
    ["a page of no site", form([good], { Origin: "null" }), 403, "another site"],
    ["another port of this machine", form([good], { Origin: "http://127.0.0.1:1" }), 403, "another site"],
    [
      "a script of another site",
      get("/jobs", { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors" }),
      403,
      "another site",
    ],
    ["a name that leads here", get("/jobs", { Host: "evil.example" }), 421, "not called"],
    ["a name that leads here, with the port", get("/jobs", { Host: `evil.example:${port}` }), 421, "not called"],
    ["no host", get("/jobs", { Host: "" }), 400, ""],
  ];
  const id = "0".repeat(32);
  const paths: readonly [string, Uint8Array, number, string][] = [
    ["a path that leads up", get("/../../etc/passwd"), 404, "no such path"],
    ["the same, escaped", get("/jobs/%2e%2e%2f%2e%2e%2fserve.json"), 404, "no job"],
    ["an id that leads up", get("/jobs/../result"), 404, ""],
    ["a job that there is not", get(`/jobs/${id}`), 404, "no job"],
    ["its result", get(`/jobs/${id}/result`), 404, "no job"],
    ["its events", get(`/jobs/${id}/events`), 404, "no job"],
    ["its end", request("DELETE", `/jobs/${id}`), 404, "no job"],
    ["all jobs' end", request("DELETE", "/jobs"), 405, "GET"],
    ["another method", request("PUT", "/jobs"), 405, "POST"],
    ["a method of its own", request("PROPFIND", "/jobs"), 405, "POST"],
    ["what may be asked", request("OPTIONS", "/jobs"), 405, "POST"],
    ["a state that there is not", get("/jobs?state=%00"), 400, "state"],
    ["a file of the service", get("/serve.json"), 404, "no such path"],
    ["an odd escape", get("/jobs/%zz"), 404, "no job"],
    ["a long path", get(`/jobs/${"x".repeat(8000)}`), 404, "no job"],
  ];
  const named = (what: string, list: readonly (readonly [string, Uint8Array, number, string])[]) =>
    list.map(([name, bytes, status, words]): HostileRequest => ({ name: `${what}: ${name}`, bytes, status, words }));
  return [
    ...named(
      "a file name",
      names.map(([name, status, words]) => [JSON.stringify(name), form([file(name)]), status, words]),
    ),
    ...named("a form", refusedForms),
    ...named("JSON", refusedJson),
    ...named("a site", sites),
    ...named("a path", paths),
    { name: "no HTTP", bytes: encoder.encode("\u0016\u0003\u0001 nonsense\r\n\r\n"), status: 400 },
    { name: "large headers", bytes: get("/health", { X: "y".repeat(40_000) }), status: 431 },
    {
      name: "two lengths",
      bytes: request("POST", "/jobs", { "Transfer-Encoding": "chunked" }, encoder.encode("0\r\n\r\n")),
      status: 400,
    },
  ];
}

/** What comes back until the server ends the connection. */
export async function rawRequest(port: number, bytes: Uint8Array): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const sending = (async () => {
    try {
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    } catch {
      // It was refused before all of it was sent.
    }
  })();
  let answer = "";
  const buffer = new Uint8Array(1 << 16);
  try {
    for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
      answer += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // Ended by the server.
  }
  await sending;
  return answer;
}
