import { boundaryOf, readMultipart } from "../../cli/serve/multipart.ts";
import { HttpProblem } from "../../cli/serve/problem.ts";
import { assertEquals, assertFails } from "../assert.ts";

const encoder = new TextEncoder();

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function partsOf(body: Uint8Array, boundary: string, size: number) {
  const parts: { name: string; fileName?: string; text: string }[] = [];
  for await (const { name, fileName, body: content } of readMultipart(pieces(body, size), boundary)) {
    const bytes: number[] = [];
    for await (const piece of content) bytes.push(...piece);
    const text = new TextDecoder().decode(Uint8Array.from(bytes));
    parts.push({ name, ...(fileName !== undefined && { fileName }), text });
  }
  return parts;
}

Deno.test("what a browser's form holds is read whole, however it is cut into pieces", async () => {
  const tricky = "\r\n--\r\n\r\n-----\r\n--x\r\n\r";
  const form = new FormData();
  form.append("model", "ct Ä");
  form.append("image", new File([tricky], 'a "b" Ü_0000.nii.gz'));
  form.append("empty", new File([], "e.nii.gz"));
  form.append("image", new File([new Uint8Array(1000).fill(13)], "c.nii.gz"));
  const response = new Response(form);
  const boundary = boundaryOf(response.headers.get("content-type") ?? "");
  const body = await response.bytes();
  const expected = await partsOf(body, boundary, body.length);
  assertEquals(expected.map(({ name, fileName }) => [name, fileName]), [
    ["model", undefined],
    ["image", "a %22b%22 Ü_0000.nii.gz"],
    ["empty", "e.nii.gz"],
    ["image", "c.nii.gz"],
  ]);
  assertEquals(expected.map(({ text }) => text), ["ct Ä", tricky, "", "\r".repeat(1000)]);
  for (const size of [1, 2, 3, 5, 7, 64, boundary.length + 3]) {
    assertEquals(await partsOf(body, boundary, size), expected);
  }
});

Deno.test("parts that nobody reads are passed over", async () => {
  const body = encoder.encode(
    'before\r\n--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nlong text\r\n' +
      '--b\r\ncontent-disposition: form-data; filename=x.y; name="q\\"r"\r\n\r\nlast\r\n--b--\r\nafter',
  );
  const names: unknown[] = [];
  for await (const { name, fileName } of readMultipart(pieces(body, 3), "b")) names.push([name, fileName]);
  assertEquals(names, [["a", undefined], ['q"r', "x.y"]]);
});

Deno.test("a body that is cut, or not well formed, is refused", async () => {
  const good = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\ntext\r\n--b--';
  for (let end = 0; end < good.length; end++) {
    await assertFails(() => partsOf(encoder.encode(good.slice(0, end)), "b", 4), HttpProblem, "not well formed");
  }
  const bad: [string, string][] = [
    ["--b\r\n\r\ntext\r\n--b--", "no Content-Disposition"],
    ['--b\r\nContent-Disposition: attachment; name="a"\r\n\r\n\r\n--b--', "no Content-Disposition"],
    ["--b\r\nContent-Disposition: form-data; x=1\r\n\r\n\r\n--b--", "no name"],
    [`--b\r\nContent-Disposition: form-data; name="a"; x=${"y".repeat(9000)}\r\n\r\n\r\n--b--`, "over 8192 bytes"],
    ["--bc\r\n", "no line ends behind a boundary"],
  ];
  for (const [text, problem] of bad) {
    await assertFails(() => partsOf(encoder.encode(text), "b", 1000), HttpProblem, problem);
  }
  for (
    const type of [
      "multipart/form-data",
      "multipart/form-data; boundary=",
      `multipart/form-data; boundary=${"x".repeat(71)}`,
    ]
  ) {
    await assertFails(() => boundaryOf(type), HttpProblem, "no boundary");
  }
});
