/** Paths. Stands in for `@std/path`, which cannot be fetched where this is built; all of the project takes paths from here. */
export { basename, dirname, extname, isAbsolute, join, relative, resolve } from "node:path";
export { fileURLToPath as fromFileUrl, pathToFileURL as toFileUrl } from "node:url";
