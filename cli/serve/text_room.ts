/** Texts that are being received are held in memory: of all clients together no more than a limit. */
import { HttpProblem } from "./problem.ts";

export interface TextRoom {
  /** For one text; its room is free again on disposal. */
  open(): Disposable & {
    /** Counts bytes before they are held. @throws HttpProblem 503 if there is no room */
    add(bytes: number): void;
  };
}

/** Bytes of each text that are not counted: those who slow large ones down keep no small one out. */
const SMALL = 16 << 10;

export function createTextRoom(limit: number): TextRoom {
  let held = 0;
  return {
    open() {
      let own = 0;
      const counted = () => Math.max(0, own - SMALL);
      return {
        add(bytes) {
          const before = counted();
          own += bytes;
          held += counted() - before;
          if (held > limit) {
            throw new HttpProblem(503, "too many large texts are being received", { "retry-after": "5" });
          }
        },
        [Symbol.dispose]() {
          held -= counted();
          own = 0;
        },
      };
    },
  };
}
