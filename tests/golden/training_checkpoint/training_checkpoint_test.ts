/**
 * Checkpoints between upstream's trainers and these. `make_checkpoint.py` wrote NAME.pth; that upstream takes what is written here
 * is checked by `python make_checkpoint.py NAME FILE` (write_checkpoint.ts writes FILE).
 */
import { join } from "../../../core/base/path.ts";
import { assert, assertEquals } from "../../assert.ts";
import { CHECKPOINTS, openUpstream, rewriteUpstream } from "./write_checkpoint.ts";

for (const name of Object.keys(CHECKPOINTS)) {
  Deno.test(`upstream's checkpoint ${name} is read whole: epoch, log, best, momentum by name`, async () => {
    const { resumed } = await openUpstream(name);
    const { state, values, kept } = resumed;
    const momentum = kept.momentum ?? new Map<string, Float32Array>();
    assertEquals([state.epoch, state.log.length, state.within, state.seed], [2, 2, undefined, undefined]);
    // tp 3 and 4, fp = fn = 1; the second class is in no patch.
    assertEquals(state.log.map(({ classDice }) => classDice), [[0.75, NaN], [Math.fround(0.8), NaN]]);
    assertEquals(state.bestEma, state.log[1].emaDice);
    assertEquals(state.log[1].end - state.log[1].start, 2.5);
    const without = [...values.keys()].filter((one) => !momentum.has(one) && !/running_(mean|var)$/.test(one));
    assertEquals(without, ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"]);
    const steps: Readonly<Record<string, number>> = { adam: 3, vanilla_adam: 2 };
    assertEquals(resumed.steps, steps[name]);
    assertEquals(kept.averages?.size, steps[name] && momentum.size);
    assertEquals(momentum.get("encoder.stages.0.0.convs.0.conv.weight")?.length, 2 * 27);
  });

  Deno.test(`written again and read, the checkpoint ${name} holds the same, its own member beside`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const file = join(folder, "written.pth");
      await rewriteUpstream(name, file);
      const [before, after] = [await openUpstream(name), await openUpstream(name, file)];
      const { seed, ...state } = after.resumed.state;
      assertEquals(seed, 7);
      assertEquals(state, before.resumed.state);
      assertEquals(after.resumed.values, before.resumed.values);
      assertEquals(after.resumed.kept, before.resumed.kept);
      assertEquals(after.resumed.steps, before.resumed.steps);
      assertEquals(after.members.filter((member) => member !== "nnunet_run"), before.members);
      assertEquals(after.initArgs, before.initArgs);
      assertEquals(after.keys, before.keys);
      const names = await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name);
      assertEquals(names, ["written.pth"]);
      assert((await Deno.stat(file)).size > 0);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
