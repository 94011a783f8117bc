/** A release's bill of materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), and its licences as a text. */
import { createHash } from "node:crypto";
import { VERSION } from "../version.ts";
import type { Dependency } from "./dependencies.ts";

/** One of the release's files. */
export interface ReleasedFile {
  readonly name: string;
  /** In hex. */
  readonly sha256: string;
}

const OWN = `pkg:generic/nnunet@${VERSION}`;

/** The same for the same dependencies and files: it holds no time, and its serial number is made of the rest. */
export function cycloneDx(dependencies: readonly Dependency[], files: readonly ReleasedFile[]): string {
  const components = dependencies.map(({ name, version, licence, url, sha512, released }) => {
    const [group, plain] = name.startsWith("@") ? name.split("/") : [undefined, name];
    return {
      type: name === "deno" ? "platform" : "library",
      "bom-ref": url,
      group,
      name: plain,
      version,
      scope: released ? "required" : "excluded",
      hashes: sha512 === undefined ? undefined : [{ alg: "SHA-512", content: sha512 }],
      licenses: [{ license: { id: licence } }],
      purl: url,
    };
  });
  const fileComponents = files.map(({ name, sha256 }) => ({
    type: "file",
    "bom-ref": `file:${name}`,
    name,
    hashes: [{ alg: "SHA-256", content: sha256 }],
  }));
  const body = {
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": OWN,
        name: "nnunet",
        version: VERSION,
        licenses: [{ license: { id: "Apache-2.0" } }],
        purl: OWN,
      },
    },
    components: [...components, ...fileComponents],
    dependencies: [
      { ref: OWN, dependsOn: dependencies.filter(({ direct }) => direct).map(({ url }) => url) },
      ...dependencies.map(({ url, needs }) => ({ ref: url, dependsOn: needs })),
    ],
  };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(body))}`;
  return JSON.stringify({ bomFormat: "CycloneDX", specVersion: "1.6", serialNumber, ...body }, null, 2) + "\n";
}

/** A UUID of a text (version 8 of RFC 9562, whose bits are one's own). */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  const variant = (8 | parseInt(hex[16], 16) & 3).toString(16);
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, variant + hex.slice(17, 20), hex.slice(20, 32)]
    .join("-");
}

/** The licences of what a release holds, one below the other. */
export function licencesText(dependencies: readonly Dependency[]): string {
  const parts = dependencies.filter(({ released }) => released).map(({ name, version, licence, text }) =>
    `${"=".repeat(100)}\n${name} ${version}: ${licence}\n${"=".repeat(100)}\n\n${text.trim()}\n`
  );
  return `Licences of what nnunet ${VERSION} holds besides its own code (LICENSE, NOTICE).\n\n${parts.join("\n")}`;
}
