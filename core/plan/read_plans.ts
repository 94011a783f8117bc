import type { Configuration, Plans } from "./plans.ts";
export function readPlans(_path: string): Promise<Plans> {
  throw new Error("being written");
}
export function resolveConfiguration(_plans: Plans, _name: string): Configuration {
  throw new Error("being written");
}
