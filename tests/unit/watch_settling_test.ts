/** When something that arrives no longer changes. */
import { createSettling, type LookedAt } from "../../cli/watch/arrivals.ts";
import { assertEquals } from "../assert.ts";

const looked = (states: Readonly<Record<string, string | null>>): LookedAt[] =>
  Object.entries(states).map(([id, state]) => ({ arrival: { id, parts: [] }, state }));

Deno.test("what arrives has settled once it was the same for the whole time, look after look", () => {
  let now = 0;
  const settling = createSettling(10, () => now);
  const at = (time: number, states: Readonly<Record<string, string | null>>) => {
    now = time;
    return settling.settled(looked(states)).map(({ arrival }) => arrival.id);
  };
  assertEquals(at(0, { a: "1", b: "1" }), []);
  assertEquals(at(9, { a: "1", b: "2" }), []);
  assertEquals(at(10, { a: "1", b: "2" }), ["a"]);
  assertEquals(at(19, { a: "1", b: null }), ["a"], "a file that is gone for a moment");
  assertEquals(at(20, { a: "1", b: "2" }), ["a"]);
  assertEquals(at(30, { b: "2" }), ["b"]);
  assertEquals(at(31, { a: "1", b: "2" }), ["b"], "what was away is new");
  settling.startAgain("b", 5);
  assertEquals(at(45, { a: "1", b: "2" }), ["a"]);
  assertEquals(at(46, { a: "1", b: "2" }), ["a", "b"]);
});
