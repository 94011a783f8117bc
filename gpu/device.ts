/**
 * The GPU device and what can go wrong with it. WebGPU tells of errors later, by events; here they become one failure that every
 * further call throws, so that nothing wrong is ever taken for a result.
 */
import { messageOf, UserError } from "../core/base/errors.ts";
import { errorKind, type WebGpu } from "./webgpu.ts";
import { type AdapterChoice, type AdapterFacts, factsOf, requestAdapter, requestDevice } from "./adapter.ts";

export interface DeviceOptions {
  /** Take an adapter that computes on the CPU; for tests of kernels. */
  readonly allowSoftware?: boolean;
  /** Undefined: the strongest. */
  readonly choice?: AdapterChoice;
  /** Another implementation of WebGPU than Deno's; for measuring. */
  readonly webgpu?: WebGpu;
}

export interface GpuDevice extends Disposable {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  /** What makes all further results worthless, if anything has happened. */
  readonly failure: Error | undefined;
  /** How many errors there have been, for work that must know whether one came in between; and the last of them. */
  readonly errors: number;
  readonly lastError: Error | undefined;
  /** True once the device is gone, and it is not known by what. */
  readonly lost: boolean;
  /** Throws the failure, if there is one. */
  check(): void;
  /** Waits for the verdicts on what was made so far, then as `check`. */
  settleErrors(): Promise<void>;
  /** Throws what an error comes from: a lost device makes many, and says so itself a moment later. */
  blame(error: unknown): Promise<never>;
  /**
   * Makes something for which the device may lack memory. `onFailure` is told the error later; until its result is called the error is
   * the device's failure.
   */
  guardMemory<T>(make: () => T, describe: () => UserError, onFailure: (recovered: () => void) => void): T;
  /** Reports a defect found outside WebGPU's events: a kernel that does not compile. */
  fail(error: Error): void;
  /** Says what the device was lost by, where that is known: it is the failure from now on. */
  explainLoss(error: Error): void;
}

/**
 * Opens the GPU.
 * @throws UserError if there is no adapter, only a software adapter that was not asked for, or it gives no device.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<GpuDevice> {
  const doing = "starting the GPU engine";
  const adapter = await requestAdapter(options.choice, options.webgpu);
  if (!adapter) {
    throw new UserError({
      doing,
      problem: "WebGPU finds no adapter",
      remedy: "`nnunet doctor` says what is missing; -device cpu computes without a GPU",
    });
  }
  const facts = factsOf(adapter);
  if (facts.software && options.allowSoftware !== true) {
    throw new UserError({
      doing,
      problem: `the only adapter is ${facts.name}, which computes on the CPU, and slower than the CPU engine`,
      remedy: "-device cpu; to test the GPU's kernels on it, add --allow_software_gpu",
    });
  }
  let device: GPUDevice;
  try {
    device = await requestDevice(adapter);
  } catch (error) {
    throw new UserError({
      doing,
      problem: `${facts.name} gives no device (${messageOf(error)})`,
      remedy: "close other programs that use the GPU, or compute with -device cpu",
    }, { cause: error });
  }
  return watch(device, facts);
}

/** How long a device may take to say that it was lost. */
const BLAME_MS = 200;

/** Follows a device's errors. */
function watch(device: GPUDevice, facts: AdapterFacts): GpuDevice {
  let permanent: Error | undefined;
  let explained = false;
  let isLost = false;
  let disposed = false;
  let errors = 0;
  let lastError: Error | undefined;
  const lacking = new Set<UserError>();
  const verdicts = new Set<Promise<unknown>>();

  function count(error: Error): void {
    errors++;
    lastError = error;
  }

  function fail(error: Error): void {
    count(error);
    permanent ??= error;
  }

  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    if (!disposed) fail(uncaptured((event as GPUUncapturedErrorEvent).error, facts));
  });
  device.lost.then(({ message }) => {
    if (disposed) return;
    // Errors that came before it came from it.
    if (explained) return;
    isLost = true;
    const error = lost(message, facts);
    count(error);
    permanent = error;
  }, () => {});

  /** Lack of memory is what a user can act on; errors that follow from it only repeat it. */
  function failure(): Error | undefined {
    if (disposed) return new Error("Computing on the GPU: the engine has been disposed");
    const [first] = lacking;
    return first ?? permanent;
  }

  function check(): void {
    const error = failure();
    if (error) throw error;
  }

  return {
    device,
    facts,
    get failure() {
      return failure();
    },
    get errors() {
      return errors;
    },
    get lastError() {
      return lastError;
    },
    get lost() {
      return isLost && !explained;
    },
    check,
    fail,
    explainLoss(error) {
      count(error);
      permanent = error;
      explained = true;
    },
    async settleErrors() {
      await Promise.all(verdicts);
      check();
    },
    async blame(error) {
      const moment = new Promise((resolve) => setTimeout(resolve, BLAME_MS));
      if (!disposed) await Promise.race([device.lost, moment]);
      await Promise.all(verdicts);
      throw failure() ?? error;
    },
    guardMemory(make, describe, onFailure) {
      const before = permanent;
      // Inner: what follows from the lack must not count as a defect.
      device.pushErrorScope("validation");
      device.pushErrorScope("out-of-memory");
      const made = make();
      const scopes = [device.popErrorScope(), device.popErrorScope()];
      const verdict = Promise.all(scopes).then(([memory, validation]) => {
        if (!memory && !validation) return;
        if (!memory) return fail(new Error(`Computing on the GPU: ${validation?.message}`));
        const error = describe();
        count(error);
        lacking.add(error);
        onFailure(() => {
          lacking.delete(error);
          // Uses of what was not made were errors too; they went with it.
          if (!(permanent instanceof UserError)) permanent = before;
        });
      }, (error: unknown) => fail(new Error(`Computing on the GPU: ${messageOf(error)}`)));
      verdicts.add(verdict);
      verdict.finally(() => verdicts.delete(verdict));
      return made;
    },
    [Symbol.dispose]() {
      if (disposed) return;
      disposed = true;
      device.destroy();
    },
  };
}

function uncaptured(error: GPUError, { name }: AdapterFacts): Error {
  const kind = errorKind(error);
  if (kind === "out-of-memory") {
    return new UserError({
      doing: `computing on ${name}`,
      problem: `the GPU is out of memory (${error.message})`,
      remedy: "close other programs that use it, give --max-memory, or compute with -device cpu",
    });
  }
  if (kind === "internal") {
    return new UserError({
      doing: `computing on ${name}`,
      problem: `the driver failed (${error.message})`,
      remedy: "update the graphics driver, or compute with -device cpu",
    });
  }
  return new Error(`Computing on ${name}: ${error.message}`);
}

function lost(message: string, { name }: AdapterFacts): UserError {
  return new UserError({
    doing: `computing on ${name}`,
    problem: `the device was lost (${message || "no reason given"}): the driver was reset, or the GPU is gone`,
    remedy: "the same command does the rest with --continue_prediction (predict) or --c (train); dmesg may say why",
  });
}
