/**
 * Volumes for the viewer: read, measured, and given to NiiVue, which draws them. A plain script, as viewer.js is, which uses it; it
 * defines openVolumes.
 */
"use strict";

/** Of a part of a texture that is filled at once. */
const SLAB_VOXELS = 1 << 21;
/** Along an axis, in 3-D, where the processor draws. */
const MOST_STEPS = 160;

/** Voxels, mean intensity and centre of each label, in one pass over both volumes. */
function measureLabels(labels, image, [nx, ny]) {
  let highest = 0;
  for (let i = 0; i < labels.length; i++) if (labels[i] > highest) highest = labels[i];
  const [count, sum, sx, sy, sz] = Array.from({ length: 5 }, () => new Float64Array(highest + 1));
  let [y, z] = [0, 0];
  for (let i = 0; i < labels.length; i += nx) {
    for (let x = 0; x < nx; x++) {
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
    dragAndDropEnabled: false,
    loadingText: "",
    logLevel: "error",
    isResizeCanvas: true,
    crosshairColor: [1, 0.85, 0.2, 0.8],
    crosshairWidth: 0.5,
  });
  await viewer.attachToCanvas(canvas);
  viewer.opts.sliceType = viewer.sliceTypeMultiplanar;
  const { gl } = viewer;
  if (!gl) throw new Error("this browser has no WebGL 2, which draws the image");
  const refresh = isSoftware(gl) ? fillTextures : viewer.refreshLayers;
  viewer.refreshLayers = (volume, layer) => {
    const old = viewer.overlayTexture;
    refresh.call(viewer, volume, layer);
    if (old !== null && old !== viewer.overlayTexture) gl.deleteTexture(old); // NiiVue makes a new one each time
  };
  // It draws once more when it has seen its size: before there is something to draw.
  await framesDrawn();
  return viewer;
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

const readVolume = (bytes, name, options) =>
  globalThis.niivue.NVImage.loadFromUrl({ url: bytes, name: `${name}.nii.gz`, ...options });

/**
 * An image, and segmentations to be drawn over it, one at a time.
 * @param image ArrayBuffer of a .nii.gz
 * @param segmentations Functions, each of which gives another one on the same grid when it is asked for
 */
async function openVolumes(image, segmentations) {
  const base = await readVolume(image, "image", { colormap: "gray" });
  const size = base.hdr.dims.slice(1, 4);
  const known = new Map();
  let viewer;
  let overlay;
  let opacity = 0.6;
  const read = async (index) => {
    const volume = await readVolume(await segmentations[index](), "labels");
    return { volume, ...measureLabels(volume.img, base.img, size) };
  };
  const draw = (volume, layer) => {
    viewer.refreshLayers(volume, layer);
    viewer.drawScene();
  };
  return {
    base,
    /** Takes another segmentation. @returns present: its labels; of(label): voxels, mean, centre; near(label): a voxel of it */
    async take(index) {
      if (!known.has(index)) known.set(index, await read(index));
      const { volume, present, of } = known.get(index);
      overlay = volume;
      return { present, of, near: (label) => voxelNear(volume.img, label, of(label).centre, size) };
    },
    /** @returns NiiVue, which draws in a canvas that has its size */
    async attach(canvas) {
      viewer = await openNiivue(canvas);
      const limit = viewer.gl.getParameter(viewer.gl.MAX_3D_TEXTURE_SIZE);
      if (Math.max(...size) <= limit) return viewer;
      throw new Error(
        `its ${size.join(" x ")} voxels are more than the ${limit} along an axis that this browser draws`,
      );
    },
    /** Draws the one that was taken. @param classes [{ label, name, colour, on }] */
    paint(classes) {
      const part = (channel) => [0, ...classes.map(({ colour }) => colour[channel])];
      overlay.setColormapLabel({
        R: part(0),
        G: part(1),
        B: part(2),
        A: [0, ...classes.map(({ on }) => on ? 255 : 0)],
        I: [0, ...classes.map(({ label }) => label)],
        labels: ["background", ...classes.map(({ name }) => name)],
      });
      overlay.opacity = opacity;
      const isFirst = viewer.volumes.length === 0;
      viewer.volumes = [base, overlay];
      viewer.overlays = [overlay];
      viewer.back = base;
      if (isFirst) viewer.updateGLVolume();
      else draw(overlay, 1);
    },
    setOpacity(share) {
      overlay.opacity = opacity = share;
      draw(overlay, 1);
    },
    /** Draws the image anew, when what is black and what is white has changed. */
    repaintImage: () => draw(base, 0),
  };
}

globalThis.openVolumes = openVolumes;
