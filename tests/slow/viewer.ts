/** What tests look at in the viewer, of the service's page and of view's. */
import { decodePng } from "../decode_png.ts";
import type { Browser } from "./browser.ts";

export const SHOWN = "document.querySelector('#viewer').dataset.shown";
export const WHERE = "document.querySelector('.place').textContent";
/** Name and amount of each class. */
export const ROWS =
  "[...document.querySelectorAll('.classes tbody tr')].map((row) => [row.cells[1].innerText, row.cells[2].innerText])";

/** Pixels with a colour, in a picture that is grey but for classes and the cross. */
export async function coloured(browser: Browser): Promise<number> {
  const { data: pixels, channels } = decodePng(await browser.screenshot(".viewer canvas"));
  let count = 0;
  for (let i = 0; i < pixels.length; i += channels) {
    const [r, g, b] = pixels.subarray(i, i + 3);
    if (Math.max(r, g, b) - Math.min(r, g, b) > 40) count++;
  }
  return count;
}

/** Elements that a person can use and a screen reader can't name. */
export const NAMELESS = `[...document.querySelectorAll("button, input, select, canvas, progress")]
  .filter((one) => one.checkVisibility() && !one.labels?.length && !one.ariaLabel && !one.textContent.trim())
  .map((one) => one.outerHTML)`;
