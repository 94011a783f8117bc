/** The files of itk_cases.py: NRRD, MetaImage, GIPL, and what SimpleITK makes of them. */
export const ITK_FORMATS = ["nrrd", "mha", "gipl"] as const;

export interface Sitk {
  readonly spacing: number[];
  readonly origin: number[];
  readonly direction: number[];
}

/** What SimpleITKIO made of a file; `written` is the segmentation's file in base64. */
export interface ItkRead {
  readonly error?: string;
  /** SimpleITK gives what was in memory. */
  readonly garbage?: true;
  readonly shape: readonly number[];
  readonly sha: string;
  readonly first: readonly (number | null)[];
  readonly spacing: number[];
  readonly sitk: Sitk;
  readonly type: string;
  readonly components: number;
  readonly written: string | { readonly error: string };
}

export interface ItkCase {
  /** In base64; the first is the one that is read. */
  readonly files: Readonly<Record<string, string>>;
  readonly read: ItkRead;
  readonly reoriented?: {
    readonly error?: string;
    readonly shape: readonly number[];
    readonly sha: string;
    readonly sitk: Sitk & { readonly original_orientation: string };
  };
}

export function itkCases(format: string): Readonly<Record<string, ItkCase>> {
  return JSON.parse(Deno.readTextFileSync(new URL(`./${format}/${format}.json`, import.meta.url)));
}

export function unpackFiles(files: Readonly<Record<string, string>>): Record<string, Uint8Array<ArrayBuffer>> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Uint8Array.fromBase64(text)]));
}
