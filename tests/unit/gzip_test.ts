import { Buffer } from "node:buffer";
import zlib from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { openBytes, PIECE_BYTES } from "../../core/formats/archive/gzip.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

/** Bytes that pack to about half. */
function someBytes(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return (state >> 16) & 15;
  });
}

async function withFile(bytes: Uint8Array, use: (file: string) => Promise<void>): Promise<void> {
  const file = await Deno.makeTempFile({ suffix: ".gz" });
  try {
    await Deno.writeFile(file, bytes);
    await use(file);
  } finally {
    await Deno.remove(file);
  }
}

function concatenated(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

async function readAll(file: string): Promise<{ bytes: Uint8Array; warnings: readonly string[] }> {
  await using source = await openBytes(file, true);
  const into = new Uint8Array(10 * PIECE_BYTES);
  const got = await source.read(into);
  const { rest, warnings } = await source.finish();
  assertEquals(rest, 0);
  return { bytes: into.slice(0, got), warnings };
}

const content = someBytes(3 * PIECE_BYTES + 17);
const packed = new Uint8Array(zlib.gzipSync(content));

Deno.test("a gzip file is decompressed whole, in one member or several, with zeros behind it", async () => {
  const members = [
    content.subarray(0, 5),
    content.subarray(5, 2_000_000),
    content.subarray(2_000_000),
    new Uint8Array(0),
  ];
  for (
    const bytes of [
      packed,
      concatenated(...members.map((part) => new Uint8Array(zlib.gzipSync(part)))),
      concatenated(packed, new Uint8Array(1000)),
    ]
  ) {
    await withFile(bytes, async (file) => {
      const { bytes: got, warnings } = await readAll(file);
      assert(Buffer.from(got).equals(content), "the content differs");
      assertEquals(warnings, []);
    });
  }
});

Deno.test("something else behind the gzip data is ignored with a warning that says how much", async () => {
  const garbage = new TextEncoder().encode("garbage behind the end");
  for (const start of [packed, concatenated(packed, new Uint8Array(zlib.gzipSync(new Uint8Array(0))))]) {
    await withFile(concatenated(start, garbage), async (file) => {
      const { bytes, warnings } = await readAll(file);
      assert(Buffer.from(bytes).equals(content), "the content differs");
      assertEquals(warnings.length, 1);
      assert(warnings[0].includes(file) && warnings[0].includes("22 bytes"), warnings[0]);
    });
  }
  await withFile(concatenated(packed, garbage.subarray(0, 1)), async (file) => {
    const { warnings: [warning] } = await readAll(file);
    assert(warning.includes("the last byte is not gzip data; it was ignored"), warning);
  });
});

Deno.test("a gzip file cut anywhere is refused", async () => {
  const small = new Uint8Array(zlib.gzipSync(content.subarray(0, 100)));
  for (let length = 2; length < small.length; length++) {
    await withFile(
      small.subarray(0, length),
      (file) => assertFails(() => readAll(file), UserError, file, "cut short", "copy"),
    );
  }
});

Deno.test("no flipped bit of a gzip file changes what is read: it is refused, or it carries no data", async () => {
  const small = new Uint8Array(zlib.gzipSync(content.subarray(0, 100)));
  let refused = 0;
  for (let bit = 0; bit < 8 * small.length; bit++) {
    const damaged = small.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    if (damaged[0] !== 0x1f || damaged[1] !== 0x8b) continue;
    await withFile(damaged, async (file) => {
      try {
        const { bytes } = await readAll(file);
        assertEquals(bytes, content.slice(0, 100), `bit ${bit}`);
      } catch (error) {
        assert(error instanceof UserError && error.message.includes(file), `bit ${bit}: ${error}`);
        refused++;
      }
    });
  }
  // Read unchanged: bits of the header that carry no data, and up to 7 padding bits.
  assert(refused >= 8 * (small.length - 10) - 7, `only ${refused} were refused`);
});

Deno.test("a damaged second member is refused though the first is whole", async () => {
  const damaged = packed.slice();
  damaged[packed.length - 6] ^= 1;
  await withFile(concatenated(packed, damaged), (file) => assertFails(() => readAll(file), UserError, file, "CRC-32"));
  const cut = packed.subarray(0, packed.length >> 1);
  await withFile(concatenated(packed, cut), (file) => assertFails(() => readAll(file), UserError, file, "cut short"));
});

Deno.test("a source can be closed before it is read to its end", async () => {
  await withFile(packed, async (file) => {
    await using source = await openBytes(file, true);
    assertEquals(await source.read(new Uint8Array(10)), 10);
  });
});

Deno.test("a missing file, a folder and an empty file are named", async () => {
  await assertFails(() => openBytes("/no/such/file.nii.gz", true), UserError, "/no/such/file.nii.gz", "no such file");
  const folder = await Deno.makeTempDir();
  await assertFails(() => openBytes(folder, true), UserError, folder, "folder");
  await Deno.remove(folder);
});

/** A member whose header has what the flags say. */
function member(data: Uint8Array, flags: number, damage = 0): Uint8Array {
  const plain = new Uint8Array(zlib.gzipSync(data));
  const name = new TextEncoder().encode(`${"long name ".repeat(60)}\0`);
  const parts = [Uint8Array.of(...plain.subarray(0, 3), flags, ...plain.subarray(4, 10))];
  if (flags & 4) parts.push(Uint8Array.of(44, 1), new Uint8Array(300).fill(7));
  if (flags & 8) parts.push(name);
  if (flags & 16) parts.push(Uint8Array.of(65, 0));
  if (flags & 2) {
    const sum = zlib.crc32(concatenated(...parts)) ^ damage;
    parts.push(Uint8Array.of(sum & 255, sum >> 8 & 255));
  }
  return concatenated(...parts, plain.subarray(10));
}

Deno.test("every header that gzip data may have is read, and its checksum looked at; thousands of members too", async () => {
  const few = content.subarray(0, 1000);
  const all = Array.from({ length: 32 }, (_, flags) => member(few, flags));
  await withFile(concatenated(...all), async (file) => {
    const { bytes } = await readAll(file);
    assertEquals(bytes.length, 32 * few.length);
    assert(Buffer.from(bytes.subarray(31 * few.length)).equals(few), "the last member differs");
  });
  await withFile(
    member(few, 2 | 4 | 8, 1),
    (file) => assertFails(() => readAll(file), UserError, file, "header crc mismatch"),
  );
  await withFile(member(few, 64), (file) => assertFails(() => readAll(file), UserError, file, "unknown header flags"));
  const one = new Uint8Array(zlib.gzipSync(content.subarray(0, 100)));
  const many = new Uint8Array(6000 * one.length);
  for (let i = 0; i < 6000; i++) many.set(one, i * one.length);
  await withFile(many, async (file) => {
    const { bytes } = await readAll(file);
    assertEquals(bytes.length, 600_000);
  });
});

Deno.test("gzip data of very many members that hold nothing are refused within seconds", async () => {
  const empty = new Uint8Array(zlib.gzipSync(new Uint8Array(0)));
  const many = new Uint8Array(200_000 * empty.length);
  for (let i = 0; i < 200_000; i++) many.set(empty, i * empty.length);
  await withFile(many, (file) => assertFails(() => readAll(file), UserError, file, "members of a few bytes"));
});

Deno.test("of damaged gzip data as much is read as zlib reads, or as little", async () => {
  const two = concatenated(
    member(content.subarray(0, 300), 8),
    new Uint8Array(zlib.gzipSync(content.subarray(0, 900), { strategy: zlib.constants.Z_FIXED })),
  );
  let seed = 7;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  let read = 0;
  for (let i = 0; i < 600; i++) {
    const damaged = two.slice(0, i % 3 === 0 ? 2 + random(two.length - 2) : two.length);
    for (let k = random(3); k >= 0 && i % 3 !== 0; k--) damaged[2 + random(damaged.length - 2)] ^= 1 << random(8);
    let theirs: Uint8Array | string;
    try {
      theirs = zlib.gunzipSync(damaged);
    } catch (error) {
      theirs = (error as { code: string }).code;
    }
    await withFile(damaged, async (file) => {
      const ours = await readAll(file).catch((error) => error instanceof UserError ? error.message : String(error));
      if (typeof ours !== "string") {
        read++;
        if (theirs instanceof Uint8Array) assert(Buffer.from(ours.bytes).equals(theirs), `${i}: other bytes`);
        // Where zlib finds no second member, there is garbage behind the first one.
        else assert(ours.warnings.length === 1, `${i}: zlib says ${theirs}`);
      } else {
        const kind = theirs === "Z_BUF_ERROR" ? "cut short" : "damaged";
        assert(typeof theirs === "string" && ours.includes(kind), `${i}: ${ours}, zlib says ${theirs}`);
      }
    });
  }
  assert(read > 20, `only ${read} were read`);
});
