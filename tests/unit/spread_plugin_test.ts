import { assertEquals } from "../assert.ts";
import plugin from "../lint/spread_plugin.ts";

/** What the rule finds in a text, as parts of it. */
function found(text: string): string[] {
  return Deno.lint.runPlugin(plugin, "example.ts", text).map(({ range: [from, to] }) => text.slice(from, to));
}

Deno.test("a literal that is spread into a literal is found, however it is written", () => {
  assertEquals(found("f({ ...{ a, b }, c });"), ["{ a, b }"]);
  assertEquals(found("const x = { c, ...({ a: 1 }) };"), ["{ a: 1 }"]);
  assertEquals(found("const x = { ...{ a: 1 } as const };"), ["{ a: 1 } as const"]);
  assertEquals(found("const x = { y: { ...{ ...{ a } } } };").length, 2);
});

Deno.test("values that are spread, and literals that a condition leaves out, are not", () => {
  for (
    const text of ["f({ ...rest, c });", "f({ ...(a && { a }) });", "f(...[{ a }], [...{}]);", "f({ ...g({ a }) });"]
  ) {
    assertEquals(found(text), [], text);
  }
});
