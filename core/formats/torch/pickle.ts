/**
 * Reading Python pickles without running anything: opcodes of protocols 0 to 5 build plain data, and the names that pickles call
 * (GLOBAL ... REDUCE) are looked up in the table of core/formats/torch/pickle_globals.ts. A name that is not there is refused.
 * Opcodes: CPython Lib/pickletools.py.
 *
 * What becomes what: None null; int number (bigint beyond 2^53); float number; str string; bytes Uint8Array; list and tuple array;
 * dict and OrderedDict Map; set Set; the rest as pickle_globals.ts says.
 */
import { UserError } from "../../base/errors.ts";
import { createPickleCursor, parseEscaped, parseFloatText, parseInteger, parseQuoted } from "./pickle_cursor.ts";
import { type AllowedGlobal, findGlobal, pythonName } from "./pickle_globals.ts";

export interface UnpickleOptions {
  /** Named in errors. */
  readonly file: string;
  readonly doing: string;
  /** Where in `bytes` the pickle starts. */
  readonly offset?: number;
  /** Resolves a persistent id, torch's storages; without it they are refused. */
  readonly persistentLoad?: (id: unknown) => unknown;
}

export interface Unpickled {
  readonly value: unknown;
  /** Offset of the first byte after the pickle. */
  readonly end: number;
}

const MARK = Symbol("mark");

/**
 * Reads one pickle.
 * @throws UserError if it is damaged, or wants to call something that is not on the list (nothing is ever run).
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): Unpickled {
  const { file, doing } = options;
  const cursor = createPickleCursor(bytes, options.offset ?? 0, damaged);
  const { take, u1, u2, u4, u8, raw, text, latin1, line, integer } = cursor;
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();

  function damaged(problem: string, at = cursor.at()): never {
    throw new UserError({
      doing,
      file,
      problem: `its pickle is damaged at byte ${at}: ${problem}`,
      remedy: "copy the file again from where it came from",
    });
  }
  function refuse(what: string): never {
    throw new UserError({
      doing,
      file,
      problem: `the file wants to run code (${what}); that was refused and nothing was run`,
      remedy: "get the file from someone you trust, saved with nnU-Net's own data only",
    });
  }

  function push(value: unknown): void {
    stack.push(value);
  }
  function pop(): unknown {
    if (!stack.length || stack[stack.length - 1] === MARK) damaged("a value is missing");
    return stack.pop();
  }
  function peek(): unknown {
    if (!stack.length) damaged("a value is missing");
    return stack[stack.length - 1];
  }
  function popToMark(): unknown[] {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) damaged("a mark is missing");
    const items = stack.slice(mark + 1);
    stack.length = mark;
    return items;
  }
  function recall(index: number): unknown {
    if (!memo.has(index)) damaged(`memo ${index} is not there`);
    return memo.get(index);
  }
  function listAt(value: unknown): unknown[] {
    return Array.isArray(value) ? value : damaged("items for something that is no list");
  }
  function setItems(target: unknown, items: unknown[]): void {
    if (!(target instanceof Map)) damaged("keys for something that is no dict");
    if (items.length % 2) damaged("a key without a value");
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  }
  function global(module: string, name: string): AllowedGlobal {
    return findGlobal(module, name) ?? refuse(pythonName(module, name));
  }
  function call(target: unknown, args: unknown): unknown {
    if (!isGlobal(target)) damaged("a call of something that can't be called");
    if (!target.call) refuse(`a call of ${target.name}`);
    return target.call(listAt(args), damaged);
  }
  function build(target: unknown, state: unknown): unknown {
    const setState = (target as { setState?: unknown } | null)?.setState;
    if (typeof setState === "function") setState(state, damaged);
    // Attributes of a dict (torch's `_metadata` of a state_dict) carry nothing that is needed.
    else if (!(target instanceof Map)) refuse("setting the state of an object");
    return target;
  }
  function persistent(id: unknown): unknown {
    return options.persistentLoad ? options.persistentLoad(id) : damaged("an outside object that nothing here knows");
  }

  for (;;) {
    const opcode = String.fromCharCode(u1());
    switch (opcode) {
      case "\x80": // PROTO
        if (u1() > 5) damaged("a protocol newer than 5");
        break;
      case "\x95": // FRAME
        take(8);
        break;
      case ".":
        return { value: pop(), end: cursor.at() };
      case "(":
        push(MARK);
        break;
      case "0":
        if (!stack.length) damaged("a value is missing");
        stack.pop();
        break;
      case "1":
        popToMark();
        break;
      case "2":
        push(peek());
        break;
      case "N":
        push(null);
        break;
      case "\x88":
        push(true);
        break;
      case "\x89":
        push(false);
        break;
      case "I": { // INT, and booleans of protocol 0
        const digits = line();
        push(digits === "01" ? true : digits === "00" ? false : parseInteger(digits, damaged));
        break;
      }
      case "L":
        push(parseInteger(line().replace(/L$/, ""), damaged));
        break;
      case "J":
        push(cursor.i4());
        break;
      case "K":
        push(u1());
        break;
      case "M":
        push(u2());
        break;
      case "\x8a":
        push(integer(u1()));
        break;
      case "\x8b":
        push(integer(u4()));
        break;
      case "F":
        push(parseFloatText(line(), damaged));
        break;
      case "G":
        push(cursor.f8());
        break;
      case "S":
        push(parseQuoted(line(), damaged));
        break;
      case "T":
        push(latin1(u4()));
        break;
      case "U":
        push(latin1(u1()));
        break;
      case "V":
        push(parseEscaped(line()));
        break;
      case "X":
        push(text(u4()));
        break;
      case "\x8c":
        push(text(u1()));
        break;
      case "\x8d":
        push(text(u8()));
        break;
      case "B":
        push(raw(u4()));
        break;
      case "C":
        push(raw(u1()));
        break;
      case "\x8e":
      case "\x96": // BINBYTES8, BYTEARRAY8
        push(raw(u8()));
        break;
      case "]":
        push([]);
        break;
      case ")":
        push([]);
        break;
      case "l":
      case "t":
        push(popToMark());
        break;
      case "\x85":
        push([pop()]);
        break;
      case "\x86": {
        const second = pop();
        push([pop(), second]);
        break;
      }
      case "\x87": {
        const third = pop();
        const second = pop();
        push([pop(), second, third]);
        break;
      }
      case "a": {
        const item = pop();
        listAt(peek()).push(item);
        break;
      }
      case "e": {
        const items = popToMark();
        const list = listAt(peek());
        for (const item of items) list.push(item);
        break;
      }
      case "}":
        push(new Map());
        break;
      case "d": {
        const items = popToMark();
        push(new Map());
        setItems(peek(), items);
        break;
      }
      case "s": {
        const value = pop();
        const key = pop();
        setItems(peek(), [key, value]);
        break;
      }
      case "u": {
        const items = popToMark();
        setItems(peek(), items);
        break;
      }
      case "\x8f":
        push(new Set());
        break;
      case "\x90": {
        const items = popToMark();
        const set = peek();
        if (!(set instanceof Set)) damaged("items for something that is no set");
        for (const item of items) set.add(item);
        break;
      }
      case "\x91":
        push(new Set(popToMark()));
        break;
      case "g":
        push(recall(Number(line())));
        break;
      case "h":
        push(recall(u1()));
        break;
      case "j":
        push(recall(u4()));
        break;
      case "p":
        memo.set(Number(line()), peek());
        break;
      case "q":
        memo.set(u1(), peek());
        break;
      case "r":
        memo.set(u4(), peek());
        break;
      case "\x94":
        memo.set(memo.size, peek());
        break;
      case "c": {
        const module = line();
        push(global(module, line()));
        break;
      }
      case "\x93": {
        const name = pop();
        const module = pop();
        if (typeof name !== "string" || typeof module !== "string") damaged("a name that is no text");
        push(global(module, name));
        break;
      }
      case "R":
      case "\x81": { // REDUCE, NEWOBJ: one call with a tuple
        const args = pop();
        push(call(pop(), args));
        break;
      }
      case "\x92": { // NEWOBJ_EX
        const keywords = pop();
        const args = pop();
        if (!(keywords instanceof Map) || keywords.size) refuse("a call with named arguments");
        push(call(pop(), args));
        break;
      }
      case "i": {
        const module = line();
        const target = global(module, line());
        push(call(target, popToMark()));
        break;
      }
      case "o": {
        const [target, ...args] = popToMark();
        push(call(target, args));
        break;
      }
      case "b": {
        const state = pop();
        push(build(pop(), state));
        break;
      }
      case "P":
        push(persistent(line()));
        break;
      case "Q":
        push(persistent(pop()));
        break;
      case "\x82":
      case "\x83":
      case "\x84":
        refuse("an object from Python's extension registry");
        break;
      default:
        damaged(`unknown opcode 0x${opcode.charCodeAt(0).toString(16).padStart(2, "0")}`, cursor.at() - 1);
    }
  }
}

function isGlobal(value: unknown): value is AllowedGlobal {
  return typeof value === "object" && value !== null && (value as AllowedGlobal).kind === "global";
}
