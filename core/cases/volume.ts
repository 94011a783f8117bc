/** Cases of tensors, of patches cut from a volume, and of logits summed in a ring. */
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { Engine } from "../engine/engine.ts";
import type { PatchPlacement } from "../engine/volume.ts";
import { type CaseResult, type EngineCase, type TimedSize, uploaded } from "./case.ts";
import { randomValues, randomWeights } from "./random_data.ts";
import { floatBytes, head, IDENTITY, makeRing, NO_MIRROR, timedCall, volumeCase, wholeRing } from "./rings.ts";

async function tensors(engine: Engine): Promise<CaseResult> {
  using tensor = engine.alloc("f32", 5000, "tensor");
  const data = randomValues(5000, 41);
  engine.upload(tensor, data);
  const before = engine.download(tensor);
  engine.clear(tensor, 10, 20);
  data.fill(3);
  const cleared = engine.download(tensor, 5, 40);
  engine.upload(tensor, data.subarray(0, 30), 15);
  const after = engine.download(tensor, 0, 100);
  using next = engine.alloc("f32", 10, "next");
  engine.upload(next, new Float32Array(10).fill(1));
  engine.clear(next, 3);
  const last = engine.download(next);
  next[Symbol.dispose]();
  // Within and across words of four bytes.
  using bytes = engine.alloc("u8", 41, "bytes");
  engine.clear(bytes);
  engine.upload(bytes, Uint8Array.from({ length: 9 }, (_, i) => 200 + i), 3);
  engine.upload(bytes, Uint8Array.of(7), 38);
  engine.clear(bytes, 5, 3);
  return {
    before: await before,
    cleared: await cleared,
    after: await after,
    last: await last,
    bytes: await engine.download(bytes),
  };
}

async function gather(engine: Engine): Promise<CaseResult> {
  const [grid, patch]: Vec3[] = [[9, 11, 13], [6, 8, 10]];
  using program = await engine.compile(head(5, 5), { patch, batch: 3, precision: "f32" });
  using weights = await engine.loadWeights(program, IDENTITY);
  using volume = uploaded(engine, "volume", randomValues(2 * voxelCount(grid), 11));
  using labels = engine.alloc("i16", voxelCount(grid), "labels");
  const classes = [-1, 0, 2, 7, 3];
  engine.upload(labels, Int16Array.from(randomValues(voxelCount(grid), 12), (v) => classes[Math.floor((v + 1) * 2.5)]));
  const patches: PatchPlacement[] = [
    { origin: [-2, 1, 5], mirror: [true, false, true] },
    { origin: [3, 3, 3], mirror: [false, true, false] },
    { origin: [20, -9, 0], mirror: [false, false, true] },
  ];
  const call = { volume, channels: 2, grid, labelMap: { labels, oneHot: [2, 0, 7] }, program };
  engine.gatherPatches({ ...call, patches });
  engine.run(program, weights);
  const first = await Promise.all([0, 1, 2].map((i) => engine.downloadOutput(program, i)));
  engine.gatherPatches({ ...call, patches: patches.slice(1, 2) });
  engine.run(program, weights);
  const again = await engine.downloadOutput(program, 0);
  return { mirrored: first[0], inside: first[1], outside: first[2], again };
}

const timedGather = (channels: number): TimedSize =>
  timedCall(`gather ${channels} channels`, async (engine, taken) => {
    const [grid, patch]: Vec3[] = [[160, 160, 160], [128, 128, 128]];
    const program = taken.use(await engine.compile(head(1, channels), { patch, batch: 1, precision: "f32" }));
    const volume = taken.use(uploaded(engine, "volume", new Float32Array(channels * voxelCount(grid)).fill(1)));
    const patches: PatchPlacement[] = [{ origin: [5, 6, 7], mirror: [true, false, true] }];
    return {
      run: () => engine.gatherPatches({ volume, channels, grid, patches, program }),
      voxels: voxelCount(patch),
      bytes: 2 * floatBytes(channels, patch),
    };
  });

/** A program whose output is random, run on patches of a volume. */
async function accumulate(engine: Engine, axes: Vec3): Promise<CaseResult> {
  const [grid, patch]: Vec3[] = [[14, 10, 12], [6, 8, 7]];
  using program = await engine.compile(head(5), { patch, batch: 2, precision: "f32" });
  using weights = await engine.loadWeights(program, randomWeights(3));
  using volume = uploaded(engine, "volume", randomValues(voxelCount(grid), 21));
  using importance = uploaded(engine, "importance", randomValues(voxelCount(patch), 22).map((v) => 1.5 + v));
  using ring = makeRing(engine, { ...wholeRing(5, grid, axes), planes: 9 });
  engine.clear(ring.logits);
  engine.clear(ring.weightSums);
  const results: Record<string, Float32Array> = {};
  const origin = (plane: number, u: number, v: number): Vec3 => {
    const values = [0, 0, 0];
    [values[axes[0]], values[axes[1]], values[axes[2]]] = [plane, u, v];
    return [values[0], values[1], values[2]];
  };
  const rounds: readonly (readonly [number, PatchPlacement["mirror"]])[] = [
    [-2, [false, true, false]],
    [1, [true, false, true]],
  ];
  let from = 0;
  for (const [plane, mirror] of rounds) {
    const patches: PatchPlacement[] = [
      { origin: origin(plane, -3, 1), mirror },
      { origin: origin(plane + 1, 4, 6), mirror: NO_MIRROR },
    ];
    engine.gatherPatches({ volume, channels: 1, grid, patches, program });
    engine.run(program, weights);
    patches.forEach((placement, sample) => {
      engine.accumulate({ program, sample, placement, importance, scale: 0.25, addWeight: sample === 0, ring });
      engine.accumulate({ program, sample, placement, importance, scale: 0.5, addWeight: true, ring });
    });
    results[`logits ${plane}`] = await engine.download(ring.logits);
    results[`weights ${plane}`] = await engine.download(ring.weightSums);
    engine.clear(ring.logits, from, 100);
    from += 60;
  }
  // Everything gets a weight, so that nothing is divided by zero.
  engine.upload(ring.weightSums, randomValues(ring.weightSums.length, 4).map((v) => v + 1.25));
  engine.finishPlanes(ring, ring.depth - ring.planes, ring.depth, 3);
  results.finished = await engine.download(ring.logits);
  return results;
}

/** Patches of 96^3 in a ring that is somewhat wider. */
function timedAccumulate(channels: number, mirror: PatchPlacement["mirror"], axes: Vec3): TimedSize {
  const patch: Vec3 = [96, 96, 96];
  const name = `accumulate ${channels} x ${patch.join("x")}, mirror ${mirror.map(Number).join("")}, axes ${
    axes.join("")
  }`;
  return timedCall(name, async (engine, taken) => {
    const program = taken.use(await engine.compile(head(channels), { patch, batch: 1, precision: "f32" }));
    const weights = taken.use(await engine.loadWeights(program, randomWeights(3)));
    engine.run(program, weights);
    const importance = taken.use(uploaded(engine, "importance", new Float32Array(voxelCount(patch)).fill(1)));
    const size = { planes: 96, rows: 136, columns: 136, depth: 1000 };
    const ring = taken.use(makeRing(engine, { channels, channelStride: engine.ringStride(channels), axes, ...size }));
    engine.clear(ring.logits);
    engine.clear(ring.weightSums);
    const placement: PatchPlacement = { origin: [7, 8, 9], mirror };
    return {
      run: () => engine.accumulate({ program, sample: 0, placement, importance, scale: 0.125, addWeight: true, ring }),
      voxels: voxelCount(patch),
      bytes: floatBytes(3 * channels + 3, patch),
    };
  });
}

/** The flag after planes with and without such logits: in no plane, in one that is not finished, in the last channel of the last voxel. */
async function nonFinite(engine: Engine): Promise<CaseResult> {
  using ring = makeRing(engine, wholeRing(6, [4, 5, 7]), true);
  const { logits, weightSums, nonFinite, channels, channelStride, planes, rows, columns } = ring;
  if (!nonFinite) throw new RangeError("Making a ring: it has no flag");
  const values = randomValues(logits.length, 5).map((v, i) => (i % channelStride < channels ? 1e30 * v : 0));
  const results: Record<string, Float32Array> = {};
  const lastChannel = (planes * rows * columns - 1) * channelStride + channels - 1;
  const trials: readonly (readonly [string, number, number])[] = [
    ["finite", lastChannel, 3],
    ["NaN in the last voxel", lastChannel, NaN],
    ["infinity", lastChannel, Infinity],
    ["negative infinity in a channel between", rows * columns * channelStride + 2, -Infinity],
    ["NaN in a plane that is not finished", 1, NaN],
  ];
  for (const [name, at, value] of trials) {
    const changed = values.slice();
    changed[at] = value;
    engine.upload(logits, changed);
    engine.upload(weightSums, new Float32Array(weightSums.length).fill(0.5));
    engine.clear(nonFinite);
    engine.finishPlanes(ring, 1, planes, 2);
    results[name] = await engine.download(nonFinite);
  }
  return results;
}

const timedFinish = (channels: number): TimedSize =>
  timedCall(`finish ${channels} channels`, (engine, taken) => {
    const grid: Vec3 = [96, 96, 96];
    const channelStride = engine.ringStride(channels);
    const ring = taken.use(makeRing(engine, { ...wholeRing(channels, grid), channelStride }));
    engine.clear(ring.logits);
    engine.upload(ring.weightSums, new Float32Array(ring.weightSums.length).fill(1));
    return {
      run: () => engine.finishPlanes(ring, 0, ring.planes, 1),
      voxels: voxelCount(grid),
      bytes: floatBytes(2 * channels + 1, grid),
    };
  });

const TIMED_ACCUMULATIONS: readonly TimedSize[] = [
  timedAccumulate(25, NO_MIRROR, [0, 1, 2]),
  timedAccumulate(25, [true, true, true], [0, 1, 2]),
  timedAccumulate(25, NO_MIRROR, [1, 0, 2]),
  timedAccumulate(25, NO_MIRROR, [2, 0, 1]),
  timedAccumulate(61, NO_MIRROR, [0, 1, 2]),
  timedAccumulate(3, NO_MIRROR, [0, 1, 2]),
];

export const VOLUME_CASES: readonly EngineCase[] = [
  volumeCase("uploads, clears and downloads keep their order", tensors, { selfTest: true }),
  volumeCase("patches are gathered mirrored, partly outside and with one-hot labels", gather, {
    selfTest: true,
    timed: [timedGather(1), timedGather(4)],
  }),
  ...([[0, 1, 2], [2, 0, 1], [1, 2, 0]] as const).map((axes, i) =>
    volumeCase(`logits accumulate in a ring along axes ${axes.join(", ")}`, (engine) => accumulate(engine, axes), {
      selfTest: i < 2,
      timed: i === 0 ? TIMED_ACCUMULATIONS : [],
    })
  ),
  volumeCase("finished planes tell of NaN and infinite logits", nonFinite, {
    selfTest: true,
    timed: [3, 25, 61].map(timedFinish),
  }),
];
