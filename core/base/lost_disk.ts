/** A disk that does not answer any more: a network share whose machine is down, a drive that was pulled out. */

/** What the systems call it; each has numbers of its own, and the runtime names but some of them. Not ENXIO, as of sockets. */
const CODES: ReadonlySet<string> = new Set([
  "ESTALE",
  "ENOTCONN",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ECONNABORTED",
  "ECONNRESET",
  "ENODEV",
]);
const NUMBERS: Readonly<Record<string, readonly number[]>> = {
  // ENODEV, ENOLINK, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH, ESTALE, EREMOTEIO
  linux: [19, 67, 100, 101, 103, 104, 107, 110, 112, 113, 116, 121],
  // ENODEV, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH, ESTALE
  darwin: [19, 50, 51, 53, 54, 57, 60, 64, 65, 70],
  // NOT_READY, REM_NOT_LIST, BAD_NETPATH, DEV_NOT_EXIST, UNEXP_NET_ERR, NETNAME_DELETED, BAD_NET_NAME, SEM_TIMEOUT,
  // NETWORK_UNREACHABLE, HOST_UNREACHABLE
  windows: [21, 51, 53, 55, 59, 64, 67, 121, 1231, 1232],
};

/** The number that the system gives an error, where its message tells. */
function numberOf(error: unknown): number | undefined {
  const match = error instanceof Error ? /\(os error (\d+)\)/.exec(error.message) : null;
  return match ? Number(match[1]) : undefined;
}

/** What is said of it, or undefined for another error. */
export function lostDisk(error: unknown): { readonly problem: string; readonly remedy: string } | undefined {
  const code = (error as { code?: string } | null)?.code;
  const number = numberOf(error);
  const numbers = NUMBERS[Deno.build.os] ?? [];
  if (!(code !== undefined && CODES.has(code)) && !(number !== undefined && numbers.includes(number))) return undefined;
  const words = error instanceof Error ? /^(.+?) \(os error/.exec(error.message)?.[1] : undefined;
  return {
    problem: `the disk that it lies on does not answer${words ? ` (${words})` : ""}`,
    remedy: "see that the drive or network share is connected, and run the same command again",
  };
}

/** True where the disk answers, but says that it failed. */
export function isDiskError(error: unknown): boolean {
  const code = (error as { code?: string } | null)?.code;
  const number = numberOf(error);
  // ERROR_CRC and ERROR_IO_DEVICE
  return code === "EIO" || (Deno.build.os === "windows" ? number === 23 || number === 1117 : number === 5);
}
