/** `deno task demo`: predicts phantom CTs, prints Dice per class and draws a picture. Everything goes to demo-output/. */
import { predictDemo } from "./predict_demo.ts";

/** Seeds of phantoms that the model has not seen: it was trained on 1 to 16. */
const SEEDS = [101, 102, 103];
const FOLDER = "demo-output";

if (import.meta.main) Deno.exit(await predictDemo(FOLDER, SEEDS));
