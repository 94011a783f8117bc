/**
 * Reading Python pickles without running anything: opcodes of protocols 0 to 5 build plain data, and the names that pickles call
 * (GLOBAL ... REDUCE) are looked up in the table of core/formats/torch/pickle_globals.ts. A name that is not there is refused, and so
 * is a pickle that builds much more than its bytes can say (core/formats/torch/pickle_machine.ts).
 *
 * What becomes what: None null; int number (bigint beyond 2^53); float number; str string; bytes Uint8Array; list and tuple array;
 * dict and OrderedDict Map; set Set; the rest as pickle_globals.ts says.
 */
import { createPickleMachine } from "./pickle_machine.ts";
import { PICKLE_OPCODES } from "./pickle_opcodes.ts";

export interface UnpickleOptions {
  /** Named in errors. */
  readonly file: string;
  readonly doing: string;
  /** Where in `bytes` the pickle starts. */
  readonly offset?: number;
  /** Resolves a persistent id, torch's storages; without it they are refused. */
  readonly persistentLoad?: (id: unknown) => unknown;
  /** Full names ("module.name") that the pickle may refer to besides those of the table; they stand for themselves. */
  readonly references?: readonly string[];
}

export interface Unpickled {
  readonly value: unknown;
  /** Offset of the first byte after the pickle. */
  readonly end: number;
}

const STOP = 0x2e;

/**
 * Reads one pickle.
 * @throws UserError if it is damaged, wants to call something that is not on the list (nothing is ever run), or is made to grow.
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): Unpickled {
  const machine = createPickleMachine(bytes, options);
  const { cursor } = machine;
  for (;;) {
    const opcode = cursor.u1();
    if (opcode === STOP) return { value: machine.pop(), end: cursor.at() };
    const run = PICKLE_OPCODES[opcode];
    if (run) run(machine);
    else machine.damaged(`unknown opcode 0x${opcode.toString(16).padStart(2, "0")}`, cursor.at() - 1);
  }
}
