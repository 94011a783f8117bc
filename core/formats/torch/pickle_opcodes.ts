/** What each opcode of a pickle does, by its byte. Source: CPython Lib/pickletools.py (protocols 0 to 5). */
import { parseEscaped, parseFloatText, parseInteger, parseQuoted } from "./pickle_cursor.ts";
import type { PickleMachine } from "./pickle_machine.ts";

type Opcode = (machine: PickleMachine) => void;
type Opcodes = Readonly<Record<string, Opcode>>;

const FRAMES: Opcodes = {
  "\x80": ({ cursor, damaged }) => { // PROTO
    if (cursor.u1() > 5) damaged("a protocol newer than 5");
  },
  "\x95": ({ cursor }) => void cursor.take(8), // FRAME
};

const NUMBERS: Opcodes = {
  "N": ({ push }) => push(null),
  "\x88": ({ push }) => push(true),
  "\x89": ({ push }) => push(false),
  "I": ({ push, cursor, damaged }) => { // INT, and booleans of protocol 0
    const digits = cursor.line();
    push(digits === "01" ? true : digits === "00" ? false : parseInteger(digits, damaged));
  },
  "L": ({ push, cursor, damaged }) => push(parseInteger(cursor.line().replace(/L$/, ""), damaged)),
  "J": ({ push, cursor }) => push(cursor.i4()),
  "K": ({ push, cursor }) => push(cursor.u1()),
  "M": ({ push, cursor }) => push(cursor.u2()),
  "\x8a": ({ push, cursor }) => push(cursor.integer(cursor.u1())),
  "\x8b": ({ push, cursor }) => push(cursor.integer(cursor.u4())),
  "F": ({ push, cursor, damaged }) => push(parseFloatText(cursor.line(), damaged)),
  "G": ({ push, cursor }) => push(cursor.f8()),
};

const TEXTS: Opcodes = {
  "S": ({ push, cursor, damaged }) => push(parseQuoted(cursor.line(), damaged)),
  "T": ({ push, cursor }) => push(cursor.latin1(cursor.u4())),
  "U": ({ push, cursor }) => push(cursor.latin1(cursor.u1())),
  "V": ({ push, cursor }) => push(parseEscaped(cursor.line())),
  "X": ({ push, cursor }) => push(cursor.text(cursor.u4())),
  "\x8c": ({ push, cursor }) => push(cursor.text(cursor.u1())),
  "\x8d": ({ push, cursor }) => push(cursor.text(cursor.u8())),
  "B": ({ push, cursor }) => push(cursor.raw(cursor.u4())),
  "C": ({ push, cursor }) => push(cursor.raw(cursor.u1())),
  "\x8e": ({ push, cursor }) => push(cursor.raw(cursor.u8())), // BINBYTES8
  "\x96": ({ push, cursor }) => push(cursor.raw(cursor.u8())), // BYTEARRAY8
};

const STACK_AND_MEMO: Opcodes = {
  "(": ({ mark }) => mark(),
  "0": ({ drop }) => drop(),
  "1": ({ popToMark }) => void popToMark(),
  "2": ({ push, peek }) => push(peek()),
  "g": ({ push, recall, cursor }) => push(recall(Number(cursor.line()))),
  "h": ({ push, recall, cursor }) => push(recall(cursor.u1())),
  "j": ({ push, recall, cursor }) => push(recall(cursor.u4())),
  "p": ({ remember, cursor }) => remember(Number(cursor.line())),
  "q": ({ remember, cursor }) => remember(cursor.u1()),
  "r": ({ remember, cursor }) => remember(cursor.u4()),
  "\x94": ({ remember }) => remember(),
};

const CONTAINERS: Opcodes = {
  "]": ({ pushList }) => pushList([]),
  ")": ({ pushList }) => pushList([]),
  "l": ({ pushList, popToMark }) => pushList(popToMark()),
  "t": ({ pushList, popToMark }) => pushList(popToMark()),
  "\x85": ({ pushList, pop }) => pushList([pop()]),
  "\x86": ({ pushList, pop }) => {
    const second = pop();
    pushList([pop(), second]);
  },
  "\x87": ({ pushList, pop }) => {
    const third = pop();
    const second = pop();
    pushList([pop(), second, third]);
  },
  "a": ({ appendItems, pop, peek }) => {
    const item = pop();
    appendItems(peek(), [item]);
  },
  "e": ({ appendItems, popToMark, peek }) => {
    const items = popToMark();
    appendItems(peek(), items);
  },
  "}": ({ pushMap }) => pushMap([]),
  "d": ({ pushMap, popToMark }) => pushMap(popToMark()),
  "s": ({ setItems, pop, peek }) => {
    const value = pop();
    const key = pop();
    setItems(peek(), [key, value]);
  },
  "u": ({ setItems, popToMark, peek }) => {
    const items = popToMark();
    setItems(peek(), items);
  },
  "\x8f": ({ pushSet }) => pushSet([]),
  "\x90": ({ addItems, popToMark, peek }) => {
    const items = popToMark();
    addItems(peek(), items);
  },
  "\x91": ({ pushSet, popToMark }) => pushSet(popToMark()),
};

/** REDUCE and NEWOBJ: one call with a tuple. */
const reduce: Opcode = ({ push, pop, call }) => {
  const args = pop();
  push(call(pop(), args));
};

const registry: Opcode = ({ refuse }) => refuse("an object from Python's extension registry");

const CALLS: Opcodes = {
  "c": ({ push, global, cursor }) => {
    const module = cursor.line();
    push(global(module, cursor.line()));
  },
  "\x93": ({ push, pop, global }) => { // STACK_GLOBAL
    const name = pop();
    push(global(pop(), name));
  },
  "R": reduce,
  "\x81": reduce,
  "\x92": ({ push, pop, call, refuse }) => { // NEWOBJ_EX
    const keywords = pop();
    const args = pop();
    if (!(keywords instanceof Map) || keywords.size) refuse("a call with named arguments");
    push(call(pop(), args));
  },
  "i": ({ push, popToMark, global, call, cursor }) => {
    const module = cursor.line();
    const target = global(module, cursor.line());
    push(call(target, popToMark()));
  },
  "o": ({ push, popToMark, call }) => {
    const [target, ...args] = popToMark();
    push(call(target, args));
  },
  "b": ({ push, pop, build }) => {
    const state = pop();
    push(build(pop(), state));
  },
  "P": ({ push, persistent, cursor }) => push(persistent(cursor.line())),
  "Q": ({ push, pop, persistent }) => push(persistent(pop())),
  "\x82": registry,
  "\x83": registry,
  "\x84": registry,
};

const ALL: Opcodes = { ...FRAMES, ...NUMBERS, ...TEXTS, ...STACK_AND_MEMO, ...CONTAINERS, ...CALLS };

/** By byte; undefined: there is no such opcode (STOP, ".", ends the reading and does nothing). */
export const PICKLE_OPCODES: readonly (Opcode | undefined)[] = Array.from(
  { length: 256 },
  (_, code) => Object.hasOwn(ALL, String.fromCharCode(code)) ? ALL[String.fromCharCode(code)] : undefined,
);
