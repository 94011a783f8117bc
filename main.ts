/** Entry point of the program; everything it does is in cli/. */
if (import.meta.main) {
  const { main } = await import("./cli/main.ts");
  Deno.exit(await main(Deno.args));
}
