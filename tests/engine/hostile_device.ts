/** The most hostile device that WebGPU allows, made of the one there is: see hostile_text.ts. And new buffers hold NaN, not zeros. */
import { FAULT_GROUP, FAULTS, hostileText } from "./hostile_text.ts";

export interface HostileDevice extends Disposable {
  /** Kernels that were rewritten, and buffers that were filled. */
  readonly kernels: number;
  readonly buffers: number;
  /** What stores went beyond of, in all that was submitted to the engine's device, which is alive. */
  faults(): Promise<string[]>;
}

interface Counters {
  readonly device: GPUDevice;
  readonly buffer: GPUBuffer;
  readonly layout: GPUBindGroupLayout;
  readonly group: GPUBindGroup;
}

/** Buffers beyond are left as they are: they only take time. */
const FILLED_BYTES = 2 ** 26;
const BYTES = 4;

/** Makes every device of the process one; for an engine at a time. */
export function hostileDevice(): HostileDevice {
  const before = {
    createShaderModule: GPUDevice.prototype.createShaderModule,
    createPipelineLayout: GPUDevice.prototype.createPipelineLayout,
    createBuffer: GPUDevice.prototype.createBuffer,
  };
  const { setPipeline } = GPUComputePassEncoder.prototype;
  let counters: Counters | undefined;
  let [kernels, buffers] = [0, 0];

  function countersOf(device: GPUDevice): Counters {
    if (counters?.device === device) return counters;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
    const buffer = before.createBuffer.call(device, { size: BYTES, usage });
    const layout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "storage" } }],
    });
    const group = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
    return counters = { device, buffer, layout, group };
  }

  Object.assign(GPUDevice.prototype, {
    createShaderModule(this: GPUDevice, descriptor: GPUShaderModuleDescriptor) {
      kernels++;
      return before.createShaderModule.call(this, { ...descriptor, code: hostileText(descriptor.code) });
    },
    createPipelineLayout(this: GPUDevice, descriptor: GPUPipelineLayoutDescriptor) {
      const bindGroupLayouts = [...descriptor.bindGroupLayouts, countersOf(this).layout];
      return before.createPipelineLayout.call(this, { ...descriptor, bindGroupLayouts });
    },
    createBuffer(this: GPUDevice, descriptor: GPUBufferDescriptor) {
      const { usage, size, mappedAtCreation } = descriptor;
      if ((usage & GPUBufferUsage.STORAGE) === 0 || size % 4 !== 0 || size > FILLED_BYTES || mappedAtCreation) {
        return before.createBuffer.call(this, descriptor);
      }
      const buffer = before.createBuffer.call(this, { ...descriptor, mappedAtCreation: true });
      new Uint8Array(buffer.getMappedRange()).fill(0xff);
      buffer.unmap();
      buffers++;
      return buffer;
    },
  });
  GPUComputePassEncoder.prototype.setPipeline = function (pipeline) {
    setPipeline.call(this, pipeline);
    if (counters) this.setBindGroup(FAULT_GROUP, counters.group);
  };
  return {
    get kernels() {
      return kernels;
    },
    get buffers() {
      return buffers;
    },
    async faults() {
      if (!counters) throw new Error("no kernel was made");
      const { device, buffer } = counters;
      const staging = before.createBuffer.call(device, {
        size: BYTES,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, 0, staging, 0, BYTES);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      const [bits] = new Uint32Array(staging.getMappedRange());
      staging.destroy();
      return FAULTS.filter((_, i) => (bits >> i & 1) === 1);
    },
    [Symbol.dispose]() {
      Object.assign(GPUDevice.prototype, before);
      GPUComputePassEncoder.prototype.setPipeline = setPipeline;
    },
  };
}
