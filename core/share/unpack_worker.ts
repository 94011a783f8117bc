/** A thread that unpacks files of a zip, one at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../base/worker_thread.ts";
import { openModelZip, unpackEntry, type UnpackJob } from "./unpack_entry.ts";

answerJobs(self as JobPort, (file: string) => {
  const zip = openModelZip(file);
  return (job: UnpackJob) => unpackEntry(zip, job);
});
