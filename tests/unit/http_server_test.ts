/** The server of the service against clients that stop, crawl or claim: they are answered or dropped, and the others are served. */
import { type HttpHandler, listen } from "../../cli/serve/http_server.ts";
import { HttpProblem } from "../../cli/serve/problem.ts";
import { assert, assertEquals } from "../assert.ts";

const decoder = new TextDecoder();

/** Sends texts with pauses between; gives what comes back until the server ends the connection. */
async function talk(port: number, ...texts: (string | number)[]): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const answer = (async () => {
    let text = "";
    const buffer = new Uint8Array(4096);
    try {
      for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
        text += decoder.decode(buffer.subarray(0, count));
      }
    } catch {
      text += "[reset]";
    }
    return text;
  })();
  for (const text of texts) {
    if (typeof text === "number") await new Promise((resolve) => setTimeout(resolve, text));
    else await connection.write(new TextEncoder().encode(text)).catch(() => {});
  }
  return await answer;
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);

/** Answers with the number of bytes of the body. */
const counting: HttpHandler = async ({ method, body }) => {
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > 1e6) throw new HttpProblem(413, "too large");
  }
  return { status: 200, body: `${method} ${bytes}` };
};

async function withServer(handler: HttpHandler, test: (port: number) => Promise<void>, defects: unknown[] = []) {
  const server = await listen(handler, {
    host: "127.0.0.1",
    port: 0,
    limits: { headersMs: 400, idleMs: 300, bytesPerSecond: 1000 },
    onDefect: (error) => void defects.push(error),
  });
  try {
    await test(server.port);
  } finally {
    await server.close(100);
  }
}

const POST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ";

Deno.test("a client that stops in its headers or its body, or crawls, is answered with 408, and others meanwhile as ever", async () => {
  await withServer(counting, async (port) => {
    const slow = Promise.all([
      talk(port, "GET / HTTP/1.1\r\nHost: a\r\n"),
      talk(port, `${POST}100\r\n\r\nabc`),
      talk(port, `${POST}100\r\n\r\n`, ...Array.from({ length: 20 }, () => ["a", 50]).flat()),
      ...Array.from({ length: 30 }, () => talk(port, `${POST}100\r\n\r\nabc`)),
    ]);
    for (let i = 0; i < 20; i++) {
      const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "x".repeat(1000) });
      assertEquals(await response.text(), "POST 1000");
    }
    assertEquals((await slow).map(statusOf), Array.from({ length: 33 }, () => 408));
  });
});

Deno.test("a claim of gigabytes is refused before they come; what is no HTTP too; a client that goes is no defect", async () => {
  const defects: unknown[] = [];
  const refusing: HttpHandler = async (request) => {
    if (Number(request.header("content-length")) > 1e9) throw new HttpProblem(413, "too large");
    return await counting(request);
  };
  await withServer(refusing, async (port) => {
    const claim = await talk(port, `${POST}10000000000\r\n\r\nabc`);
    assertEquals(statusOf(claim), 413);
    assert(claim.includes("application/problem+json") && claim.includes('"detail":"too large"'), claim);
    const chunks = `${(65536).toString(16)}\r\n${"x".repeat(65536)}\r\n`;
    const many = Array.from({ length: 40 }, () => chunks);
    assertEquals(
      statusOf(await talk(port, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", ...many)),
      413,
    );
    assertEquals(statusOf(await talk(port, "nonsense\r\n\r\n")), 400);
    assertEquals(statusOf(await talk(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(20000)}\r\n\r\n`)), 431);
    const both = `${POST}3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    assertEquals(statusOf(await talk(port, both)), 400);
    {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      await connection.write(new TextEncoder().encode(`${POST}100\r\n\r\nabc`));
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "GET 0");
  }, defects);
  assertEquals(defects, []);
});

Deno.test("a defect of the handler is 500 without its words, and said to the service alone", async () => {
  const defects: unknown[] = [];
  const failing: HttpHandler = () => Promise.reject(new TypeError("a secret"));
  await withServer(failing, async (port) => {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assertEquals(response.status, 500);
    assert(!(await response.text()).includes("secret"));
  }, defects);
  assert(defects[0] instanceof TypeError && defects.length === 1);
});

Deno.test("a body of many pieces arrives in order at a client that reads slowly, and ends for one that does not read", async () => {
  let isEnded = false;
  const large: HttpHandler = () =>
    Promise.resolve({
      status: 200,
      body: (async function* () {
        try {
          for (let i = 0; i < 400; i++) yield new Uint8Array(100_000).fill(i);
        } finally {
          isEnded = true;
        }
      })(),
    });
  await withServer(large, async (port) => {
    const reader = (await fetch(`http://127.0.0.1:${port}/`)).body?.getReader();
    let bytes = 0;
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
      for (let i = 0; i < piece.value.length; i += 997) {
        assertEquals(piece.value[i], Math.floor((bytes + i) / 100_000) % 256);
      }
      bytes += piece.value.length;
      if (bytes % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assertEquals([bytes, isEnded], [40_000_000, true]);
    isEnded = false;
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (let i = 0; i < 100 && !isEnded; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    assert(isEnded);
  });
});
