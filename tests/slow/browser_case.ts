/** Tests in a headless Chromium. */
import { join } from "../../core/base/path.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
import { type Browser, findChromium, openBrowser } from "./browser.ts";

const CHROMIUM = await findChromium();

/**
 * A test that is skipped where there is no Chromium.
 * @param run Given a folder that is removed afterwards, and what opens the browser, once: its window is 1280 pixels wide
 */
export function browserTest(
  text: string,
  run: (folder: string, openWindow: () => Promise<Browser>) => Promise<void>,
): void {
  Deno.test({
    name: CHROMIUM === undefined ? `${text} (skipped: there is no Chromium in PATH)` : text,
    ignore: CHROMIUM === undefined,
    fn: () =>
      inTempFolder((folder) =>
        run(folder, async () => {
          const browser = await openBrowser(CHROMIUM ?? "", join(folder, "profile"));
          await browser.size(1280, 800);
          return browser;
        })
      ),
  });
}
