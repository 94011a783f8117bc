/**
 * Volumes for the viewer: read, measured, and given to NiiVue, which draws them. A plain script, as viewer.js is, which uses it; it
 * defines openVolumes.
 */
"use strict";

/** Of a part of a texture that is filled at once. */
const SLAB_VOXELS = 1 << 21;
/** Voxels of which brightness is told. */
const MOST_SAMPLED = 100_000;
/** Along an axis, in 3-D, where the processor draws. */
const MOST_STEPS = 160;

/** Voxels, mean intensity and centre of each label, in one pass over both volumes. */
function measureLabels(labels, image, [nx, ny]) {
  let highest = labels instanceof Uint8Array ? 255 : 0;
  if (highest === 0) { for (let i = 0; i < labels.length; i++) if (labels[i] > highest) highest = labels[i]; }
  // Most of a volume is background: four labels of that are passed by at once.
  const fours = labels instanceof Uint8Array && nx % 4 === 0 ? new Uint32Array(labels.buffer, labels.byteOffset) : null;
  const [count, sum, sx, sy, sz] = Array.from({ length: 5 }, () => new Float64Array(highest + 1));
  let [y, z] = [0, 0];
  for (let i = 0; i < labels.length; i += nx) {
    for (let x = 0; x < nx; x++) {
      if (fours !== null && x % 4 === 0 && fours[(i + x) >> 2] === 0) {
        x += 3;
        continue;
      }
      const label = labels[i + x];
      if (label === 0) continue;
      count[label]++;
      sum[label] += image[i + x];
      sx[label] += x;
      sy[label] += y;
      sz[label] += z;
    }
    if (++y === ny) {
      y = 0;
      z++;
    }
  }
  const present = [...count.keys()].filter((label) => count[label] > 0);
  const of = (label) => {
    const voxels = count[label] ?? 0;
    if (voxels === 0) return { voxels };
    return { voxels, mean: sum[label] / voxels, centre: [sx, sy, sz].map((axis) => axis[label] / voxels) };
  };
  return { present, of };
}

/** The voxel of a label that is nearest to its centre, which may lie outside it. */
function voxelNear(labels, label, centre, [nx, ny]) {
  let [best, least] = [-1, Infinity];
  for (let i = labels.indexOf(label); i >= 0; i = labels.indexOf(label, i + 1)) {
    const dx = i % nx - centre[0];
    const dy = Math.floor(i / nx) % ny - centre[1];
    const dz = Math.floor(i / (nx * ny)) - centre[2];
    const distance = dx * dx + dy * dy + dz * dz;
    if (distance < least) [best, least] = [i, distance];
  }
  return [best % nx, Math.floor(best / nx) % ny, Math.floor(best / (nx * ny))];
}

/** NiiVue in a canvas. */
async function openNiivue(canvas) {
  const viewer = new globalThis.niivue.Niivue({
    backColor: [0, 0, 0, 1],
    show3Dcrosshair: true,
    multiplanarShowRender: 1,
    multiplanarLayout: 2, // two by two
    // As at a light box: the patient's right is on the left, and the nose too. Pictures are not turned round by it.
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    dragAndDropEnabled: false,
    loadingText: "",
    logLevel: "error",
    isResizeCanvas: true,
    crosshairColor: [1, 0.85, 0.2, 0.8],
    crosshairWidth: 0.3,
    crosshairWidthUnit: "percent",
  });
  await viewer.attachToCanvas(canvas);
  const { gl } = viewer;
  if (!gl) throw new Error("this browser has no WebGL 2, which draws the image");
  let refresh;
  viewer.refreshLayers = (volume, layer) => {
    // Asked as late as this: the answer waits for all that begins to draw.
    refresh ??= isSoftware(gl) ? fillTextures : Object.getPrototypeOf(viewer).refreshLayers;
    const old = viewer.overlayTexture;
    refresh.call(viewer, volume, layer);
    if (old !== null && old !== viewer.overlayTexture) gl.deleteTexture(old); // NiiVue makes a new one each time
  };
  return viewer;
}

/** Waits until what was asked to be drawn is: for drawing goes on after its functions return. */
async function drawn({ gl }) {
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  gl.flush();
  while (!gl.isContextLost() && gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) await framesDrawn();
  gl.deleteSync(fence);
}

const framesDrawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

/** True where the processor draws, as on a machine without a graphics card, or in a browser that may not use it. */
function isSoftware(gl) {
  const named = gl.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER;
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(gl.getParameter(named));
}

/**
 * What NiiVue's refreshLayers does, but for colours: it gives every voxel its colour by shaders, and computes the brightness's gradients
 * for a light that is not used here. On a graphics card that takes milliseconds; where the processor draws it takes half a minute for a
 * CT, and a table of colours a second. So NiiVue draws nothing, and the texture is filled here.
 */
function fillTextures(volume, layer) {
  const { gl } = this;
  const { hdr } = volume;
  const { dims } = hdr;
  gl.drawArrays = () => {};
  hdr.dims = [3, 1, 1, 1, 1, 1, 1, 1]; // of what it uploads for its shaders; the texture has the size of dimsRAS
  try {
    Object.getPrototypeOf(this).refreshLayers.call(this, volume, layer);
  } finally {
    delete gl.drawArrays;
    hdr.dims = dims;
  }
  gl.activeTexture(layer === 0 ? gl.TEXTURE0 : gl.TEXTURE2);
  gl.bindTexture(gl.TEXTURE_3D, layer === 0 ? this.volumeTexture : this.overlayTexture);
  fillTexture(gl, volume, layer === 0 ? greys(this, volume) : labelColours(volume));
  // The 3-D view takes a step a voxel along each ray: fewer will do.
  const steps = Math.min(1, MOST_STEPS / Math.max(...this.vox));
  this.renderShader.use(gl);
  gl.uniform3fv(this.renderShader.uniforms.texVox, [...this.vox].map((voxels) => voxels * steps));
}

/** RGBA of each value, from `first` on: of floats after they were scaled. */
function greys(viewer, { img, colormap, cal_min: low, cal_max: high }) {
  const colours = new Uint32Array(viewer.colormap(colormap).slice().buffer);
  const scale = 255 / Math.max(1e-5, high - low);
  // As the shader has it, what is above black is never clear.
  const of = (value) => colours[value <= low ? 0 : Math.max(2, Math.min(255, Math.round((value - low) * scale)))];
  if (img instanceof Float32Array) return { table: colours, first: 0, low, scale };
  return { table: Uint32Array.from({ length: 1 << 16 }, (_, i) => of(i - 32768)), first: -32768 };
}

function labelColours({ img, opacity, colormapLabel }) {
  const { lut, min = 0 } = colormapLabel ?? { lut: [] };
  const table = new Uint8Array(4 << (img instanceof Uint8Array ? 8 : 16));
  for (let i = 0; i < lut.length; i += 4) {
    const alpha = lut[i + 3] > 0 ? Math.round(255 * opacity) : 0;
    table.set([lut[i], lut[i + 1], lut[i + 2], alpha], 4 * min + i);
  }
  return { table: new Uint32Array(table.buffer), first: 0 };
}

/** Fills the 3-D texture that is bound, some slices at a time. */
function fillTexture(gl, { img, dimsRAS: [, nx, ny, nz], img2RASstep: [sx, sy, sz], img2RASstart }, colours) {
  const { table, first, low, scale } = colours;
  const start = img2RASstart[0] + img2RASstart[1] + img2RASstart[2];
  const depth = Math.max(1, Math.min(nz, Math.floor(SLAB_VOXELS / (nx * ny))));
  const slab = new Uint32Array(nx * ny * depth);
  const bytes = new Uint8Array(slab.buffer);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  for (let z = 0; z < nz; z += depth) {
    const planes = Math.min(nz - z, depth);
    let to = 0;
    for (let row = 0; row < planes * ny; row++) {
      let from = start + (row % ny) * sy + (z + Math.floor(row / ny)) * sz;
      if (scale === undefined) { for (let x = 0; x < nx; x++, from += sx) slab[to++] = table[img[from] - first]; }
      else {
        for (let x = 0; x < nx; x++, from += sx) {
          slab[to++] = table[Math.max(0, Math.min(255, (img[from] - low) * scale + 0.5)) | 0];
        }
      }
    }
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, z, nx, ny, planes, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }
}

async function readVolume(packed, name, options) {
  const { NVImage } = globalThis.niivue;
  NVImage.prototype.calMinMax = setRange;
  return await NVImage.loadFromUrl({ url: await unpack(packed), name: `${name}.nii`, ...options });
}

/** The bytes of a gzip file of less than 4 GB, whose last number is how many they are. */
async function unpack(packed) {
  const bytes = new Uint8Array(new DataView(packed).getUint32(packed.byteLength - 4, true));
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const writing = writer.write(packed).then(() => writer.close());
  let filled = 0;
  const reader = stream.readable.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    bytes.set(value, filled);
    filled += value.length;
  }
  await writing;
  if (filled !== bytes.length) throw new Error("the volume is not whole");
  return bytes.buffer;
}

/** What is black and what is white: 2 and 98 of 100 voxels of the middle half, as NiiVue has it, but of some of them. */
function setRange() {
  const { img, hdr: { dims: [, nx, ny, nz] } } = this;
  const step = Math.max(1, Math.floor(Math.cbrt(nx * ny * nz / (8 * MOST_SAMPLED))));
  const middle = (size) => size < 4 ? [0, size] : [Math.floor(size / 4), size - Math.floor(size / 4)];
  const samples = [];
  for (let [z, z1] = middle(nz); z < z1; z += step) {
    for (let [y, y1] = middle(ny); y < y1; y += step) {
      for (let [x, x1] = middle(nx); x < x1; x += step) samples.push(img[x + nx * (y + ny * z)]);
    }
  }
  const sorted = Float32Array.from(samples).sort();
  const last = sorted.length - 1;
  const at = (share) => sorted[Math.round(share * last)];
  const [low, high] = at(0.02) < at(0.98) ? [at(0.02), at(0.98)] : [sorted[0], sorted[last]];
  this.cal_min = this.robust_min = low;
  this.cal_max = this.robust_max = high > low ? high : low + 1;
  this.global_min = sorted[0];
  this.global_max = sorted[last];
  return [this.cal_min, this.cal_max, this.global_min, this.global_max];
}

/** Where two segmentations differ: the class of the first there, or, where that has none, of the second. */
function differenceOf(first, second) {
  const volume = (first.img instanceof Uint8Array ? second : first).clone();
  for (let i = 0; i < volume.img.length; i++) {
    const label = first.img[i];
    volume.img[i] = label === second.img[i] ? 0 : label || second.img[i];
  }
  return volume;
}

/**
 * NiiVue with an image in a canvas, and segmentations to be drawn over it, one at a time.
 * @param image ArrayBuffer of a .nii.gz
 * @param segmentations Functions, each of which gives another one on the same grid when it is asked for
 */
async function openVolumes(canvas, image, segmentations) {
  const viewer = await openNiivue(canvas);
  performance.mark("begun");
  const base = await readVolume(image, "image", { colormap: "gray" });
  performance.mark("image read");
  const size = base.hdr.dims.slice(1, 4);
  const limit = viewer.gl.getParameter(viewer.gl.MAX_3D_TEXTURE_SIZE);
  if (Math.max(...size) > limit) {
    throw new Error(`its ${size.join(" x ")} voxels are more than the ${limit} along an axis that this browser draws`);
  }
  let overlay;
  let opacity = 0.6;
  const read = async (index) => {
    const volume = index === segmentations.length
      ? differenceOf((await known(0)).volume, (await known(1)).volume)
      : await readVolume(await segmentations[index](), "labels");
    const measured = measureLabels(volume.img, base.img, size);
    performance.mark("labels read");
    return { volume, ...measured };
  };
  const all = [];
  const known = async (index) => all[index] ??= await read(index);
  /** Colours the one that was taken. @param classes [{ label, name, colour, on }] */
  const colour = (classes) => {
    const part = (channel) => [0, ...classes.map(({ colour }) => colour[channel])];
    overlay.setColormapLabel({
      R: part(0),
      G: part(1),
      B: part(2),
      A: [0, ...classes.map(({ on }) => on ? 255 : 0)],
      I: [0, ...classes.map(({ label }) => label)],
      labels: ["background", ...classes.map(({ name }) => name)],
    });
  };
  const draw = (volume, layer) => {
    viewer.refreshLayers(volume, layer);
    viewer.drawScene();
  };
  return {
    viewer,
    base,
    /**
     * Takes another segmentation, or, behind the last of two, where they differ.
     * @returns present: its labels; of(label): voxels, mean, centre; near(label): a voxel of it
     */
    async take(index) {
      const { volume, present, of } = await known(index);
      overlay = volume;
      return { present, of, near: (label) => voxelNear(volume.img, label, of(label).centre, size) };
    },
    colour,
    /** Draws the one that was taken in other colours, or another one. */
    paint(classes) {
      colour(classes);
      overlay.opacity = opacity;
      viewer.volumes = [base, overlay];
      viewer.overlays = [overlay];
      draw(overlay, 1);
    },
    /** Draws image and segmentation for the first time, and waits until they are drawn. */
    async draw() {
      // The canvas has seen its size by then, and need not be drawn again for that.
      await framesDrawn();
      performance.mark("settled");
      overlay.opacity = opacity;
      viewer.volumes = [base, overlay];
      viewer.overlays = [overlay];
      viewer.back = base;
      viewer.updateGLVolume();
      viewer.createOnLocationChange();
      performance.mark("painted");
      await drawn(viewer);
      performance.mark("shown");
    },
    setOpacity(share) {
      overlay.opacity = opacity = share;
      draw(overlay, 1);
    },
    dispose() {
      viewer.gl.getExtension("WEBGL_lose_context")?.loseContext();
      viewer.cleanup?.();
    },
    /** Draws the image anew, when what is black and what is white has changed. */
    repaintImage: () => draw(base, 0),
  };
}

globalThis.openVolumes = openVolumes;
