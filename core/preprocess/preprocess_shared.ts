/** Which cases a process preprocesses that shares them with others: those that nobody else is at, then those that others leave. */
import type { PreprocessJob } from "./preprocess_worker_job.ts";
import type { SizedJob } from "./preprocess_worker_pool.ts";
import { pause, type SharedDataFolder } from "./shared_data_folder.ts";

const POLL_MS = 1000;

/** What a job becomes that is about to run; undefined: nothing of it is this process's. */
export type Admit = (job: PreprocessJob) => PreprocessJob | undefined;

/**
 * Runs the jobs that this process can have, until all are done or have failed, here or elsewhere.
 * @param folders Of each configuration
 * @param run Runs jobs; asks `admit` right before each
 * @param onElsewhere Told of a case that others have done, or that has failed there
 */
export async function shareJobs(
  jobs: readonly SizedJob[],
  folders: readonly SharedDataFolder[],
  signal: AbortSignal | undefined,
  run: (jobs: readonly SizedJob[], admit: Admit) => Promise<void>,
  onElsewhere: (id: string, how: "done" | "failed") => void,
): Promise<void> {
  const open = new Map(jobs.map((one) => [one.job.case.id, one]));
  const admit: Admit = (job) => {
    const { id } = job.case;
    const results = job.configurations.map((index) => ({ index, how: folders[index].take(id) }));
    const ours = results.filter(({ how }) => how === "ours").map(({ index }) => index);
    const taken = results.filter(({ how }) => how === "taken").map(({ index }) => index);
    const before = open.get(id);
    if (taken.length > 0 && before) open.set(id, { ...before, job: { case: job.case, configurations: taken } });
    else open.delete(id);
    if (ours.length === 0 && taken.length === 0) {
      onElsewhere(id, results.some(({ how }) => how === "failed") ? "failed" : "done");
    }
    return ours.length === 0 ? undefined : { case: job.case, configurations: ours };
  };
  if (open.size > 0) await run([...open.values()], admit);
  while (open.size > 0) {
    // Threads are started only for what there is to do.
    const free = firstOf(open.values(), ({ job }) => admit(job));
    if (!free) await pause(signal, POLL_MS);
    else {
      const [sized, ours] = free;
      const rest = [...open.values()].filter(({ job }) => job.case.id !== ours.case.id);
      await run([sized, ...rest], (job) => job === sized.job ? ours : admit(job));
    }
  }
}

/** The first of some for which `find` gives something, with that. */
function firstOf<One, Found>(all: Iterable<One>, find: (one: One) => Found | undefined): [One, Found] | undefined {
  for (const one of [...all]) {
    const found = find(one);
    if (found !== undefined) return [one, found];
  }
  return undefined;
}
