/** Who has fallen silent: a GPU that hangs holds its thread, which tells nobody of it. */

/** A thread that answers. */
export interface Answering {
  /** Jobs that are not answered. */
  waiting(): number;
  /** Jobs that were. */
  readonly answers: number;
}

/** The patience is counted in so many looks: time in which this process was stopped, or the machine slept, is one of them. */
const LOOKS = 30;

/** @param onSilent is told which threads have work and have answered nothing for so many seconds */
export function watchSilence(
  threads: readonly Answering[],
  patienceSeconds: number,
  onSilent: (threads: readonly number[]) => void,
): Disposable {
  const known = threads.map(() => ({ answers: 0, looks: 0 }));
  const look = () => {
    for (const [i, thread] of threads.entries()) {
      const { answers } = thread;
      const looks = thread.waiting() > 0 && answers === known[i].answers ? known[i].looks + 1 : 0;
      known[i] = { answers, looks };
    }
    if (known.every(({ looks }) => looks < LOOKS)) return;
    // Who waits for a silent one began to do so a look later at most.
    onSilent(known.flatMap(({ looks }, i) => (looks >= LOOKS - 1 ? [i] : [])));
  };
  const timer = setInterval(look, 1000 * patienceSeconds / LOOKS);
  Deno.unrefTimer(timer);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
