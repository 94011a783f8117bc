/** placeholder */
export function parseJson(_text: string, _file: string): unknown {
  throw new Error("being written");
}
export interface StringifyOptions {
  readonly sortKeys?: boolean;
}
export function stringifyJson(_value: unknown, _options: StringifyOptions = {}): string {
  throw new Error("being written");
}
export function readJsonFile(
  _path: string,
  _doing?: string,
): Promise<{ readonly text: string; readonly value: unknown }> {
  throw new Error("being written");
}
