/**
 * Flags whose default a variable of nnU-Net's sets. Sources: configuration.py and utilities/default_n_proc_DA.py of nnunetv2, and
 * inference/predict_from_raw_data.py of 2.6.2 and later.
 */
import { describeRange, isWithin } from "./check_values.ts";
import type { FlagTable, Values } from "./flag.ts";
import { parseInteger } from "./parse_flags.ts";

interface FlagVariable {
  readonly name: string;
  /** The flag's main name; only a flag of one whole number without a default of its own takes it. */
  readonly flag: string;
  /** True: upstream takes no more than there are cores. */
  readonly capped?: true;
}

const VARIABLES: readonly FlagVariable[] = [
  { name: "nnUNet_npp", flag: "-npp" },
  { name: "nnUNet_nps", flag: "-nps" },
  { name: "nnUNet_def_n_proc", flag: "-np" },
  { name: "nnUNet_n_proc_DA", flag: "--sample-threads", capped: true },
];

/**
 * The values with those that the environment gives where the command line gives none.
 * @param get A variable's value
 * @param warn Is told of variables whose value can't be taken, which are left out then
 */
export function withVariables<T extends FlagTable>(
  table: T,
  values: Values<T>,
  get: (name: string) => string | undefined,
  warn: (message: string) => void,
): Values<T> {
  const given: Record<string, number> = {};
  for (const [key, flag] of Object.entries(table)) {
    if (flag.kind !== "integer" || values[key] !== undefined) continue;
    const variable = VARIABLES.find((one) => one.flag === flag.names[0]);
    const text = variable && get(variable.name);
    if (!variable || !text) continue;
    const value = parseInteger(text);
    if (value === null || !isWithin(flag.range, value)) {
      warn(`${variable.name} is '${text}' and is not used: a whole number ${describeRange(flag.range)} is needed`);
    } else given[key] = variable.capped ? Math.min(value, navigator.hardwareConcurrency) : value;
  }
  return { ...values, ...given };
}
