export interface WriteOptions {
  readonly doing?: string;
  readonly sync?: boolean;
  readonly signal?: AbortSignal;
}
export type FileContent = Uint8Array | string | ((file: Deno.FsFile) => Promise<void>);
export function writeAtomically(_path: string, _data: FileContent, _options: WriteOptions = {}): Promise<void> {
  throw new Error("being written");
}
export function ensureFolder(_path: string, _doing: string): Promise<void> {
  throw new Error("being written");
}
