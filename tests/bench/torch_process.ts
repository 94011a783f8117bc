/** torch in a process of its own, answering request by request: a line of JSON each. */

export interface TorchProcess extends Disposable {
  /** @returns the whole answer. @throws Error with torch's own words */
  ask(request: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>>;
  /** @returns the milliseconds of every run that the request asked for. */
  run(request: Readonly<Record<string, unknown>>): Promise<number[]>;
}

/** Starts a script of this folder that answers `{"milliseconds": [...]}` or `{"error": ...}`. */
export function startTorch(python: string, script: string, threads: number): TorchProcess {
  const path = new URL(script, import.meta.url).pathname;
  const child = new Deno.Command(python, { args: [path, String(threads)], stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const process: TorchProcess = {
    async ask(request) {
      await writer.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
      while (!text.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error("torch has ended");
        text += value;
      }
      const answer = JSON.parse(text.slice(0, text.indexOf("\n")));
      text = text.slice(text.indexOf("\n") + 1);
      if (answer.error) throw new Error(`torch: ${answer.error}`);
      return answer;
    },
    run: async (request) => (await process.ask(request)).milliseconds as number[],
    [Symbol.dispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
    },
  };
  return process;
}
