/**
 * The program, which says at its end the most memory that it was seen with. The kernel's own figure would not do: a process begins with
 * that of the one that starts it.
 */
import process from "node:process";
import { main } from "../../../cli/main.ts";

let peak = 0;
const look = () => {
  peak = Math.max(peak, Deno.memoryUsage().rss);
};
const timer = setInterval(look, 4);
const code = await main(Deno.args);
clearInterval(timer);
look();
process.stderr.write(`peak of resident memory: ${peak} bytes\n`);
Deno.exit(code);
