/** What `run` does next and how long it takes, of folds in any state. */
import { UserError } from "../../core/base/errors.ts";
import { isLocked, removeAbandonedLock, takeLock, tryTakeLock } from "../../core/base/folder_lock.ts";
import { join } from "../../core/base/path.ts";
import { chooseConfigurations, listTasks } from "../../core/experiment/experiment.ts";
import type { FoldState } from "../../core/experiment/fold_state.ts";
import { nextFold } from "../../core/experiment/next_fold.ts";
import { estimateTime } from "../../core/experiment/time_left.ts";
import { parsePlans } from "../../core/plan/read_plans.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { inFolder, tinyPlans } from "./train_fixture.ts";

function cascadePlans() {
  const { configurations, ...rest } = tinyPlans();
  const { tiny } = configurations as { readonly tiny: Readonly<Record<string, unknown>> };
  const all = {
    "3d_cascade_fullres": { inherits_from: "3d_fullres", previous_stage: "3d_lowres" },
    "2d": { ...tiny, data_identifier: "a" },
    "3d_fullres": { ...tiny, data_identifier: "b" },
    "3d_lowres": { ...tiny, data_identifier: "c", next_stage: "3d_cascade_fullres" },
    mine: { ...tiny, data_identifier: "d" },
  };
  return parsePlans({ ...rest, configurations: all }, "plans.json");
}

function state(configuration: string, fold: number, changes: Partial<FoldState> = {}): FoldState {
  const task = { configuration, fold };
  return { task, folder: "", progress: { kind: "left" }, isBusy: false, stale: [], ...changes };
}

const DONE: Partial<FoldState> = { progress: { kind: "done", dice: 0.9 } };

Deno.test("a cascade brings its first stage, which needs all folds of the cross-validation and comes before it", async () => {
  const plans = cascadePlans();
  const names = (asked?: readonly string[]) => chooseConfigurations(plans, asked).map(({ name }) => name);
  assertEquals(names(), ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]);
  assertEquals(names(["3d_cascade_fullres", "mine"]), ["3d_lowres", "3d_cascade_fullres", "mine"]);
  await assertFails(() => Promise.resolve().then(() => names(["3d_lowers"])), UserError, "did you mean 3d_lowres?");
  const tasks = listTasks(chooseConfigurations(plans, ["3d_cascade_fullres"]), [1], [0, 1, 2]);
  assertEquals(tasks.map(({ configuration, fold }) => `${configuration} ${fold}`), [
    "3d_lowres 0",
    "3d_lowres 1",
    "3d_lowres 2",
    "3d_cascade_fullres 1",
  ]);
});

Deno.test("a fold is trained that is left, nobody else's, not failed, and not in need of what is not done", () => {
  const experiment = { configurations: chooseConfigurations(cascadePlans(), ["3d_cascade_fullres"]) };
  const next = (states: readonly FoldState[], failed: readonly string[] = []) => {
    const found = nextFold(states, experiment, new Set(failed));
    return found.kind === "train" ? `${found.state.task.configuration} ${found.state.task.fold}` : found.kind;
  };
  const cascade = state("3d_cascade_fullres", 0);
  assertEquals(next([state("3d_lowres", 0, DONE), state("3d_lowres", 1), cascade]), "3d_lowres 1");
  assertEquals(next([state("3d_lowres", 0, DONE), state("3d_lowres", 1, { isBusy: true }), cascade]), "wait");
  assertEquals(next([state("3d_lowres", 0, DONE), state("3d_lowres", 1), cascade], ["3d_lowres, fold 1"]), "end");
  assertEquals(next([state("3d_lowres", 0, DONE), state("3d_lowres", 1, DONE), cascade]), "3d_cascade_fullres 0");
  assertEquals(next([state("3d_lowres", 0, DONE)]), "end");
});

Deno.test("the time left is by measured epochs, the fold's own or its configuration's, else by the forecast", () => {
  const training = { kind: "training", epoch: 4, epochs: 10 } as const;
  const states = [
    state("2d", 0, { ...DONE, epochSeconds: 10, validationSeconds: 7 }),
    state("2d", 1, { progress: training, epochSeconds: 20 }),
    state("2d", 2),
    state("3d_fullres", 0),
    state("3d_fullres", 1, { isBusy: true }),
  ];
  const time = estimateTime(states, 10, new Map([["3d_fullres", { seconds: 3 }]]));
  assertEquals(time, { folds: [0, 6 * 20 + 7, 10 * 15 + 7, 30, 30], total: 127 + 157 + 30, isForecast: true });
  assertEquals(estimateTime(states, 10, new Map()).total, undefined);
});

Deno.test("a lock is seen while it is held, and its file goes when its process has left it", () =>
  inFolder(async (folder) => {
    const path = join(folder, ".lock");
    assert(!isLocked(path));
    const there = () => Deno.stat(path).then(() => true, () => false);
    assertEquals(await there(), false, "looking makes no file");
    {
      using _lock = takeLock(path, { doing: "testing", problem: "it is taken" });
      assert(isLocked(path));
      assertEquals(tryTakeLock(path), undefined);
    }
    assertEquals(await there(), false);
    await Deno.writeTextFile(path, ""); // As a killed process leaves it.
    assert(!isLocked(path));
    removeAbandonedLock(path);
    assertEquals(await there(), false);
  }));
