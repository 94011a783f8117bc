/** Counts for Prometheus, in its text format 0.0.4. */
import { residentBytes } from "../../core/base/memory_allowance.ts";

export interface Metrics {
  request(route: string, method: string, status: number, seconds: number): void;
  /** A job has ended. @param seconds Since it was begun; 0 where it was not */
  job(model: string, state: string, seconds: number): void;
}

/** What is measured when it is asked for. */
export interface Gauges {
  readonly queued: number;
  readonly running: number;
  readonly diskBytes: number;
  /** Of each model, what it has of the engine. */
  readonly modelBytes: ReadonlyMap<string, number>;
  readonly version: string;
}

type Labels = Readonly<Record<string, string | number>>;

interface Counter {
  readonly name: string;
  readonly help: string;
  readonly values: Map<string, number>;
}

export function createMetrics(): Metrics & { text(gauges: Gauges): string } {
  const requests = counter("nnunet_http_requests_total", "Requests that were answered.");
  const requestSeconds = counter("nnunet_http_request_seconds_total", "Seconds that answers took.");
  const jobs = counter("nnunet_jobs_total", "Jobs that have ended.");
  const jobSeconds = counter("nnunet_job_seconds_total", "Seconds that jobs ran.");
  return {
    request(route, method, status, seconds) {
      add(requests, { method, route, status }, 1);
      add(requestSeconds, { method, route }, seconds);
    },
    job(model, state, seconds) {
      add(jobs, { model, state }, 1);
      add(jobSeconds, { model }, seconds);
    },
    text({ queued, running, diskBytes, modelBytes, version }) {
      const gauges = [
        gauge("nnunet_info", "The program.", [[{ version }, 1]]),
        gauge("nnunet_jobs_queued", "Jobs that wait.", [[{}, queued]]),
        gauge("nnunet_jobs_running", "Jobs that run.", [[{}, running]]),
        gauge("nnunet_state_bytes", "Bytes in the state folder.", [[{}, diskBytes]]),
        gauge("nnunet_resident_bytes", "Main memory of the process.", [[{}, residentBytes()]]),
        gauge(
          "nnunet_model_bytes",
          "Bytes of the engine that a loaded model has.",
          [...modelBytes].map(([model, bytes]) => [{ model }, bytes] as const),
        ),
      ];
      const counters = [requests, requestSeconds, jobs, jobSeconds].map(({ name, help, values }) =>
        metric(name, help, "counter", [...values].map(([labels, value]) => `${name}${labels} ${value}`))
      );
      return [...gauges, ...counters].join("");
    },
  };
}

function counter(name: string, help: string): Counter {
  return { name, help, values: new Map() };
}

function add({ values }: Counter, labels: Labels, value: number): void {
  const key = labelText(labels);
  values.set(key, (values.get(key) ?? 0) + value);
}

function gauge(name: string, help: string, values: readonly (readonly [Labels, number])[]): string {
  return metric(name, help, "gauge", values.map(([labels, value]) => `${name}${labelText(labels)} ${value}`));
}

function metric(name: string, help: string, type: string, lines: readonly string[]): string {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
}

function labelText(labels: Labels): string {
  const texts = Object.entries(labels).map(([name, value]) =>
    `${name}="${String(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`
  );
  return texts.length === 0 ? "" : `{${texts.join(",")}}`;
}
