/**
 * `deno task release`: checksums that sha256sum confirms, a bill of materials that CycloneDX's own schema accepts and that holds what
 * deno.lock holds but for tools of builds, a licence for each. Needs a network once, for the package of the schema, from Python's package index.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { VERSION } from "../../cli/version.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const VALIDATE = `
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
`;

interface Lock {
  readonly npm: Readonly<Record<string, { readonly optionalDependencies?: readonly string[] }>>;
}

interface Bill {
  readonly components: readonly {
    readonly "bom-ref": string;
    readonly group?: string;
    readonly name: string;
    readonly version?: string;
    readonly scope?: string;
    readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
    readonly licenses?: readonly unknown[];
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

Deno.test({
  name:
    "a release is executables, checksums, a bill of materials that its schema accepts, every licence and the changes",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (folder) => {
      const out = join(folder, "release");
      const sh = async (script: string, ...words: string[]) => {
        const args = ["-c", script, "sh", ...words];
        const { code, stdout, stderr } = await new Deno.Command("sh", { args, cwd: folder, stdin: "null" }).output();
        const decoder = new TextDecoder();
        return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
      };
      const made = await new Deno.Command("deno", { args: ["task", "release", out], cwd: ROOT }).output();
      assert(made.success, new TextDecoder().decode(made.stderr));
      const executable = `nnunet-linux-${Deno.build.arch === "x86_64" ? "x64" : "arm64"}`;
      const bill = `nnunet-${VERSION}.cdx.json`;
      const service = executable.replace("nnunet-", "nnunet-serve-");
      const files = [executable, service, bill, "LICENSE", "NOTICE", "LICENSES.txt", "CHANGELOG.md"].sort();
      assertEquals(await namesIn(out), [...files, "SHA256SUMS"].sort());
      const checked = await sh('cd "$1" && sha256sum -c SHA256SUMS', out);
      assertEquals(checked, { code: 0, text: files.map((name) => `${name}: OK\n`).join("") });
      const version = await sh('NNUNET_CACHE=cache exec "$1" version', join(out, executable));
      assert(version.text.startsWith(`nnunet ${VERSION} `), version.text);

      const { npm }: Lock = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.lock")));
      const { components, dependencies } = JSON.parse(await Deno.readTextFile(join(out, bill))) as Bill;
      const packages = components.filter(({ "bom-ref": reference }) => reference.startsWith("pkg:npm/"));
      const ids = packages.map(({ group, name, version }) => `${group ? `${group}/` : ""}${name}@${version}`);
      // What NiiVue may be built with is no part of a release.
      const optional = Object.values(npm).flatMap(({ optionalDependencies = [] }) => optionalDependencies);
      for (const id of optional) assert(id.startsWith("@rollup/"), id);
      assertEquals(ids.sort(), Object.keys(npm).filter((id) => !optional.includes(id)).sort());
      const onlyTests = packages.filter(({ scope }) => scope === "excluded").map(({ name }) => name);
      assertEquals(onlyTests, ["zip.js"]);
      const references = components.map((one) => one["bom-ref"]);
      for (const { dependsOn } of dependencies) for (const one of dependsOn) assert(references.includes(one), one);
      const licences = await Deno.readTextFile(join(out, "LICENSES.txt"));
      for (const { group, name, version, scope, licenses } of components.filter((one) => one.licenses)) {
        assertEquals(licenses?.length, 1);
        const heading = `\n${group ? `${group}/` : ""}${name} ${version}: `;
        assertEquals(licences.includes(heading), scope === "required", heading);
      }

      const installed = await sh(
        "python3 -m pip install --quiet --target py 'cyclonedx-python-lib[json-validation]==11.5.0'",
      );
      assertEquals(installed.code, 0, installed.text);
      const valid = await sh('PYTHONPATH=py exec python3 -c "$1" "$2"', VALIDATE, join(out, bill));
      assertEquals(valid.code, 0, valid.text);
      const broken = join(folder, "broken.json");
      await Deno.writeTextFile(broken, (await Deno.readTextFile(join(out, bill))).replace('"urn:uuid:', '"uuid:'));
      assert(
        (await sh('PYTHONPATH=py exec python3 -c "$1" "$2"', VALIDATE, broken)).code !== 0,
        "the schema was asked",
      );
    }),
});
