/** Bytes that jobs running at the same time may take together; each waits, in order, until its share is free. */

export interface Budget {
  /** Waits until `bytes` are free, or nothing else is taken. */
  take(bytes: number): Promise<void>;
  give(bytes: number): void;
}

/** A budget of `total` bytes. A job larger than all of it runs alone. */
export function createBudget(total: number): Budget {
  let taken = 0;
  const waiting: { readonly bytes: number; readonly go: () => void }[] = [];
  return {
    async take(bytes) {
      if (waiting.length > 0 || (taken > 0 && taken + bytes > total)) {
        await new Promise<void>((go) => waiting.push({ bytes, go }));
      } else taken += bytes;
    },
    give(bytes) {
      taken -= bytes;
      while (waiting.length > 0 && (taken === 0 || taken + waiting[0].bytes <= total)) {
        const first = waiting.shift();
        taken += first?.bytes ?? 0;
        first?.go();
      }
    },
  };
}
