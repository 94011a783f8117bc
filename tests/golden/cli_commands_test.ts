/** Names, help, exit codes and starters of the commands, through the command line. */
import { VERSION } from "../../cli/version.ts";
import { shellStarter } from "../../cli/packaging/starters.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";
import configuration from "../../deno.json" with { type: "json" };

Deno.test("help is printed to stdout with exit code 0 and starts nothing", async () => {
  for (
    const args of [["--help"], ["-h"], ["help"], ["predict", "-h"], ["help", "predict"], ["nnUNetv2_predict", "--help"]]
  ) {
    const { code, stdout, stderr } = await runCommand(args);
    assertEquals([code, stderr], [0, ""], args.join(" "));
    assert(stdout.includes(args.join().includes("predict") ? "-step_size" : "predict_from_modelfolder"), stdout);
  }
});

Deno.test("a command line that cannot be taken ends with exit code 2, usage and message on stderr", async () => {
  const lines: [string[], string][] = [
    [[], ""],
    [["predcit"], "did you mean predict?"],
    [["predict"], "the following arguments are required: -i, -o, -d, -c"],
    [["nnUNetv2_predict_from_modelfolder", "-i", "a"], "nnUNetv2_predict_from_modelfolder: error: "],
    [["predict", "-i", "a", "-o", "b", "-d", "1", "-c", "2d", "--disable_tts"], "did you mean --disable_tta?"],
  ];
  for (const [args, message] of lines) {
    const { code, stderr } = await runCommand(args);
    assertEquals(code, 2, args.join(" "));
    assert(stderr.includes(message), stderr);
  }
});

Deno.test("the version is that of deno.json", async () => {
  assertEquals(VERSION, configuration.version);
  assert((await runCommand(["--version"])).stdout.startsWith(`nnunet ${VERSION} `));
});

Deno.test("doctor names the processor, the engine and the datasets, and which variables mean nothing", async () => {
  await inTempFolder(async (folder) => {
    await Deno.mkdir(join(folder, "Dataset004_Hip", "nnUNetTrainer__nnUNetPlans__2d"), { recursive: true });
    const env = { nnUNet_results: folder, nnUNet_raw: join(folder, "none"), nnUNet_compile: "T" };
    const { code, stdout, stderr } = await runCommand(["doctor"], { env });
    assertEquals([code, stderr], [0, ""]);
    const text = stdout.replaceAll(/\s+/g, " ");
    for (
      const part of [
        "threads",
        "GiB",
        "-device auto",
        "Dataset004_Hip/nnUNetTrainer__nnUNetPlans__2d",
        "no such folder",
      ]
    ) {
      assert(text.includes(part), `${part}: ${stdout}`);
    }
    assert(
      text.includes("nnUNet_preprocessed is not set") && text.includes("nnUNet_compile=T changes nothing here"),
      stdout,
    );
  });
});

Deno.test("link makes a starter for every name of upstream's, and they start the program as that command", async () => {
  await inTempFolder(async (folder) => {
    const { code, stdout, stderr } = await runCommand(["link", folder]);
    assertEquals([code, stderr], [0, ""], stdout);
    const windows = Deno.build.os === "windows";
    const names = await namesIn(folder);
    assertEquals(names.length, 22);
    for (const name of ["nnunet", "nnUNetv2_predict", "nnUNetv2_train"]) {
      assert(names.includes(windows ? `${name}.cmd` : name));
    }
    if (windows) return;
    const starter = join(folder, "nnUNetv2_predict_from_modelfolder");
    assertEquals(((await Deno.stat(starter)).mode ?? 0) & 0o777, 0o755);
    // A configuration in the folder the user is in is not this program's.
    await Deno.writeTextFile(join(folder, "deno.json"), '{ "imports": 5 }');
    const { code: usage, stderr: message } = await runStarter(starter, ["--nope"], { cwd: folder });
    assertEquals(usage, 2, message);
    assert(message.includes("nnUNetv2_predict_from_modelfolder: error: unrecognized arguments: --nope"), message);
    assertEquals((await runCommand(["link", folder])).code, 0, "a second run replaces its own starters");
  });
});

Deno.test("link does not overwrite a file that it did not make", async () => {
  await inTempFolder(async (folder) => {
    const path = join(folder, Deno.build.os === "windows" ? "nnUNetv2_predict.cmd" : "nnUNetv2_predict");
    await Deno.writeTextFile(path, "python's");
    const { code, stderr } = await runCommand(["link", folder]);
    assertEquals(code, 1);
    assert(stderr.includes(path) && stderr.includes("--force"), stderr);
    assertEquals(await Deno.readTextFile(path), "python's");
    assertEquals((await runCommand(["link", folder, "--force"])).code, 0);
  });
});

/** Runs a starter by sh. `env` is added to the environment. */
async function runStarter(
  starter: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
) {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [starter, ...args],
    stdin: "null",
    cwd: options.cwd,
    env: { ...options.env },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** A Deno that prints its arguments and whether it would look for a newer Deno. */
const SAYS_ARGUMENTS =
  '#!/bin/sh\necho "update check off: $DENO_NO_UPDATE_CHECK"\nfor word in "$@"; do echo "$word"; done\n';

Deno.test({
  name:
    "a starter finds the program in the folder that was moved with it, then where it was, and says where it is in neither",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (temp) => {
      const [before, after] = [join(temp, "first place"), join(temp, "it's another")];
      const [program, commands, tools] = ["program", "the commands", "tools"].map((name) => join(before, name));
      for (const folder of [program, commands, tools]) await Deno.mkdir(folder, { recursive: true });
      const main = join(program, "main.js");
      await Deno.writeTextFile(main, "");
      const deno = join(tools, "deno");
      await Deno.writeTextFile(deno, SAYS_ARGUMENTS, { mode: 0o755 });
      const starter = join(commands, "nnUNetv2_predict");
      const target = { main, folder: commands, kind: "bundle", deno, rememberPlace: true } as const;
      await Deno.writeTextFile(starter, shellStarter(target, "nnUNetv2_predict"));
      const started = (root: string) => [
        "update check off: 1",
        ...[
          "run",
          "--quiet",
          "--no-prompt",
          "--no-config",
          "--allow-read",
          "--allow-write",
          "--allow-env",
          "--allow-sys",
        ],
        join(root, "main.js"),
        "nnUNetv2_predict",
        "-i",
        "a b",
      ];
      const run = async (path: string, env = {}) => {
        const { stdout, stderr } = await runStarter(path, ["-i", "a b"], { cwd: temp, env });
        const words = stdout.trimEnd().split("\n");
        return { words: await Promise.all(words.map((word) => Deno.realPath(word).catch(() => word))), stderr };
      };
      const real = await Deno.realPath(program);
      assertEquals((await run(starter)).words, started(real));
      // Alone somewhere else, and by a link.
      await Deno.copyFile(starter, join(temp, "alone"));
      assertEquals((await run(join(temp, "alone"))).words, started(real));
      await Deno.symlink(starter, join(temp, "linked"));
      assertEquals((await run(join(temp, "linked"))).words, started(real));
      // Moved as a whole: the Deno that made it is gone, and the one in PATH is taken.
      await Deno.rename(before, after);
      const path = `${join(after, "tools")}:${Deno.env.get("PATH")}`;
      const moved = await run(join(after, "the commands", "nnUNetv2_predict"), { PATH: path });
      assertEquals(moved.words, started(await Deno.realPath(join(after, "program"))));
      const lost = await run(join(temp, "alone"), { PATH: path });
      assert(lost.stderr.includes("the program is not in") && lost.stderr.includes("link command"), lost.stderr);
    }),
});

Deno.test("every task that starts the program leaves Deno's look for a newer version out, and takes paths from where the user is", () => {
  const tasks = Object.entries(configuration.tasks).map(([name, task]) =>
    [name, typeof task === "string" ? task : "command" in task ? task.command : ""] as const
  );
  const starting = tasks.filter(([, command]) => command.includes("deno run"));
  assertEquals(starting.map(([name]) => name).sort(), [
    "bench",
    "bundle",
    "compile",
    "demo",
    "fuzz",
    "nnunet",
    "package",
    "release",
    "serve",
  ]);
  for (const [name, command] of starting) {
    assertEquals(command.includes("-net"), name === "serve", `${name}: only the service may use a network`);
    assert(command.includes("DENO_NO_UPDATE_CHECK=1 deno run --quiet "), command);
    assert(name === "demo" || name === "fuzz" || command.startsWith('ROOT=$PWD && cd "$INIT_CWD" && '), command);
  }
});

Deno.test("deno task nnunet takes relative paths from the folder the user is in", async () => {
  await inTempFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "here.pth"), "no checkpoint");
    // The task that runs the tests has set it.
    const { INIT_CWD: _, ...env } = Deno.env.toObject();
    const config = fromFileUrl(new URL("../../deno.json", import.meta.url));
    const run = await new Deno.Command("deno", {
      args: ["task", "--config", config, "nnunet", "export", "here.pth", "--safetensors"],
      cwd: folder,
      clearEnv: true,
      env,
      stdin: "null",
    }).output();
    const stderr = new TextDecoder().decode(run.stderr);
    assertEquals(run.code, 1, stderr);
    assert(stderr.includes("(here.pth)") && !stderr.includes("no such file"), stderr);
  });
});
