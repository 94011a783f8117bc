import type { DatasetJson } from "./dataset_json.ts";
export function readDatasetJson(_path: string): Promise<DatasetJson> {
  throw new Error("being written");
}
