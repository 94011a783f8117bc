/** Writes the phantoms that make_demo_model.py trains on: `deno run --allow-write tests/golden/models/dump_phantoms.ts FOLDER`. */
import { join } from "../../../core/base/path.ts";
import { makePhantom } from "../../../cli/demo/phantom.ts";

const TRAINING_SEEDS = Array.from({ length: 16 }, (_, i) => i + 1);

const folder = Deno.args[0];
Deno.mkdirSync(folder, { recursive: true });
const meta = TRAINING_SEEDS.map((s) => {
  const { image, labels, shape, spacing } = makePhantom(s);
  Deno.writeFileSync(join(folder, `i${s}.bin`), new Uint8Array(image.buffer));
  Deno.writeFileSync(join(folder, `l${s}.bin`), labels);
  return { s, shape, spacing };
});
Deno.writeTextFileSync(join(folder, "meta.json"), JSON.stringify(meta));
