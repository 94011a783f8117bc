/** Devices that are lost, as by a driver that gives them up. */

/** Tells of submissions in which a kernel of such a name runs, from now on. */
export function watchKernels(match: (label: string) => boolean, onSubmit: (queue: GPUQueue) => void): Disposable {
  const { setPipeline } = GPUComputePassEncoder.prototype;
  const { submit } = GPUQueue.prototype;
  let runs = false;
  GPUComputePassEncoder.prototype.setPipeline = function (pipeline) {
    runs ||= match(pipeline.label);
    setPipeline.call(this, pipeline);
  };
  GPUQueue.prototype.submit = function (buffers) {
    submit.call(this, buffers);
    if (runs) onSubmit(this);
    runs = false;
  };
  return {
    [Symbol.dispose]() {
      GPUComputePassEncoder.prototype.setPipeline = setPipeline;
      GPUQueue.prototype.submit = submit;
    },
  };
}

/** As a driver that gives the device up for kernels of such a name. */
export function loseDeviceBy(match: (label: string) => boolean): Disposable {
  const devices = new WeakMap<GPUQueue, GPUDevice>();
  const opened = watchDevices((device) => devices.set(device.queue, device));
  const watched = watchKernels(match, (queue) => devices.get(queue)?.destroy());
  return {
    [Symbol.dispose]() {
      watched[Symbol.dispose]();
      opened[Symbol.dispose]();
    },
  };
}

/** Tells of devices that are opened from now on. */
function watchDevices(onOpen: (device: GPUDevice) => void): Disposable {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    onOpen(device);
    return device;
  };
  return { [Symbol.dispose]: () => void (GPUAdapter.prototype.requestDevice = requestDevice) };
}

/** Devices that are opened from now on; `lose` destroys the last one. */
export function followDevices(): Disposable & { lose(): void; readonly opened: number } {
  let last: GPUDevice | undefined;
  let opened = 0;
  const watched = watchDevices((device) => {
    last = device;
    opened++;
  });
  return {
    lose: () => last?.destroy(),
    get opened() {
      return opened;
    },
    [Symbol.dispose]: () => watched[Symbol.dispose](),
  };
}
