/**
 * What a pickle's opcodes work on: the stack, the memo, and a budget. A few bytes of a pickle can ask for very much (a list of two
 * million items copied four hundred times, a text that doubles thirty times), which no data of nnU-Net's do; so what is built is
 * counted, and may be a multiple of the pickle's own bytes and no more.
 */
import { describeBytes } from "../../base/describe_bytes.ts";
import { UserError } from "../../base/errors.ts";
import { createPickleCursor, type PickleCursor } from "./pickle_cursor.ts";
import { type AllowedGlobal, type CallContext, type Damaged, findGlobal, pythonName } from "./pickle_globals.ts";

/** The state of one reading. All functions throw a UserError where the pickle asks for what is not there or not allowed. */
export interface PickleMachine extends PickleStack, PickleContainers, PickleCalls {
  readonly cursor: PickleCursor;
  /** Ends the reading: the pickle is broken. @param at Offset of the byte, if it is not the next one */
  readonly damaged: (problem: string, at?: number) => never;
  /** Ends the reading: the pickle wants what is not on the list. */
  readonly refuse: (what: string) => never;
}

interface PickleStack {
  readonly push: (value: unknown) => void;
  readonly pop: () => unknown;
  readonly peek: () => unknown;
  /** Removes what is on top, a mark too. */
  readonly drop: () => void;
  readonly mark: () => void;
  /** What was pushed since the last mark; the mark is removed. */
  readonly popToMark: () => unknown[];
  /** Puts what is on top into the memo; without an index, under the next free one. */
  readonly remember: (index?: number) => void;
  readonly recall: (index: number) => unknown;
}

interface PickleContainers {
  /** Pushes a list or tuple, a dict (of keys and values in turn), a set. */
  readonly pushList: (items: unknown[]) => void;
  readonly pushMap: (items: readonly unknown[]) => void;
  readonly pushSet: (items: readonly unknown[]) => void;
  readonly appendItems: (target: unknown, items: readonly unknown[]) => void;
  /** @param items Keys and values in turn */
  readonly setItems: (target: unknown, items: readonly unknown[]) => void;
  readonly addItems: (target: unknown, items: readonly unknown[]) => void;
}

interface PickleCalls {
  readonly global: (module: unknown, name: unknown) => AllowedGlobal;
  readonly call: (target: unknown, args: unknown) => unknown;
  readonly build: (target: unknown, state: unknown) => unknown;
  readonly persistent: (id: unknown) => unknown;
}

export interface PickleMachineOptions {
  readonly file: string;
  readonly doing: string;
  readonly offset?: number;
  readonly persistentLoad?: (id: unknown) => unknown;
  /** Full names that may be referred to besides those of the table, and not called. */
  readonly references?: readonly string[];
}

const MARK = Symbol("mark");

/** What may be built: this much, and this many bytes for each byte of the pickle. */
const FREE_BYTES = 128 * 2 ** 20;
const BYTES_PER_BYTE = 8;
/** About what things take in memory, in bytes. */
const SLOT = 8;
const LIST = 32;
const MAP = 208;
const ENTRY = 48;
/** Longer names are none of Python's. */
const MAX_NAME = 256;

export function createPickleMachine(bytes: Uint8Array, options: PickleMachineOptions): PickleMachine {
  const { file, doing, offset = 0 } = options;
  const cursor = createPickleCursor(bytes, offset, (problem) => damaged(problem));

  function damaged(problem: string, at = cursor.at()): never {
    const remedy = "copy the file again from where it came from";
    throw new UserError({ doing, file, problem: `its pickle is damaged at byte ${at}: ${problem}`, remedy });
  }
  function refuse(what: string): never {
    throw new UserError({
      doing,
      file,
      problem: `the file wants to run code (${what}); that was refused and nothing was run`,
      remedy: "get the file from someone you trust, saved with nnU-Net's own data only",
    });
  }

  const context: CallContext = { damaged, spend: createBudget(bytes.length - offset, options) };
  const stack = createStack(context);
  return {
    cursor,
    damaged,
    refuse,
    ...stack,
    ...createContainers(stack, context),
    ...createCalls(context, refuse, options),
  };
}

function createStack(context: CallContext): PickleStack {
  const damaged: Damaged = context.damaged;
  const { spend } = context;
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();

  function push(value: unknown): void {
    spend(SLOT);
    stack.push(value);
  }
  function peek(): unknown {
    if (!stack.length || stack[stack.length - 1] === MARK) damaged("a value is missing");
    return stack[stack.length - 1];
  }
  return {
    push,
    peek,
    pop: () => {
      const value = peek();
      stack.pop();
      return value;
    },
    drop: () => stack.length ? stack.pop() : damaged("a value is missing"),
    mark: () => push(MARK),
    popToMark: () => {
      const mark = stack.lastIndexOf(MARK);
      if (mark < 0) damaged("a mark is missing");
      const items = stack.slice(mark + 1);
      stack.length = mark;
      return items;
    },
    remember: (index = memo.size) => {
      spend(ENTRY);
      memo.set(index, peek());
    },
    recall: (index) => memo.has(index) ? memo.get(index) : damaged(`memo ${index} is not there`),
  };
}

function createContainers({ push, peek }: PickleStack, context: CallContext): PickleContainers {
  const damaged: Damaged = context.damaged;
  const { spend } = context;

  function setItems(target: unknown, items: readonly unknown[]): void {
    if (!(target instanceof Map)) damaged("keys for something that is no dict");
    if (items.length % 2) damaged("a key without a value");
    spend(ENTRY * items.length / 2);
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  }
  function addItems(target: unknown, items: readonly unknown[]): void {
    if (!(target instanceof Set)) damaged("items for something that is no set");
    spend(ENTRY * items.length);
    for (const item of items) target.add(item);
  }
  return {
    setItems,
    addItems,
    appendItems: (target, items) => {
      if (!Array.isArray(target)) damaged("items for something that is no list");
      spend(SLOT * items.length);
      for (const item of items) target.push(item);
    },
    pushList: (items) => {
      spend(LIST + SLOT * items.length);
      push(items);
    },
    pushMap: (items) => {
      spend(MAP);
      push(new Map());
      setItems(peek(), items);
    },
    pushSet: (items) => {
      spend(MAP);
      push(new Set());
      addItems(peek(), items);
    },
  };
}

function createCalls(
  context: CallContext,
  refuse: Damaged,
  { persistentLoad, references = [] }: Pick<PickleMachineOptions, "persistentLoad" | "references">,
): PickleCalls {
  const damaged: Damaged = context.damaged;
  const { spend } = context;
  return {
    global: (module, name) => {
      if (typeof module !== "string" || typeof name !== "string") damaged("a name that is no text");
      if (module.length + name.length > MAX_NAME) damaged(`a name of ${module.length + name.length} letters`);
      spend(ENTRY);
      const full = `${module}.${name}`;
      if (references.includes(full)) return { kind: "global", name: full };
      return findGlobal(module, name) ?? refuse(pythonName(module, name));
    },
    call: (target, args) => {
      if (!isGlobal(target)) damaged("a call of something that can't be called");
      if (!target.call) refuse(`a call of ${target.name}`);
      if (!Array.isArray(args)) damaged("a call with arguments that are no list");
      spend(MAP + SLOT * args.length);
      return target.call(args, context);
    },
    build: (target, state) => {
      const setState = (target as { setState?: unknown } | null)?.setState;
      if (typeof setState === "function") setState(state, context);
      // Attributes of a dict (torch's `_metadata` of a state_dict) carry nothing that is needed.
      else if (!(target instanceof Map)) refuse("setting the state of an object");
      return target;
    },
    persistent: (id) => persistentLoad ? persistentLoad(id) : damaged("an outside object that nothing here knows"),
  };
}

/** Counts what is built, in bytes. */
function createBudget(pickleBytes: number, { file, doing }: PickleMachineOptions): (bytes: number) => void {
  const limit = FREE_BYTES + BYTES_PER_BYTE * pickleBytes;
  let spent = 0;
  return (bytes) => {
    spent += bytes;
    if (spent <= limit) return;
    const count = pickleBytes.toLocaleString("en-US");
    throw new UserError({
      doing,
      file,
      problem: `its pickle of ${count} bytes would build more than ${describeBytes(limit)} of data, which was stopped`,
      remedy: "get the file from someone you trust; nnU-Net writes no such data",
    });
  };
}

function isGlobal(value: unknown): value is AllowedGlobal {
  return typeof value === "object" && value !== null && (value as AllowedGlobal).kind === "global";
}
