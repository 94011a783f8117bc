/** What is shown of other people's files is shown, and not obeyed by the terminal. */
import { shown } from "../../cli/terminal.ts";
import { assertEquals } from "../assert.ts";
import { inTempFolder, runCommand } from "../golden/cli/run_command.ts";

Deno.test("what terminals obey is shown as in JSON; lines, tabs and other letters stay", () => {
  const named: readonly (readonly [string, string])[] = [
    ["\x1b[2Jgone", "\\u001b[2Jgone"],
    ["a\rb\x07\x00\x7f\x9b1m", "a\\u000db\\u0007\\u0000\\u007f\\u009b1m"],
    ["\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"],
    ["Größe 患者 é 🩻\n\ttwo", "Größe 患者 é 🩻\n\ttwo"],
  ];
  for (const [text, expected] of named) assertEquals(shown(text), expected);
  const event = JSON.stringify({ label: "\x1b\x9b\u202e" });
  assertEquals(JSON.parse(shown(event)), { label: "\x1b\x9b\u202e" });
});

Deno.test("a name in a file that would clear the screen is printed and clears nothing", () =>
  inTempFolder(async (folder) => {
    const path = `${folder}/a\x1b[2J.json`;
    await Deno.writeTextFile(path, '{"a": ');
    for (const flags of [[], ["--log", "json"]]) {
      const of = ["evaluate_folder", folder, folder, "-djfile", path, "-pfile", path, ...flags];
      const { code, stdout, stderr } = await runCommand(of);
      assertEquals([code, `${stdout}${stderr}`.includes("\x1b"), `${stdout}${stderr}`.includes("\\u001b[2J")], [
        1,
        false,
        true,
      ]);
    }
  }));
