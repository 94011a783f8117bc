/** The program's version. */

/** Of this program; deno.json says the same (a test compares them). */
export const VERSION = "0.1.0";
/** The nnU-Net whose files, commands and results are followed. */
export const UPSTREAM_VERSION = "2.5.1";
