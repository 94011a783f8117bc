/**
 * The properties pickle: equal, byte for byte, to files that Python has read and found equal to upstream's in every type
 * (tests/golden/properties/make_properties.py), and equal in value to upstream's own as this program reads them.
 */
import { type PickledProperties, pickleProperties } from "../../core/formats/torch/pickle_properties.ts";
import { unpickle } from "../../core/formats/torch/pickle.ts";
import { isNumpyArray } from "../../core/formats/torch/pickle_globals.ts";
import { assertEquals } from "../assert.ts";

const fixture = (name: string) => new URL(`./properties/${name}`, import.meta.url);
const all = JSON.parse(Deno.readTextFileSync(fixture("properties.json"))) as Record<string, PickledProperties>;

/** Arrays as their numbers, so that values compare. */
function plain(value: unknown): unknown {
  if (isNumpyArray(value)) {
    const bytes = Uint8Array.from(value.data as Uint8Array);
    return { shape: value.shape, values: Array.from(new Float64Array(bytes.buffer)) };
  }
  if (value instanceof Map) return Array.from(value, ([key, item]) => [key, plain(item)]);
  return Array.isArray(value) ? value.map(plain) : value;
}

for (const [name, properties] of Object.entries(all)) {
  Deno.test(`the properties of ${name} are written as Python has checked them and as upstream writes them`, () => {
    const written = pickleProperties(properties);
    assertEquals(written, new Uint8Array(Deno.readFileSync(fixture(`written_${name}.pkl`))));
    const read = (bytes: Uint8Array) => plain(unpickle(bytes, { file: name, doing: "testing" }).value);
    assertEquals(read(written), read(Deno.readFileSync(fixture(`${name}.pkl`))));
  });
}
