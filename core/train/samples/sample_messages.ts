/** What the trainer's thread and its sample threads say to each other. */
import type { PlainError } from "../../base/plain_error.ts";
import type { Sample, SampleName, SampleSetting } from "./sample_loader.ts";

/** To a thread: the setting first, once. */
export type SampleRequest =
  | { readonly kind: "setting"; readonly setting: SampleSetting }
  | { readonly kind: "sample"; readonly number: number; readonly name: SampleName };

/** From a thread. */
export type SampleReply =
  | { readonly kind: "sample"; readonly number: number; readonly sample: Sample }
  | { readonly kind: "error"; readonly number: number; readonly error: PlainError };
