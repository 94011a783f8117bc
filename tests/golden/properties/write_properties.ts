/** Writes the properties of properties.json as pickles, for make_properties.py to read. */
import { type PickledProperties, pickleProperties } from "../../../core/formats/torch/pickle_properties.ts";

const here = (name: string) => new URL(`./${name}`, import.meta.url);
const all = JSON.parse(Deno.readTextFileSync(here("properties.json"))) as Record<string, PickledProperties>;
for (const [name, properties] of Object.entries(all)) {
  Deno.writeFileSync(here(`written_${name}.pkl`), pickleProperties(properties));
}
