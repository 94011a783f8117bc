import { UserError } from "../../core/base/errors.ts";
import { JsonFloat, keysOf, parseJson, pythonFloat, readJsonFile, stringifyJson } from "../../core/base/json.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

Deno.test("NaN and the infinities are values, as in Python", () => {
  assertEquals(parseJson('[NaN, Infinity, -Infinity, {"a": NaN}]', "x.json"), [NaN, Infinity, -Infinity, { a: NaN }]);
});

Deno.test("what JSON.parse reads is read to the same values", () => {
  const texts = [
    '{"a": [1, -2.5e3, true, false, null, "\\u00e4\\n\\"", {}], "b": []}',
    "3",
    '"x"',
    " [ ] ",
    '{"a":{"b":[[]]}}',
  ];
  for (const text of texts) assertEquals(parseJson(text, "x.json"), JSON.parse(text), text);
});

Deno.test("keys keep the file's order, also where they look like numbers", () => {
  const value = parseJson('{"b": 1, "10": 2, "9": 3, "10": 4}', "x.json") as object;
  assertEquals([...keysOf(value)], ["b", "10", "9"]);
  assertEquals(stringifyJson(value), '{\n    "b": 1,\n    "10": 4,\n    "9": 3\n}');
});

Deno.test("a key named __proto__ is a key like others", () => {
  const value = parseJson('{"__proto__": {"harm": 1}}', "x.json") as Record<string, unknown>;
  assertEquals(Object.keys(value), ["__proto__"]);
  assertEquals(({} as { harm?: number }).harm, undefined);
});

Deno.test("errors name the file, the line and the column", async () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['{\n  "a": 1,\n  "b" 2\n}', "line 3, column 7", 'expected a colon after "b"'],
    ['{"a": 1,}', "line 1, column 9", "expected a name"],
    ["[1, 2", "line 1, column 6", "the file ends there"],
    ["[1 2]", "line 1, column 4", "expected a comma"],
    ['["abc', "line 1, column 2", "not closed"],
    ['["a\nb"]', "line 1, column 4", "control character"],
    ['["\\x"]', "line 1, column 2", "escape"],
    ["[01]", "line 1, column 3", "expected a comma"],
    ["", "line 1, column 1", "expected a value"],
    ["[1] 2", "line 1, column 5", "more after the value"],
    ["[nan]", "line 1, column 2", "expected a value"],
    ["[".repeat(100000), "column", "nested"],
  ];
  for (const [text, position, problem] of cases) {
    await assertFails(() => parseJson(text, "plans.json"), UserError, "plans.json", position, problem);
  }
});

Deno.test("a missing file, a folder and bytes that are no text are told apart", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assertFails(() => readJsonFile(`${folder}/no.json`), UserError, "no.json", "no such file");
    await assertFails(() => readJsonFile(folder), UserError, "folder");
    await Deno.writeFile(`${folder}/x.json`, Uint8Array.of(0x7b, 0xff));
    await assertFails(() => readJsonFile(`${folder}/x.json`), UserError, "UTF-8");
    await Deno.writeTextFile(`${folder}/bom.json`, '\ufeff{"a": 1}');
    assertEquals((await readJsonFile(`${folder}/bom.json`)).value, { a: 1 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("numbers are written as Python writes ints and floats", () => {
  const value = { count: 3, mean: 0.5, whole: new JsonFloat(3), tiny: 1e-7, big: 10n ** 20n, left: undefined };
  assertEquals(
    stringifyJson(value),
    '{\n    "count": 3,\n    "mean": 0.5,\n    "whole": 3.0,\n    "tiny": 1e-07,\n    "big": 100000000000000000000\n}',
  );
  assertEquals([1e16, 123456789, -1e-5, 1.5e300].map(pythonFloat), ["1e+16", "123456789.0", "-1e-05", "1.5e+300"]);
});

Deno.test("every double written reads back the same", () => {
  const view = new DataView(new ArrayBuffer(8));
  let state = 12345n;
  for (let i = 0; i < 2000; i++) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    view.setBigUint64(0, state);
    const value = view.getFloat64(0);
    assert(Object.is(parseJson(pythonFloat(value), "x"), value) || Number.isNaN(value), String(value));
  }
});

Deno.test("typed arrays are written as lists, and functions are refused", async () => {
  assertEquals(stringifyJson(Float32Array.of(0.5, 1)), "[\n    0.5,\n    1\n]");
  await assertFails(() => stringifyJson({ f: () => 1 }), TypeError, "function");
});
