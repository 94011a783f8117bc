/**
 * The viewer of an image with its segmentation: three planes and 3-D, drawn by NiiVue, and a table of the classes. A plain script, so
 * that the service's page and files that need no service hold the same one; it defines showSegmentation.
 */
"use strict";

/** Views: NiiVue's type, its name here, and whether planes have 3-D beside them. */
const VIEWS = [
  ["sliceTypeMultiplanar", "Planes and 3-D", true],
  ["sliceTypeMultiplanar", "Planes"],
  ["sliceTypeAxial", "Axial"],
  ["sliceTypeCoronal", "Coronal"],
  ["sliceTypeSagittal", "Sagittal"],
  ["sliceTypeRender", "3-D"],
];

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

/**
 * Shows an image with segmentations in an element, in place of what is there: one of them at a time, the others by a choice.
 * @param options image: ArrayBuffer of a .nii.gz. segmentations: [{ name, labels }], labels gives one of the same grid when it is asked
 *   for. names: of labels, by number; what has none is called by its number. hasVolume: voxels have a size.
 *   downloads: [{ text, get }], get gives { blob, name }, or nothing where it has said why
 * @returns dispose(), to be called before it is shown anything else
 */
async function showSegmentation(place, { title, image, segmentations, names, hasVolume, downloads = [] }) {
  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute(
    "aria-label",
    `${title}: image with segmentation. Arrow keys and Page Up, Page Down move the cross; h, j, k, l turn the 3-D view.`,
  );
  const where = element("p", { className: "place hint" }, "Loading...");
  where.setAttribute("role", "status");
  const bar = element("div", { className: "bar" });
  const panel = element("section", { className: "classes" }, element("h2", {}, "Classes"));
  panel.setAttribute("aria-label", "Classes");
  const stage = element("div", { className: "stage" }, bar, element("div", { className: "canvas" }, canvas), where);
  const whole = element("div", { className: "viewer" }, stage, panel);
  place.replaceChildren(whole);
  try {
    const volumes = await globalThis.openVolumes(canvas, image, segmentations.map(({ labels }) => labels));
    const { choose, classes } = await fillPanel(panel, volumes, { names, hasVolume, downloads });
    const tell = (error) => {
      where.textContent = `The other segmentation could not be shown: ${error.message}`;
    };
    fillBar(bar, volumes, segmentations, (index) => choose(index).catch(tell));
    moveByKeys(canvas, volumes.viewer);
    tellPlace(where, volumes.viewer, classes, hasVolume);
    await volumes.draw();
    place.dataset.shown = "true";
    return {
      dispose() {
        delete place.dataset.shown;
        volumes.dispose();
        whole.remove();
      },
    };
  } catch (error) {
    whole.remove();
    throw error;
  }
}

/** The panel of classes, of the first segmentation. @returns choose(index): shows another; classes: by label */
async function fillPanel(panel, volumes, { names, hasVolume, downloads }) {
  const { viewer, base } = volumes;
  const classes = new Map();
  const table = element("div", {});
  panel.append(table, downloadRow(downloads));
  const goTo = ({ label, near }) => {
    const voxel = near(label);
    const { affine } = base.hdr;
    const mm = [0, 1, 2].map((row) => voxel.reduce((sum, at, axis) => sum + affine[row][axis] * at, affine[row][3]));
    viewer.scene.crosshairPos = viewer.mm2frac(mm);
    viewer.createOnLocationChange();
    viewer.drawScene();
  };
  const take = async (index) => {
    const { present, of, near } = await volumes.take(index);
    const all = new Set([...Object.keys(names).map(Number), ...present]);
    const shown = [...all].filter((label) => label > 0).sort((a, b) => a - b).map((label, i) => {
      // In another segmentation a class keeps its colour, and stays shown or not.
      const { colour, on } = classes.get(label) ?? { colour: classColour(i), on: true };
      const one = { label, name: names[label] ?? `label ${label}`, colour, on, near, ...of(label) };
      classes.set(label, one);
      return one;
    });
    const repaint = () => volumes.paint(shown);
    volumes.colour(shown);
    table.replaceChildren(classTable({ shown, hasVolume, voxelMl: hasVolume ? voxelMl(base) : 0, goTo, repaint }));
    return repaint;
  };
  await take(0);
  const choose = async (index) => {
    (await take(index))();
    viewer.createOnLocationChange();
  };
  return { choose, classes };
}

function tellPlace(where, viewer, classes, hasVolume) {
  viewer.onLocationChange = ({ mm, values }) => {
    const at = [...mm].slice(0, 3).map((value) => value.toFixed(1)).join(", ");
    const label = Math.round(values[1]?.value ?? 0);
    const name = classes.get(label)?.name ?? (label === 0 ? "background" : `label ${label}`);
    where.textContent = `${hasVolume ? `${at} mm (RAS)` : "Here"}: intensity ${
      formatNumber(values[0]?.value ?? 0)
    }, ${name}`;
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

/** In voxels towards right, front and top of the patient, whose right is on the left. */
const MOVES = {
  ArrowLeft: [1, 0, 0],
  ArrowRight: [-1, 0, 0],
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

function fillBar(bar, volumes, segmentations, choose) {
  const { viewer, base } = volumes;
  if (segmentations.length > 1) {
    const texts = segmentations.map(({ name }) => name);
    if (texts.length === 2) texts.push("Where they differ");
    const chosen = element("select", {}, ...texts.map((text, i) => new Option(text, String(i))));
    let doing = Promise.resolve();
    chosen.addEventListener("change", () => {
      doing = doing.then(() => choose(Number(chosen.value)));
    });
    bar.append(element("label", { className: "which" }, "Segmentation ", chosen));
  }
  const views = element("select", {}, ...VIEWS.map(([, text], i) => new Option(text, String(i))));
  const look = () => {
    const [type, , hasRender = false] = VIEWS[Number(views.value)];
    viewer.opts.multiplanarShowRender = hasRender ? 1 : 0;
    viewer.setSliceType(viewer[type]);
  };
  // What has one slice is seen in that one.
  const [, nx, ny, nz] = base.dimsRAS;
  const plane = ["sliceTypeSagittal", "sliceTypeCoronal", "sliceTypeAxial"][[nx, ny, nz].indexOf(1)];
  views.value = String(Math.max(0, VIEWS.findIndex(([type]) => type === plane)));
  look();
  views.addEventListener("change", look);
  const opacity = element("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.6" });
  opacity.addEventListener("input", () => volumes.setOpacity(Number(opacity.value)));
  const grey = (key) => {
    const input = element("input", { type: "number", step: "any", value: String(Number(base[key].toPrecision(4))) });
    input.addEventListener("change", () => {
      if (input.value === "" || !Number.isFinite(Number(input.value))) return;
      base[key] = Number(input.value);
      volumes.repaintImage();
    });
    return input;
  };
  bar.append(
    element("label", {}, "View ", views),
    element("label", {}, "Opacity ", opacity),
    element(
      "div",
      { className: "greys" },
      element("label", {}, "Black ", grey("cal_min")),
      element("label", {}, "White ", grey("cal_max")),
    ),
  );
}

function button(text, act) {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", act);
  return made;
}

function classTable({ shown, hasVolume, voxelMl, goTo, repaint }) {
  const boxes = [];
  const rows = shown.map((one) => {
    const box = element("input", { type: "checkbox", checked: one.on, "aria-label": `Show ${one.name}` });
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
  const head = ["Show", "Class", hasVolume ? "ml" : "voxels", "mean"].map((text) =>
    element("th", { scope: "col" }, text)
  );
  const made = document.createDocumentFragment();
  made.append(
    element("div", { className: "row" }, button("All", all(true)), button("None", all(false))),
    element(
      "table",
      { "aria-label": "Classes" },
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows),
    ),
    element("p", { className: "hint" }, "A class's name leads to it. The mean is of the first channel's intensities."),
  );
  return made;
}

function downloadRow(downloads) {
  const buttons = downloads.map(({ text, get }) =>
    button(text, async () => {
      const got = await get();
      if (got) save(got);
    })
  );
  return element("div", { className: "row" }, ...buttons);
}

function save({ blob, name }) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

globalThis.showSegmentation = showSegmentation;
