/**
 * The viewer of an image with its segmentation: three planes and 3-D, drawn by NiiVue, and a table of the classes. A plain script, so
 * that the service's page and files that need no service hold the same one; it defines showSegmentation.
 */
"use strict";

/** Names of views, by NiiVue's slice types. */
const VIEWS = [["4", "Planes and 3-D"], ["3", "Planes"], ["0", "Axial"], ["1", "Coronal"], ["2", "Sagittal"], [
  "5",
  "3-D",
]];

/** Distinct colours for as many classes as there are: hues a golden angle apart. */
function classColour(index) {
  const hue = (index * 137.508) % 360;
  const light = [0.55, 0.68, 0.42][Math.floor(index / 7) % 3];
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light - 0.85 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

function hexOf(colour) {
  return `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** An element with properties, attributes (names with a dash) and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for" || name === "scope") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

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

/** NiiVue with the two volumes in a canvas. */
async function openNiivue(canvas, image, labels) {
  const { Niivue, NVImage } = globalThis.niivue;
  const viewer = new Niivue({
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
  const base = await NVImage.loadFromUrl({ url: image, name: "image.nii.gz", colormap: "gray" });
  const overlay = await NVImage.loadFromUrl({ url: labels, name: "labels.nii.gz" });
  return { viewer, base, overlay };
}

/**
 * Shows an image with its segmentation in an element, in place of what is there.
 * @param options image, labels: ArrayBuffers of .nii.gz on one grid. names: of labels, by
 *   number; what has none is called by its number. hasVolume: voxels have a size.
 *   downloads: [{ text, get }], get gives { blob, name }
 * @returns dispose(), to be called before it is shown anything else
 */
async function showSegmentation(place, { title, image, labels, names, hasVolume, downloads = [] }) {
  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute(
    "aria-label",
    `${title}: image with segmentation. Arrow keys and Page Up, Page Down move the cross; h, j, k, l turn the 3-D view.`,
  );
  const where = element("p", { className: "place hint" });
  where.setAttribute("role", "status");
  const bar = element("div", { className: "bar" });
  const panel = element("section", { className: "classes" }, element("h2", {}, "Classes"));
  panel.setAttribute("aria-label", "Classes");
  place.replaceChildren(
    element(
      "div",
      { className: "viewer" },
      element("div", { className: "stage" }, bar, element("div", { className: "canvas" }, canvas), where),
      panel,
    ),
  );
  const { viewer, base, overlay } = await openNiivue(canvas, image, labels);
  const size = base.hdr.dims.slice(1, 4);
  const { present, of } = measureLabels(overlay.img, base.img, size);
  const all = new Set([...Object.keys(names).map(Number), ...present]);
  const shown = [...all].filter((label) => label > 0).sort((a, b) => a - b).map((label, index) => ({
    label,
    name: names[label] ?? `label ${label}`,
    colour: classColour(index),
    on: true,
    ...of(label),
  }));
  const paint = () => {
    const part = (channel) => [0, ...shown.map(({ colour }) => colour[channel])];
    const alpha = [0, ...shown.map(({ on }) => on ? 255 : 0)];
    overlay.setColormapLabel({
      R: part(0),
      G: part(1),
      B: part(2),
      A: alpha,
      I: [0, ...shown.map(({ label }) => label)],
      labels: ["background", ...shown.map(({ name }) => name)],
    });
  };
  paint();
  overlay.opacity = 0.6;
  viewer.addVolume(base);
  viewer.addVolume(overlay);
  viewer.setSliceType(viewer.sliceTypeMultiplanar);
  const repaint = () => {
    paint();
    viewer.updateGLVolume();
  };

  const goTo = ({ label, centre }) => {
    const voxel = voxelNear(overlay.img, label, centre, size);
    const affine = base.hdr.affine;
    const mm = [0, 1, 2].map((row) => voxel.reduce((sum, at, axis) => sum + affine[row][axis] * at, affine[row][3]));
    viewer.scene.crosshairPos = viewer.mm2frac(mm);
    viewer.createOnLocationChange();
    viewer.drawScene();
  };
  viewer.onLocationChange = ({ mm, values }) => {
    const at = [...mm].slice(0, 3).map((value) => value.toFixed(1)).join(", ");
    const label = Math.round(values[1]?.value ?? 0);
    const name = shown.find((one) => one.label === label)?.name ?? (label === 0 ? "background" : `label ${label}`);
    where.textContent = `${hasVolume ? `${at} mm` : "Here"}: intensity ${formatNumber(values[0]?.value ?? 0)}, ${name}`;
  };
  moveByKeys(canvas, viewer);
  fillBar(bar, { viewer, base });
  fillPanel(panel, { shown, hasVolume, voxelMl: hasVolume ? voxelMl(base) : 0, goTo, repaint, downloads });
  viewer.createOnLocationChange();
  // Drawn, and not merely asked to be.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  place.dataset.shown = "true";
  return {
    dispose() {
      delete place.dataset.shown;
      viewer.gl?.getExtension("WEBGL_lose_context")?.loseContext();
      viewer.cleanup?.();
      place.replaceChildren();
    },
  };
}

function voxelMl({ hdr: { pixDims } }) {
  return Math.abs(pixDims[1] * pixDims[2] * pixDims[3]) / 1000;
}

function formatNumber(value) {
  if (value === 0) return "0";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

const MOVES = {
  ArrowLeft: [-1, 0, 0],
  ArrowRight: [1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
};

/** The cross by keys, a voxel each; NiiVue's own meaning of them is not taken. */
function moveByKeys(canvas, viewer) {
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    viewer.moveCrosshairInVox(...move);
  }, { capture: true });
}

function fillBar(bar, { viewer, base }) {
  const view = element("select", {}, ...VIEWS.map(([value, text]) => element("option", { value }, text)));
  view.addEventListener("change", () => {
    const hasRender = view.value === "4";
    viewer.opts.multiplanarShowRender = hasRender ? 1 : 0;
    const types = [
      viewer.sliceTypeAxial,
      viewer.sliceTypeCoronal,
      viewer.sliceTypeSagittal,
      viewer.sliceTypeMultiplanar,
      viewer.sliceTypeMultiplanar,
      viewer.sliceTypeRender,
    ];
    viewer.setSliceType(types[Number(view.value)]);
  });
  const opacity = element("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.6" });
  opacity.addEventListener("input", () => viewer.setOpacity(1, Number(opacity.value)));
  const grey = (key) => {
    const input = element("input", { type: "number", step: "any", value: String(Number(base[key].toPrecision(4))) });
    input.addEventListener("change", () => {
      if (input.value === "" || !Number.isFinite(Number(input.value))) return;
      base[key] = Number(input.value);
      viewer.updateGLVolume();
    });
    return input;
  };
  bar.append(
    element("label", {}, "View ", view),
    element("label", {}, "Opacity ", opacity),
    element("label", {}, "Black ", grey("cal_min")),
    element("label", {}, "White ", grey("cal_max")),
  );
}

function fillPanel(panel, { shown, hasVolume, voxelMl, goTo, repaint, downloads }) {
  const boxes = [];
  const rows = shown.map((one) => {
    const box = element("input", { type: "checkbox", checked: true, "aria-label": `Show ${one.name}` });
    box.addEventListener("change", () => {
      one.on = box.checked;
      repaint();
    });
    boxes.push([box, one]);
    const colour = element("input", { type: "color", value: hexOf(one.colour), "aria-label": `Colour of ${one.name}` });
    colour.addEventListener("input", () => {
      one.colour = [1, 3, 5].map((at) => parseInt(colour.value.slice(at, at + 2), 16));
      repaint();
    });
    const go = element("button", { type: "button", className: "go", disabled: one.voxels === 0 }, one.name);
    go.addEventListener("click", () => goTo(one));
    const amount = hasVolume ? formatNumber(one.voxels * voxelMl) : String(one.voxels);
    return element(
      "tr",
      {},
      element("td", {}, box, " ", colour),
      element("th", { scope: "row" }, go),
      element("td", {}, amount),
      element("td", {}, one.voxels === 0 ? "" : formatNumber(one.mean)),
    );
  });
  const all = (on) => () => {
    for (const [box, one] of boxes) box.checked = one.on = on;
    repaint();
  };
  const button = (text, act) => {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", act);
    return made;
  };
  const head = ["Show", "Class", hasVolume ? "ml" : "voxels", "mean"].map((text) =>
    element("th", { scope: "col" }, text)
  );
  panel.append(
    element("div", { className: "row" }, button("All", all(true)), button("None", all(false))),
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
    element("p", { className: "hint" }, "A class's name leads to it. The mean is of the first channel's intensities."),
    element(
      "div",
      { className: "row" },
      ...downloads.map(({ text, get }) => button(text, async () => save(await get()))),
    ),
  );
}

function save({ blob, name }) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

globalThis.showSegmentation = showSegmentation;
