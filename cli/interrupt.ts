/** Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends the program at once. */
import { printError } from "./terminal.ts";

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
}

/** Listens until disposed. `beforeMessage` may clear what is being redrawn on the terminal. */
export function listenForInterrupts(beforeMessage: () => void): Interruption {
  const controller = new AbortController();
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  const stop = () => {
    beforeMessage();
    if (controller.signal.aborted) {
      printError("ended at once; temporary files may be left beside the outputs (named .tmp)");
      Deno.exit(1);
    }
    printError("stopping; once more ends at once");
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
