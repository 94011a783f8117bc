/** What kernels are planned with on devices of small and uneven limits. */
import { convLimits } from "../../gpu/limits.ts";
import { BASE_LIMITS } from "../../kernels/wgsl/conv/problem.ts";
import { assertEquals } from "../assert.ts";

/** A device of these limits, of which nothing else is asked: it promises no buffer that it might not give. */
function deviceOf(limits: Partial<GPUSupportedLimits>): { readonly device: GPUDevice } {
  const least = {
    maxBufferSize: 256 << 20,
    maxStorageBufferBindingSize: BASE_LIMITS.maxBindingBytes,
    maxStorageBuffersPerShaderStage: BASE_LIMITS.maxBindings,
    maxComputeWorkgroupStorageSize: BASE_LIMITS.workgroupMemoryBytes,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
  };
  return { device: { limits: { ...least, ...limits } } as unknown as GPUDevice };
}

Deno.test("the least that WebGPU promises is what kernels are planned with there", async () => {
  const { refuses, avoids, ...limits } = await convLimits(deviceOf({}));
  assertEquals([limits, refuses, avoids], [BASE_LIMITS, undefined, undefined]);
});

Deno.test("workgroups are no wider than the device's widest row of threads", async () => {
  const wide = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupSizeX: 512 };
  assertEquals((await convLimits(deviceOf(wide))).workgroupThreads, 512);
});

Deno.test("a binding is never larger than a buffer, and whole pieces of 256 bytes", async () => {
  const odd = { maxBufferSize: (100 << 20) + 4, maxStorageBufferBindingSize: 2 ** 31 - 1 };
  assertEquals((await convLimits(deviceOf(odd))).maxBindingBytes, 100 << 20);
  assertEquals((await convLimits(deviceOf({ maxStorageBufferBindingSize: 1000 }))).maxBindingBytes, 768);
});
