/** Names, help, exit codes and starters of the commands, through the command line. */
import { VERSION } from "../../cli/version.ts";
import { join } from "../../core/base/path.ts";
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

Deno.test("commands that are not there yet say so with exit code 1", async () => {
  for (const name of ["find_best_configuration", "nnUNetv2_ensemble", "nnUNetv2_plot_overlay_pngs"]) {
    const { code, stderr } = await runCommand([name, "1", "2d", "0"]);
    assertEquals(code, 1);
    assert(stderr.includes("not implemented in this version"), stderr);
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
    const [shebang, , command] = (await Deno.readTextFile(starter)).split("\n");
    assertEquals(shebang, "#!/bin/sh");
    // What the starter starts, word by word (the words hold no quotes here); starting /bin/sh needs a permission tests don't have.
    const [exec, , ...words] = command.split(" ").map((word) => word.replaceAll("'", ""));
    assertEquals([exec, words.at(-1)], ["exec", '"$@"']);
    // A configuration in the folder the user is in is not this program's.
    await Deno.writeTextFile(join(folder, "deno.json"), '{ "imports": 5 }');
    const run = new Deno.Command("deno", {
      args: [...words.slice(0, -1), "--nope"],
      stdout: "null",
      stderr: "piped",
      cwd: folder,
    });
    const result = await run.output();
    assertEquals(result.code, 2);
    const message = new TextDecoder().decode(result.stderr);
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
