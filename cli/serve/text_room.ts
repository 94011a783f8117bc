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
      const counted = (bytes: number) => Math.max(0, bytes - SMALL);
      const giveBack = () => {
        held -= counted(own);
        own = 0;
      };
      return {
        add(bytes) {
          const more = counted(own + bytes) - counted(own);
          if (held + more > limit) {
            // At once: others, whose bytes come before this one's disposal, are not refused for it as well.
            giveBack();
            throw new HttpProblem(503, "too many large texts are being received", { "retry-after": "5" });
          }
          own += bytes;
          held += more;
        },
        [Symbol.dispose]: giveBack,
      };
    },
  };
}
