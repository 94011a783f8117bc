import { judgeGpuVariables, visibleGpus } from "../../cli/engines/gpu_variables.ts";
import { UsageError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const TWO = ["/dev/nvidia0", "/dev/nvidia1"];

function judge(variables: Record<string, string>, gpus: readonly string[] | null) {
  return judgeGpuVariables((name) => variables[name], gpus);
}

Deno.test("without variables the first GPU is taken without a word", () => {
  assertEquals(judge({}, TWO), { kind: "first", note: "" });
  assertEquals(judge({}, null), { kind: "first", note: "" });
});

Deno.test("variables that allow no GPU are obeyed", () => {
  for (const value of ["", "-1", "NoDevFiles", "none"]) {
    assertEquals(judge({ CUDA_VISIBLE_DEVICES: value }, TWO).kind, "none", value);
  }
});

Deno.test("a number is honoured where only one GPU is to be seen, whatever it is called", () => {
  assertEquals(judge({ CUDA_VISIBLE_DEVICES: "3" }, ["/dev/nvidia3"]).kind, "first");
  assertEquals(judge({ CUDA_VISIBLE_DEVICES: "GPU-8f3a" }, ["/dev/nvidia0"]).kind, "first");
  assertEquals(judge({ SLURM_JOB_GPUS: "5" }, ["/dev/nvidia5"]).kind, "first");
});

Deno.test("the first GPU is what WebGPU takes, and the note says so", () => {
  const verdict = judge({ CUDA_VISIBLE_DEVICES: "0" }, TWO);
  assert(verdict.kind === "first" && verdict.note.includes("CUDA_VISIBLE_DEVICES=0"));
});

Deno.test("another GPU of several is refused with the way to show it alone", () => {
  const verdict = judge({ CUDA_VISIBLE_DEVICES: "1,0" }, TWO);
  assert(verdict.kind === "refused");
  assert(verdict.error.doing.includes("CUDA_VISIBLE_DEVICES=1,0"));
  assert(verdict.error.problem.includes("/dev/nvidia1"));
  assert(verdict.error.remedy?.includes("--gpus device=1"));
  assertEquals(judge({ HIP_VISIBLE_DEVICES: "2" }, null).kind, "refused");
});

Deno.test("what the user set counts before what SLURM gave", () => {
  assertEquals(judge({ CUDA_VISIBLE_DEVICES: "0", SLURM_JOB_GPUS: "4" }, TWO).kind, "first");
});

Deno.test("of several GPUs those are left that the variables name, in their order", async () => {
  const cards = ["GPU-aa01", "GPU-bb02", "GPU-cc03", "GPU-dd04"].map((uuid) => ({
    name: "A40",
    software: false,
    uuid,
  }));
  const visible = (value: string, files: readonly string[] | null = ["0", "1", "2", "3"], gpus = cards) =>
    visibleGpus(gpus, (name) => (name === "CUDA_VISIBLE_DEVICES" ? value : undefined), files).map(({ uuid }) => uuid);
  assertEquals(visible("2,3"), ["GPU-cc03", "GPU-dd04"]);
  assertEquals(visible("GPU-dd,0", null), ["GPU-dd04", "GPU-aa01"]);
  assertEquals(visible("6,7", ["6", "7"], cards.slice(0, 2)), ["GPU-aa01", "GPU-bb02"]);
  assertEquals(visibleGpus(cards, () => undefined, null), cards);
  await assertFails(() => visible("4"), UsageError, "CUDA_VISIBLE_DEVICES=4", "no 4 among 4");
  await assertFails(() => visible("-1"), UsageError, "allows no GPU");
  const mixed = [...cards.slice(1), { name: "T4", software: false, uuid: "GPU-ee05" }];
  await assertFails(() => visible("1,2", null, mixed), UsageError, "several models");
  assertEquals(visible("GPU-ee05", null, mixed), ["GPU-ee05"]);
});
