/** Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends the program at once. */

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
}

/** Listens until disposed. @param say Prints to stderr */
export function listenForInterrupts(say: (text: string) => void): Interruption {
  const controller = new AbortController();
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  const stop = () => {
    if (controller.signal.aborted) {
      say("ended at once; temporary files may be left beside the outputs (named .tmp)");
      Deno.exit(1);
    }
    say("stopping; once more ends at once");
    controller.abort();
  };
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const signal of signals) Deno.removeSignalListener(signal, stop);
    },
  };
}
