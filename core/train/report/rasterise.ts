/** SVG text as a PNG, by resvg in WebAssembly and a font of our own, so that every machine gives the same picture. */
import { initWasm, Resvg } from "@resvg/resvg-wasm";
import { PLOT_SANS } from "./font/plot_sans.ts";

export type Rasterise = (svg: string, width: number) => Uint8Array;

/** Loads resvg; once a thread. @returns what draws an SVG `width` pixels wide */
export async function loadRasteriser(): Promise<Rasterise> {
  await initWasm(await readModule());
  const font = Uint8Array.from(atob(PLOT_SANS), (letter) => letter.charCodeAt(0));
  return (svg, width) => {
    const picture = new Resvg(svg, {
      fitTo: { mode: "width", value: width },
      font: { fontBuffers: [font], defaultFontFamily: "Plot Sans", sansSerifFamily: "Plot Sans" },
    });
    const image = picture.render();
    try {
      return image.asPng();
    } finally {
      image.free();
      picture.free();
    }
  };
}

/** The module lies beside the script where the program was bundled, else in the package. */
async function readModule(): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(new URL("./resvg.wasm", import.meta.url));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return await Deno.readFile(new URL(import.meta.resolve("@resvg/resvg-wasm/index_bg.wasm")));
  }
}
