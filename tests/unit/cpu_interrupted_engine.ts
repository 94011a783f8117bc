/** A program that computes until it is interrupted, then disposes its engine and ends by itself; started by cpu_stream_test.ts. */
import { createCpuEngine } from "../../cpu/engine.ts";

const encoder = new TextEncoder();
const say = (text: string) => Deno.stdout.writeSync(encoder.encode(`${text}\n`));

const engine = await createCpuEngine({ threads: 2 });
const tensor = engine.alloc("f32", 1 << 24, "tensor");
let interrupted = false;
Deno.addSignalListener("SIGINT", function stop() {
  interrupted = true;
  say("interrupted");
  Deno.removeSignalListener("SIGINT", stop);
});
for (let i = 0; i < 20_000; i++) engine.clear(tensor);
say("computing");
const flushed = engine.flush().catch(() => {});
while (!interrupted) await new Promise((resolve) => setTimeout(resolve, 10));
await engine[Symbol.asyncDispose]();
await flushed;
