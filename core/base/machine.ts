/**
 * Which machine this is, among those that share a disk: a lock of the system is asked only about this machine's processes, as the locks
 * of a network disk may be each machine's own. About the others only the disk itself tells: by its clock, when they last wrote.
 */
import { crc32 } from "node:zlib";

/** Of one length, for names of files. A container that is started anew is another machine. */
export function machineMark(): string {
  return crc32(`${hostname()}\n${machineId()}`).toString(16).padStart(8, "0");
}

/** For messages. */
export function hostname(): string {
  try {
    return Deno.hostname();
  } catch {
    return "unknown";
  }
}

/** Two machines may have one host name; images of containers often have no such file. */
function machineId(): string {
  try {
    return Deno.readTextFileSync("/etc/machine-id").trim();
  } catch {
    return "";
  }
}
