import { createModuleBuilder, type Kernel } from "../../kernels/wasm/emit/module_builder.ts";
import { f32x4, i32, i64, v128 } from "../../kernels/wasm/emit/expression.ts";
import { at, encodeParams, listParams, paramOffsets } from "../../kernels/wasm/params.ts";
import { emitModule } from "../../kernels/wasm/module.ts";
import { WASM_KERNELS } from "../../cpu/wasm_kernels.ts";
import { signed, unsigned } from "../../core/base/wasm_encode.ts";
import { assert, assertEquals } from "../assert.ts";

const SCALE = { channels: "i32", source: "address", target: "address", factor: "f32" } as const;

const scaleKernel: Kernel = {
  name: "scale",
  emit: (m) =>
    m.kernel("scale", (f, params, item) => {
      const p = f.readParams(params, SCALE);
      const bytes = f.local("i64", i64.extendS(i32.mul(item, i32.shl(p.channels, 2))));
      const from = f.local("i64", i64.add(p.source, bytes));
      const to = f.local("i64", i64.add(p.target, bytes));
      f.countdown(i32.shrU(p.channels, 2), () => {
        f.storeV128(to, f32x4.madd(v128.load(from), f32x4.splat(p.factor), f32x4.splat(1)));
        f.add(from, 16);
        f.add(to, 16);
      });
    }),
};

function run(kernel: Kernel, memory: WebAssembly.Memory): (params: bigint, item: number, scratch: bigint) => void {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(emitModule([kernel])), { env: { memory } });
  return instance.exports[kernel.name] as (params: bigint, item: number, scratch: bigint) => void;
}

function sharedMemory(pages: number): WebAssembly.Memory {
  const descriptor = { address: "i64", shared: true, initial: BigInt(pages), maximum: BigInt(pages) };
  return new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
}

Deno.test("a kernel reads its parameter block and scales the rows it is given", () => {
  const memory = sharedMemory(1);
  const floats = new Float32Array(memory.buffer);
  const addresses: Record<string, number> = { x: 1024, y: 2048 };
  for (let i = 0; i < 24; i++) floats[256 + i] = i;
  const params = listParams(SCALE, { channels: 8, source: at("x"), target: at("y", 32), factor: 0.5 });
  new Uint8Array(memory.buffer).set(encodeParams(params, (slot) => addresses[slot]), 64);
  const scale = run(scaleKernel, memory);
  scale(64n, 0, 0n);
  scale(64n, 2, 0n);
  const row = (n: number) => [...floats.slice(520 + 8 * n, 528 + 8 * n)];
  assertEquals(row(0), [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5]);
  assertEquals(row(1), [0, 0, 0, 0, 0, 0, 0, 0]);
  assertEquals(row(2), [9, 9.5, 10, 10.5, 11, 11.5, 12, 12.5]);
});

Deno.test("parameters are aligned to their size, for the host and for the kernel", () => {
  assertEquals(paramOffsets(SCALE), { channels: 0, source: 8, target: 16, factor: 24 });
  const bytes = encodeParams(
    listParams(SCALE, { channels: -2, source: at("x", 3), target: at("x"), factor: 1.5 }),
    () => 2 ** 33,
  );
  const view = new DataView(bytes.buffer);
  assertEquals(bytes.length, 32);
  assertEquals(view.getInt32(0, true), -2);
  assertEquals(view.getBigUint64(8, true), 8589934595n);
  assertEquals(view.getBigUint64(16, true), 8589934592n);
  assertEquals(view.getFloat32(24, true), 1.5);
});

Deno.test("LEB128 numbers are written as the WebAssembly specification says", () => {
  assertEquals(unsigned(624485), [0xe5, 0x8e, 0x26]);
  assertEquals(signed(-123456), [0xc0, 0xbb, 0x78]);
  assertEquals(signed(64), [0xc0, 0x00]);
  assertEquals(signed(-64), [0x40]);
});

Deno.test("control flow: for, if, else, block and loop do what they say", () => {
  const memory = sharedMemory(1);
  const control: Kernel = {
    name: "control",
    emit: (m) =>
      m.kernel("control", (f, params, item) => {
        const sum = f.local("i32", 0);
        const add = m.once("unused", () => 7);
        f.for(0, item, 2, (i) => {
          f.if(i32.eq(i32.remS(i, 4), 0), () => f.add(sum, i), () => f.add(sum, add));
        });
        f.block((end) => {
          f.loop((again) => {
            f.brIf(end, i32.gtS(sum, 1000));
            f.set(sum, i32.mul(sum, 2));
            f.br(again);
          });
        });
        f.storeI32(params, sum);
      }),
  };
  run(control, memory)(16n, 8, 0n); // 0 + 7 + 4 + 7 = 18, doubled beyond 1000
  assertEquals(new Int32Array(memory.buffer)[4], 1152);
});

Deno.test("two kernels of one name are refused", () => {
  const m = createModuleBuilder();
  scaleKernel.emit(m);
  let message = "";
  try {
    scaleKernel.emit(m);
  } catch (error) {
    message = String(error);
  }
  assert(message.includes("scale"));
});

Deno.test("the engine's module compiles", () => {
  assert(WebAssembly.validate(emitModule(WASM_KERNELS)));
});
