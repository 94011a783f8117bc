import { judgeGpuVariables } from "../../cli/engines/gpu_variables.ts";
import { assert, assertEquals } from "../assert.ts";

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
