/** Which driver a GPU is used through. WebGPU does not tell; so the Vulkan driver's library is looked at, elsewhere the system's version. */
import { release } from "node:os";
import { basename, dirname, join } from "../../core/base/path.ts";
import { findLibrary, vulkanManifests } from "./gpu_probe.ts";

/**
 * Text that changes when the driver is updated: "libGLX_nvidia.so.550.54.15 (31 MB, 2024-03-01)". What was measured with a driver holds for
 * no other.
 */
export async function describeDriver(): Promise<string> {
  if (Deno.build.os !== "linux") return `${Deno.build.os} ${release()}`;
  const drivers: string[] = [];
  for (const manifest of await vulkanManifests()) {
    const library = await libraryOf(manifest);
    const file = library?.includes("/") ? library : library && await findLibrary(library);
    drivers.push(file ? await describeFile(file) : `${basename(manifest)}: ${library ?? "unreadable"}`);
  }
  return drivers.join(", ") || "no Vulkan driver found";
}

/** What a driver manifest names: a path, or a file for the loader to find. */
async function libraryOf(manifest: string): Promise<string | undefined> {
  try {
    const { ICD } = JSON.parse(await Deno.readTextFile(manifest));
    if (typeof ICD?.library_path !== "string") return undefined;
    const path: string = ICD.library_path;
    // As the loader has it: a path begins at the manifest's folder (Chromium's "./libvk_swiftshader.so").
    return path.includes("/") && !path.startsWith("/") ? join(dirname(manifest), path) : path;
  } catch {
    return undefined; // Not ours to complain about: the loader skips it, too.
  }
}

async function describeFile(path: string): Promise<string> {
  try {
    const file = await Deno.realPath(path);
    const { size, mtime } = await Deno.stat(file);
    return `${basename(file)} (${(size / 1e6).toFixed(1)} MB, ${mtime?.toISOString() ?? "undated"})`;
  } catch {
    return path;
  }
}
