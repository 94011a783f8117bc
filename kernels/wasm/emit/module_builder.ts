/**
 * A small WebAssembly assembler: functions of typed statements over one imported, shared, 64-bit memory `env.memory`.
 *
 * A kernel that scales a channels-last row, as an example of the whole idiom:
 * ```ts
 * import { strictEqual } from "node:assert";
 * import { f32x4, i32, i64, v128 } from "./expression.ts";
 * import type { KernelCall } from "../kernel.ts";
 * import { emitModule } from "../module.ts";
 * import { at, listParams } from "../params.ts";
 *
 * const SCALE = { source: "address", target: "address", channels: "i32", factor: "f32" } as const;
 *
 * const scaleKernel = kernelOf("scale", SCALE, (f, p, item) => {
 *   const bytes = i64.extendS(i32.mul(item, i32.shl(p.channels, 2))); // the row this item is
 *   const from = f.local("i64", i64.add(p.source, bytes));
 *   const to = f.local("i64", i64.add(p.target, bytes));
 *   f.countdown(i32.shrU(p.channels, 2), () => { // loop over blocks of four channels
 *     f.storeV128(to, f32x4.mul(v128.load(from), f32x4.splat(p.factor)));
 *     f.add(from, 16);
 *     f.add(to, 16);
 *   });
 * });
 * strictEqual(WebAssembly.validate(emitModule([scaleKernel])), true);
 *
 * const call: KernelCall = {
 *   kernel: "scale", items: 12, scratchBytes: 0,
 *   params: listParams(SCALE, { source: at("x"), target: at("y"), channels: 32, factor: 0.5 }),
 * };
 * strictEqual(call.params.length, 4);
 * ```
 */
import { type Code, flatten, text, unsigned } from "../../../core/base/wasm_encode.ts";
import { type Expr, type F32, type F64, type I32, i32, type I64, i64, lift, memarg, simd } from "./expression.ts";
import { f32, type V128, type ValueType } from "./expression.ts";
import { eachParam, paramOffsets, type ParamTypes } from "../params.ts";

const TYPE_CODE: Record<ValueType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };
const VOID_BLOCK = 0x40;

/** Pages of 64 KiB an imported memory may have at most: 16 GiB, V8's limit. */
const MAXIMUM_PAGES = 2 ** 18;

/** A variable of a function; as an expression it reads the variable. */
export interface Local<T extends ValueType> extends Expr<T> {
  readonly index: number;
}

/** The target of a branch: the number of blocks open outside it. */
export interface Label {
  readonly depth: number;
}

/** A function that other functions of the module can call. */
export interface FunctionReference {
  readonly index: number;
  readonly params: readonly ValueType[];
}

/** What a parameter of a kernel is inside it. */
export type ParamLocals<L extends ParamTypes> =
  & {
    readonly [K in keyof L as L[K] extends "axes" ? never : K]: Local<
      L[K] extends "address" ? "i64" : L[K] extends "f32" ? "f32" : "i32"
    >;
  }
  & { readonly [K in keyof L as L[K] extends "axes" ? `${K & string}${"Z" | "Y" | "X"}` : never]: Local<"i32"> };

/** One kernel's file: its export name and how it is emitted. */
export interface Kernel {
  readonly name: string;
  emit(m: ModuleBuilder): void;
}

/** A kernel of its own parameters. `params` is the address of their block: what lies behind them is read from there. */
export function kernelOf<L extends ParamTypes>(
  name: string,
  layout: L,
  body: (
    f: FunctionBuilder,
    p: ParamLocals<L>,
    item: Local<"i32">,
    scratch: Local<"i64">,
    params: Local<"i64">,
  ) => void,
): Kernel {
  return {
    name,
    emit: (m) =>
      m.kernel(name, (f, params, item, scratch) => body(f, f.readParams(params, layout), item, scratch, params)),
  };
}

/** Builds one function's body, statement by statement. */
export interface FunctionBuilder {
  /** A new variable, set to `initial` here; without it, it is only declared (and keeps what an earlier turn of a loop left). */
  local<T extends ValueType>(type: T, initial?: Expr<T> | number): Local<T>;
  /** Several of them. */
  locals<T extends ValueType>(type: T, count: number): Local<T>[];
  set<T extends ValueType>(target: Local<T>, value: Expr<T> | number): void;
  /** target += step. */
  add(target: Local<"i32"> | Local<"i64">, step: Expr<"i32"> | Expr<"i64"> | number): void;
  readParams<L extends ParamTypes>(params: Expr<"i64">, layout: L): ParamLocals<L>;

  block(body: (end: Label) => void): void;
  /** Runs `body` once, and again for each branch to `again`. */
  loop(body: (again: Label) => void): void;
  if(condition: I32, then: () => void, otherwise?: () => void): void;
  br(label: Label): void;
  brIf(label: Label, condition: I32): void;
  return(): void;
  /** for (let i = from; i < to; i += step) body(i), tested before the first turn. */
  for(from: I32, to: I32, step: I32, body: (i: Local<"i32">) => void): void;
  /** Runs `body` `count` times; count <= 0: not at all. */
  countdown(count: I32, body: () => void): void;
  call(target: FunctionReference, ...args: (Expr<ValueType> | number)[]): void;

  storeI32(address: I64, value: I32, offset?: number): void;
  storeI32Low8(address: I64, value: I32, offset?: number): void;
  storeI32Low16(address: I64, value: I32, offset?: number): void;
  storeI64(address: I64, value: I64, offset?: number): void;
  storeF32(address: I64, value: F32, offset?: number): void;
  storeF64(address: I64, value: F64, offset?: number): void;
  storeV128(address: I64, value: V128, offset?: number): void;
  storeLane32(address: I64, value: V128, lane: number, offset?: number): void;
  storeLane64(address: I64, value: V128, lane: number, offset?: number): void;
  /** memory.copy: addresses and byte count are i64. */
  copyBytes(to: I64, from: I64, bytes: I64): void;
  /** memory.fill with zeros. */
  zeroBytes(to: I64, bytes: I64): void;
}

/** Collects functions; {@link ModuleBuilder.bytes} is the module. */
export interface ModuleBuilder {
  /** A function inside the module. The builder's callback gets its parameters as locals. */
  func<P extends readonly ValueType[]>(
    params: P,
    body: (f: FunctionBuilder, ...args: { [K in keyof P]: Local<P[K]> }) => void,
  ): FunctionReference;
  /** An export `(params: i64, item: i32, scratch: i64) -> ()`. */
  kernel(
    name: string,
    body: (f: FunctionBuilder, params: Local<"i64">, item: Local<"i32">, scratch: Local<"i64">) => void,
  ): void;
  /** `make()` the first time `key` is asked for, the same value later: shared helper functions are emitted once. */
  once<T>(key: string, make: () => T): T;
  bytes(): Uint8Array<ArrayBuffer>;
}

interface FunctionCode {
  readonly typeIndex: number;
  readonly bytes: readonly number[];
}

export function createModuleBuilder(): ModuleBuilder {
  const types: string[] = [];
  const functions: FunctionCode[] = [];
  const exported: { name: string; index: number }[] = [];
  const shared = new Map<string, unknown>();

  const typeIndexOf = (params: readonly ValueType[]): number => {
    const key = params.join();
    if (!types.includes(key)) types.push(key);
    return types.indexOf(key);
  };

  const m: ModuleBuilder = {
    func(params, body) {
      const { builder, args, finish } = createFunctionBuilder(params);
      body(builder, ...args);
      functions.push({ typeIndex: typeIndexOf(params), bytes: finish() });
      return { index: functions.length - 1, params };
    },
    kernel(name, body) {
      if (exported.some((e) => e.name === name)) throw new RangeError(`Emitting kernel ${name}: the name is taken`);
      const { index } = m.func(["i64", "i32", "i64"] as const, body);
      exported.push({ name, index });
    },
    once<T>(key: string, make: () => T): T {
      if (!shared.has(key)) shared.set(key, make());
      return shared.get(key) as T;
    },
    bytes: () => assemble(types, functions, exported),
  };
  return m;
}

function assemble(
  types: readonly string[],
  functions: readonly FunctionCode[],
  exported: readonly { name: string; index: number }[],
): Uint8Array<ArrayBuffer> {
  const out: number[] = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const section = (id: number, content: number[]) => {
    out.push(id, ...unsigned(content.length));
    for (const byte of content) out.push(byte);
  };
  const vector = (items: readonly (readonly number[])[]): number[] => {
    const bytes = unsigned(items.length);
    for (const item of items) for (const byte of item) bytes.push(byte);
    return bytes;
  };
  const paramCodes = (key: string) => key === "" ? [] : key.split(",").map((t) => [TYPE_CODE[t as ValueType]]);
  section(1, vector(types.map((key) => [0x60, ...vector(paramCodes(key)), 0])));
  // Limits flags: has a maximum (1), shared (2), 64-bit addresses (4).
  section(2, vector([[...text("env"), ...text("memory"), 2, 7, ...unsigned(1), ...unsigned(MAXIMUM_PAGES)]]));
  section(3, vector(functions.map((f) => unsigned(f.typeIndex))));
  section(7, vector(exported.map((e) => [...text(e.name), 0, ...unsigned(e.index)])));
  section(10, vector(functions.map((f) => [...unsigned(f.bytes.length), ...f.bytes])));
  return Uint8Array.from(out);
}

/** A builder whose statements go nowhere, to learn what an emitting function would ask for. */
export function discardingBuilder(): FunctionBuilder {
  return createFunctionBuilder([]).builder;
}

/** A builder for one function, its parameters as locals, and what ends it. */
function createFunctionBuilder<P extends readonly ValueType[]>(params: P) {
  const bytes: number[] = [];
  const locals: ValueType[] = [];
  let depth = 0;
  const emit = (...code: Code) => flatten(code, bytes);
  const reference = <T extends ValueType>(type: T, index: number): Local<T> => ({
    type,
    index,
    code: [0x20, unsigned(index)],
  });
  const nested = (open: Code, body: (label: Label) => void) => {
    emit(open, VOID_BLOCK);
    const label = { depth: depth++ };
    body(label);
    depth--;
    emit(0x0b);
  };
  const relative = (label: Label) => unsigned(depth - 1 - label.depth);
  const store = <T extends ValueType>(type: T, op: Code) => (address: I64, value: Expr<T> | number, offset = 0) =>
    emit(lift("i64", address).code, lift<ValueType>(type, value).code, op, memarg(offset));
  const storeLane = (op: number) => (address: I64, value: V128, lane: number, offset = 0) =>
    emit(lift("i64", address).code, value.code, simd(op), memarg(offset), lane);

  const builder: FunctionBuilder = {
    local(type, initial) {
      locals.push(type);
      const local = reference(type, params.length + locals.length - 1);
      if (initial !== undefined) builder.set(local, initial);
      return local;
    },
    set(target, value) {
      emit(lift<ValueType>(target.type, value).code, 0x21, unsigned(target.index));
    },
    add(target, step) {
      emit(target.code, lift<ValueType>(target.type, step).code, target.type === "i32" ? 0x6a : 0x7c);
      emit(0x21, unsigned(target.index));
    },
    locals: (type, count) => Array.from({ length: count }, () => builder.local(type)),
    readParams(base, layout) {
      const offsets = paramOffsets(layout);
      const load = { i32: i32.load, f32: f32.load, address: i64.load };
      const entries = eachParam(layout).map(([name, type]) => {
        const value: Expr<ValueType> = load[type](base, offsets[name]);
        return [name, builder.local(value.type, value)];
      });
      return Object.fromEntries(entries);
    },
    block: (body) => nested([0x02], body),
    loop: (body) => nested([0x03], body),
    if(condition, then, otherwise) {
      emit(lift("i32", condition).code, 0x04, VOID_BLOCK);
      depth++;
      then();
      if (otherwise) {
        emit(0x05);
        otherwise();
      }
      depth--;
      emit(0x0b);
    },
    br: (label) => emit(0x0c, relative(label)),
    brIf: (label, condition) => emit(lift("i32", condition).code, 0x0d, relative(label)),
    return: () => emit(0x0f),
    for(from, to, step, body) {
      const i = builder.local("i32", from);
      builder.block((end) => {
        builder.loop((again) => {
          builder.brIf(end, i32.geS(i, to));
          body(i);
          builder.add(i, step);
          builder.br(again);
        });
      });
    },
    countdown(count, body) {
      const left = builder.local("i32", count);
      builder.block((end) => {
        builder.brIf(end, i32.leS(left, 0));
        builder.loop((again) => {
          body();
          builder.add(left, -1);
          builder.brIf(again, left);
        });
      });
    },
    call(target, ...args) {
      if (args.length !== target.params.length) {
        throw new TypeError(
          `Calling function ${target.index}: ${args.length} arguments, it takes ${target.params.length}`,
        );
      }
      args.forEach((arg, i) => {
        const lifted = lift<ValueType>(target.params[i], arg);
        if (lifted.type !== target.params[i]) {
          throw new TypeError(
            `Calling function ${target.index}: argument ${i} is ${lifted.type}, not ${target.params[i]}`,
          );
        }
        emit(lifted.code);
      });
      emit(0x10, unsigned(target.index));
    },
    storeI32: store("i32", [0x36]),
    storeI32Low8: store("i32", [0x3a]),
    storeI32Low16: store("i32", [0x3b]),
    storeI64: store("i64", [0x37]),
    storeF32: store("f32", [0x38]),
    storeF64: store("f64", [0x39]),
    storeV128: store("v128", simd(11)),
    storeLane32: storeLane(0x5a),
    storeLane64: storeLane(0x5b),
    copyBytes: (to, from, count) =>
      emit(lift("i64", to).code, lift("i64", from).code, lift("i64", count).code, 0xfc, 10, 0, 0),
    zeroBytes: (to, count) => emit(lift("i64", to).code, i32.const(0).code, lift("i64", count).code, 0xfc, 11, 0),
  };
  return {
    builder,
    args: params.map((type, index) => reference(type, index)) as { [K in keyof P]: Local<P[K]> },
    finish: (): number[] => [
      ...unsigned(locals.length),
      ...locals.flatMap((type) => [1, TYPE_CODE[type]]),
      ...bytes,
      0x0b,
    ],
  };
}

export type { Expr, F32, F64, I32, I64, V128, ValueType } from "./expression.ts";
