/** "512 MiB", "3.4 GiB". */
export function describeBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${Number(value.toFixed(value >= 100 ? 0 : 1))} ${units[power]}`;
}
