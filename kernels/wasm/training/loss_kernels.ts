/** Kernels of the loss: target, sums, gradient, counts; those of totals are in loss_total.ts. See loss.ts for what they compute. */
import { distance } from "../elementwise/simd.ts";
import { type Expr, f32, f32x4, i32, i64, type V128, v128 } from "../emit/expression.ts";
import { type FunctionBuilder, type Kernel, kernelOf } from "../emit/module_builder.ts";
import { paramOffsets } from "../params.ts";
import { TARGET_FIELDS } from "./loss.ts";
import { lossTotalKernel } from "./loss_total.ts";
import { ONE, sigmoid, softmax, walkVoxels, ZERO } from "./loss_walk.ts";
import { setLaneSum, setLog } from "./math.ts";

/** The axis tables follow the fields: z, y, x. */
const TABLES_OFFSET = paramOffsets(TARGET_FIELDS).rowBytes + 4;

const targetKernel = kernelOf("loss_target", TARGET_FIELDS, (f, p, item, _scratch, params) => {
  const plane = f.local("i32", i32.divU(item, p.gridY));
  const y = i32.remU(item, p.gridY);
  const z = i32.remU(plane, p.gridZ);
  const sample = i32.divU(plane, p.gridZ);
  const entry = (index: Expr<"i32">) => i32.load(i64.add(params, distance(index, 4)), TABLES_OFFSET);
  const labelPlane = i32.add(i32.mul(sample, p.labelZ), entry(z));
  const labelRow = i32.add(i32.mul(labelPlane, p.labelY), entry(i32.add(p.gridZ, y)));
  const row = f.local("i64", i64.add(p.labels, i64.shl(distance(labelRow, i64.extendS(p.labelX)), 1)));
  const columns = f.local("i64", i64.add(params, distance(i32.add(p.gridZ, p.gridY), 4)));
  const to = f.local("i64", i64.add(p.target, i64.shl(distance(item, i64.extendS(p.gridX)), 2)));
  const label = f.local("i32");
  f.countdown(p.gridX, () => {
    f.set(label, i32.load16s(i64.add(row, distance(i32.shl(i32.load(columns, TABLES_OFFSET), 1), 1))));
    f.if(
      i32.and(p.hasIgnore, i32.eq(label, p.ignore)),
      () => f.storeI32(to, -1),
      () => f.storeI32(to, i32.mul(i32.select(label, p.rows, i32.ltU(label, p.rows)), p.rowBytes)),
    );
    f.add(columns, 4);
    f.add(to, 4);
  });
});

function addTo(f: FunctionBuilder, address: Expr<"i64">, value: V128): void {
  f.storeV128(address, f32x4.add(v128.load(address), value));
}

/** What a kernel is for: sigmoids of regions, softmax of labels, and the latter where only the largest cross-entropies count. */
type LossKind = "regions" | "labels" | "top labels";

function emitSums(name: string, kind: LossKind): Kernel {
  return {
    name,
    emit: (m) =>
      m.kernel(name, (f, params, item, scratch) => {
        const w = walkVoxels(f, params, item);
        const { p, at, voxelBytes } = w;
        const partBytes = i64.add(i64.mul(voxelBytes, 3), 16);
        const part = f.local("i64", i64.add(p.parts, distance(item, partBytes)));
        const truths = f.local("i64", i64.add(part, i64.shl(voxelBytes, 1)));
        const predictions = f.local("i64", i64.add(part, voxelBytes));
        const [entropy, counted] = [f.local("v128", ZERO), f.local("f32", 0)];
        const [z, g, probability, own, log] = f.locals("v128", 5);
        f.zeroBytes(part, partBytes);
        const addBlock = () => {
          addTo(f, i64.add(part, at), f32x4.mul(probability, g));
          addTo(f, i64.add(predictions, at), probability);
          addTo(f, i64.add(truths, at), g);
        };
        const load = () => {
          f.set(z, v128.load(i64.add(w.logits, at)));
          f.set(g, v128.load(i64.add(w.members, at)));
        };
        if (kind === "regions") {
          const s = sigmoid(f, z);
          w.voxels(() => {
            w.blocks(() => {
              load();
              s.run();
              f.set(probability, s.probability);
              addBlock();
              setLog(f, log, f32x4.add(ONE, s.decay));
              const positive = f32x4.sub(f32x4.pmax(ZERO, z), f32x4.mul(z, g));
              f.set(entropy, f32x4.add(entropy, v128.and(f32x4.add(positive, log), w.mask())));
            });
            f.set(counted, f32.add(counted, 1));
          });
        } else {
          const s = softmax(f, w, scratch);
          w.voxels(() => {
            s.run();
            f.set(own, ZERO);
            w.blocks(() => {
              load();
              f.set(probability, f32x4.mul(v128.load(i64.add(scratch, at)), s.share));
              addBlock();
              if (kind === "top labels") w.smooth(g);
              f.set(own, f32x4.madd(g, f32x4.sub(z, s.largest), own));
            });
            setLaneSum(f, own);
            setLog(f, log, s.sum);
            if (kind === "top labels") {
              // Never less than zero but for rounding, whose bits would not be in order.
              f.storeF32(w.entropy(), f32x4.extract(f32x4.abs(f32x4.sub(log, own)), 0));
              return;
            }
            // All lanes of the difference are the same: one of them counts.
            const difference = v128.and(f32x4.sub(log, own), v128.constI32(-1, 0, 0, 0));
            f.set(entropy, f32x4.add(entropy, difference));
            f.set(counted, f32.add(counted, 1));
          }, kind === "top labels" ? () => f.storeF32(w.entropy(), 0) : undefined);
        }
        setLaneSum(f, entropy);
        const end = f.local("i64", i64.add(truths, voxelBytes));
        f.storeF32(end, f32x4.extract(entropy, 0));
        f.storeF32(end, counted, 4);
      }),
  };
}

function emitGradient(name: string, kind: LossKind): Kernel {
  return {
    name,
    emit: (m) =>
      m.kernel(name, (f, params, item, scratch) => {
        const w = walkVoxels(f, params, item);
        const { p, at, voxelBytes } = w;
        const table = f.local("i64", i64.add(p.coefficients, distance(i32.shl(w.sample, 1), voxelBytes)));
        const entropy = f.local("v128", v128.load(p.parts));
        const gradientOffset = f.local("i64", i64.sub(p.gradient, p.logits));
        const [g, d, inner, probability, z, value] = f.locals("v128", 6);
        const to = () => i64.add(i64.add(w.logits, gradientOffset), at);
        /** g and dL/dp of the block. */
        const load = () => {
          const from = i64.add(table, at);
          f.set(g, v128.load(i64.add(w.members, at)));
          f.set(d, f32x4.madd(v128.load(from), g, v128.load(i64.add(from, voxelBytes))));
        };
        const store = (dice: V128) => {
          f.set(value, f32x4.madd(entropy, f32x4.sub(probability, g), dice));
          f.storeV128(to(), v128.and(value, w.mask()));
        };
        const ignored = () => w.blocks(() => f.storeV128(to(), ZERO));
        if (kind === "regions") {
          const s = sigmoid(f, z);
          w.voxels(() =>
            w.blocks(() => {
              f.set(z, v128.load(i64.add(w.logits, at)));
              load();
              s.run();
              f.set(probability, s.probability);
              store(f32x4.mul(d, f32x4.mul(probability, f32x4.sub(ONE, probability))));
            }), ignored);
        } else {
          const s = softmax(f, w, scratch);
          w.voxels(() => {
            if (kind === "top labels") f.set(entropy, v128.load32Splat(w.entropy()));
            s.run();
            f.set(inner, ZERO);
            w.blocks(() => {
              load();
              f.set(probability, f32x4.mul(v128.load(i64.add(scratch, at)), s.share));
              f.storeV128(i64.add(scratch, at), probability);
              f.set(inner, f32x4.madd(probability, d, inner));
            });
            setLaneSum(f, inner);
            w.blocks(() => {
              load();
              f.set(probability, v128.load(i64.add(scratch, at)));
              if (kind === "top labels") w.smooth(g);
              store(f32x4.mul(probability, f32x4.sub(d, inner)));
            });
          }, ignored);
        }
      }),
  };
}

const countsKernel: Kernel = {
  name: "loss_counts",
  emit: (m) =>
    m.kernel("loss_counts", (f, params, item) => {
      const w = walkVoxels(f, params, item);
      const { p, at, voxelBytes } = w;
      const part = f.local("i64", i64.add(p.parts, distance(item, i64.mul(voxelBytes, 3))));
      const [largest, value] = f.locals("f32", 2);
      const [predicted, truth] = f.locals("i32", 2);
      const isPositive = f.local("v128");
      const [g, z] = f.locals("v128", 2);
      f.zeroBytes(part, i64.mul(voxelBytes, 3));
      const row = (kind: number) => i64.add(part, i64.mul(voxelBytes, kind));
      const countOne = (kind: number, channel: Expr<"i32">) => {
        const address = f.local("i64", i64.add(row(kind), distance(channel, 4)));
        f.storeF32(address, f32.add(f32.load(address), 1));
      };
      w.voxels(() => {
        f.if(p.regions, () =>
          w.blocks(() => {
            f.set(z, v128.load(i64.add(w.logits, at)));
            f.set(g, v128.load(i64.add(w.members, at)));
            f.set(isPositive, v128.and(f32x4.gt(z, ZERO), w.mask()));
            addTo(f, i64.add(row(0), at), v128.and(g, isPositive));
            addTo(f, i64.add(row(1), at), v128.and(f32x4.sub(ONE, g), isPositive));
            addTo(f, i64.add(row(2), at), v128.andNot(g, isPositive));
          }), () => {
          // The first of the largest, and the label's own channel.
          f.set(largest, f32.load(w.logits));
          f.set(predicted, 0);
          f.set(truth, -1);
          f.for(0, p.channels, 1, (c) => {
            f.set(value, f32.load(i64.add(w.logits, distance(c, 4))));
            f.if(f32.gt(value, largest), () => {
              f.set(largest, value);
              f.set(predicted, c);
            });
            f.if(f32.gt(f32.load(i64.add(w.members, distance(c, 4))), 0), () => f.set(truth, c));
          });
          f.if(i32.eq(predicted, truth), () => countOne(0, predicted), () => {
            countOne(1, predicted);
            f.if(i32.geS(truth, 0), () => countOne(2, truth));
          });
        });
      });
    }),
};

export const TRAINING_LOSS_KERNELS: readonly Kernel[] = [
  targetKernel,
  emitSums("loss_label_sums", "labels"),
  emitSums("loss_top_label_sums", "top labels"),
  emitSums("loss_region_sums", "regions"),
  lossTotalKernel,
  emitGradient("loss_label_gradient", "labels"),
  emitGradient("loss_top_label_gradient", "top labels"),
  emitGradient("loss_region_gradient", "regions"),
  countsKernel,
];
