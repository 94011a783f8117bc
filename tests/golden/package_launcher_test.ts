/**
 * The launcher of the one file, with small members: a shell script stands where Deno is. What zlib packs it unpacks; a cache that cannot
 * be used, and a package that is not whole, are one line each.
 */
import { join } from "../../core/base/path.ts";
import { launcherOf } from "../../cli/packaging/package.ts";
import { type PackageMember, processorOf, writePackage, writeService } from "../../cli/packaging/package_file.ts";
import { LISTENING } from "../../cli/packaging/starters.ts";
import { UserError } from "../../core/base/errors.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { fileDigest } from "../../cli/program_digest.ts";
import { inTempFolder, namesIn } from "./cli/run_command.ts";

const LINUX = Deno.build.os === "linux" && ["x86_64", "aarch64"].includes(Deno.build.arch);
const LAUNCHER = launcherOf(Deno.build.arch === "aarch64" ? "aarch64" : "x86_64");

/** Prints its words, folder and environment; the first word of the user's (the 14th) may be a shell command. */
const SCRIPT = `#!/bin/sh
for word in "$@"; do echo "word $word"; done
pwd
env
while [ $# -gt 0 ] && [ "$1" != -c ]; do shift; done
[ $# = 0 ] || eval "$2"
`;

function member(path: string, data: string | Uint8Array, program = false): PackageMember {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return { path, program, read: () => Promise.resolve(bytes) };
}

const SMALL = [member("deno", SCRIPT, true), member("program/main.js", "main")];

async function makeSmall(file: string, more: readonly PackageMember[] = []) {
  return await writePackage(file, await Deno.readFile(LAUNCHER), [...SMALL, ...more]);
}

/** Runs a shell command with `words` as "$@" and an environment of nothing but `env`. */
async function sh(command: string, words: readonly string[], env: Record<string, string> = {}, cwd = "/") {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", command, "sh", ...words],
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
    cwd,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function linuxTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({ name, ignore: !LINUX, fn: () => inTempFolder(fn) });
}

/** One line on stderr that holds `parts`, exit code 1, nothing on stdout. */
function assertRefused(run: { code: number; stdout: string; stderr: string }, ...parts: string[]): void {
  assertEquals(run.code, 1, run.stderr);
  assert(/^error: [^\n]+\.\n$/.test(run.stderr), run.stderr);
  for (const part of parts) assert(run.stderr.includes(part), `${part} in: ${run.stderr}`);
  assertEquals(run.stdout, "");
}

Deno.test("the launchers are those that were built from the sources beside them", async () => {
  const folder = join(launcherOf("x86_64"), "..");
  const sums = (await Deno.readTextFile(join(folder, "SHA256SUMS"))).trim().split("\n").map((line) => line.split(/ +/));
  assertEquals(sums.map(([, name]) => name).concat("SHA256SUMS").sort(), await namesIn(folder));
  for (const [sum, name] of sums) {
    // Sources may have been checked out with CRLF.
    if (Deno.build.os === "windows" && !name.startsWith("launcher-")) continue;
    assertEquals(await fileDigest(join(folder, name)), sum, `${name}: run launcher/build.sh`);
  }
});

linuxTest(
  "words, folder, environment and exit code pass through; what could open a port or load scripts does not",
  async (folder) => {
    const place = join(folder, "Größe 1 \u{1F9E0}");
    await Deno.mkdir(place);
    const file = join(place, "nn unet");
    await makeSmall(file);
    const env = {
      HOME: folder,
      A: "b c",
      DENO_V8_FLAGS: "--x",
      OTEL_DENO: "1",
      NODE_OPTIONS: "--inspect",
      DENO_DIR: "/q",
    };
    const { code, stdout } = await sh('exec "$@"', [file, "a b", "", "*", "-c", "exit 7"], env, place);
    assertEquals(code, 7);
    const lines = stdout.split("\n");
    const words = lines.filter((line) => line.startsWith("word ")).map((line) => line.slice(5));
    const cache = join(folder, ".cache/nnunet");
    const [checksum] = await namesIn(cache);
    const options = ["--quiet", "--no-config", "--no-lock", "--no-remote", "--no-npm", "--cached-only", "--no-prompt"];
    const permissions = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
    const main = join(cache, checksum, "program/main.js");
    assertEquals(words, ["run", ...options, ...permissions, main, "a b", "", "*", "-c", "exit 7"]);
    assert(lines.includes(place), stdout);
    const dir = `DENO_DIR=${join(cache, checksum, "deno-cache")}`;
    for (const line of ["A=b c", "DENO_V8_FLAGS=--x", "DENO_NO_UPDATE_CHECK=1", dir, `NNUNET_PACKAGE=${file}`]) {
      assert(lines.includes(line), `${line} in ${stdout}`);
    }
    assertEquals(lines.filter((line) => /^(OTEL|NODE_|DENO_DIR=\/q)/.test(line)), []);
  },
);

linuxTest(
  "the service's package starts the same program, unpacked once for both, with the permission to listen",
  async (folder) => {
    const [program, service] = [join(folder, "nnunet"), join(folder, "nnunet-serve")];
    await makeSmall(program);
    await writeService(program, service);
    const wordsOf = async (file: string) => {
      const { stdout } = await sh('exec "$@"', [file, "-m", "model"], { HOME: folder });
      return stdout.split("\n").filter((line) => line.startsWith("word ")).map((line) => line.slice(5));
    };
    const [words, serving] = [await wordsOf(program), await wordsOf(service)];
    assertEquals(serving.filter((word) => !words.includes(word)), [LISTENING]);
    assertEquals(words.filter((word) => word.includes("-net")), []);
    assertEquals((await namesIn(join(folder, ".cache/nnunet"))).length, 1);
  },
);

linuxTest("a signal ends the program as it would end Deno", async (folder) => {
  const file = join(folder, "nnunet");
  await makeSmall(file);
  const { code } = await sh('exec "$@"', [file, "-c", "kill -TERM $$; sleep 9"], { HOME: folder });
  assertEquals(code, 143);
});

linuxTest(
  "the cache is NNUNET_CACHE, XDG_CACHE_HOME/nnunet, HOME/.cache/nnunet, or the user's in /tmp",
  async (folder) => {
    const file = join(folder, "nnunet");
    const entries = await makeSmall(file);
    assertEquals(entries.length, 2);
    const [own, xdg, home] = ["own", "xdg", "home"].map((name) => join(folder, name));
    const all = { NNUNET_CACHE: own, XDG_CACHE_HOME: xdg, HOME: home };
    const at = async (env: Record<string, string>, cwd?: string) => {
      const { code, stdout, stderr } = await sh('exec "$@"', [file], env, cwd);
      assertEquals(code, 0, stderr);
      return /\nword (.*)\/[0-9a-f]{64}\/program\/main.js\n/.exec(stdout)?.[1];
    };
    assertEquals(await at(all), own);
    assertEquals(await at({ ...all, NNUNET_CACHE: "" }), join(xdg, "nnunet"));
    assertEquals(await at({ HOME: home, XDG_CACHE_HOME: "no/absolute/path" }), join(home, ".cache/nnunet"));
    assertEquals(await at({ NNUNET_CACHE: "here" }, folder), join(folder, "here"));
    const shared = `/tmp/nnunet-${Deno.uid()}`;
    assertEquals(await at({ HOME: "" }), shared);
    // That folder may hold the user's own.
    const [checksum] = await namesIn(own);
    await Deno.remove(join(shared, checksum), { recursive: true });
    await Deno.remove(shared).catch(() => {});
  },
);

linuxTest("what zlib packs is unpacked: nothing, noise, long runs, far repeats, every code length", async (folder) => {
  let seed = 1;
  const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
  const bytes = (count: number, value: (i: number) => number) => Uint8Array.from({ length: count }, (_, i) => value(i));
  const noise = bytes(33_000, () => random() * 256);
  const samples = {
    empty: new Uint8Array(0),
    one: bytes(1, () => 7),
    text: new TextEncoder().encode("to be or not to be, that is the question; ".repeat(3)),
    noise: bytes(200_000, () => random() * 256),
    run: new Uint8Array(3_000_000),
    far: bytes(330_000, (i) => noise[i % 32_768]),
    // Symbols of very unlike frequency: codes of up to 15 bits.
    skew: bytes(600_000, () => Math.floor(-Math.log2(random() + 1e-9) * 6) & 255),
    mixed: bytes(900_000, (i) => (i >> 13) % 3 === 0 ? noise[i % 33_000] : (i >> 13) % 3 === 1 ? i % 97 : 0),
  };
  const file = join(folder, "nnunet");
  const members = Object.entries(samples).map(([name, data]) => member(`program/data/${name}`, data));
  await makeSmall(file, members);
  const { code, stderr } = await sh('exec "$@"', [file], { NNUNET_CACHE: join(folder, "cache") });
  assertEquals(code, 0, stderr);
  const [checksum] = await namesIn(join(folder, "cache"));
  for (const [name, data] of Object.entries(samples)) {
    const unpacked = await Deno.readFile(join(folder, "cache", checksum, "program/data", name));
    assertEquals(unpacked.length, data.length, name);
    assert(unpacked.every((value, i) => value === data[i]), name);
  }
});

linuxTest("eight started at once on an empty cache all run, and one unpacked program is left", async (folder) => {
  const file = join(folder, "nnunet");
  await makeSmall(file, [member("program/data", new Uint8Array(20_000_000))]);
  const { code, stdout, stderr } = await sh(
    'for i in 1 2 3 4 5 6 7 8; do "$@" -c "echo started" & done; wait',
    [file],
    { NNUNET_CACHE: join(folder, "cache") },
  );
  assertEquals(code, 0, stderr);
  assertEquals(stdout.match(/^started$/gm)?.length, 8, stdout + stderr);
  assertEquals((await namesIn(join(folder, "cache"))).length, 1);
});

linuxTest(
  "a package that is cut off, or changed anywhere behind the launcher, is refused, and nothing is left of it",
  async (folder) => {
    const file = join(folder, "nnunet");
    await makeSmall(file, [member("program/data", Uint8Array.from({ length: 5000 }, (_, i) => i * i >> 3))]);
    const whole = await Deno.readFile(file);
    const launcher = (await Deno.stat(LAUNCHER)).size;
    const cache = join(folder, "cache");
    const env = { NNUNET_CACHE: cache };
    const refused = async (bytes: Uint8Array, ...parts: string[]) => {
      const name = join(folder, "other");
      await Deno.writeFile(name, bytes, { mode: 0o755 });
      assertRefused(await sh('exec "$@"', [name], env), ...parts);
      await Deno.remove(name);
      assertEquals(await namesIn(cache), []);
    };
    for (const length of [launcher, launcher + 100, whole.length - 64, whole.length - 1]) {
      await refused(whole.subarray(0, length), "other: the file is incomplete: copy it again");
    }
    await refused(new Uint8Array([...whole, 0]), "incomplete");
    for (let i = 0; i < 24; i++) {
      const changed = whole.slice();
      const at = launcher + Math.floor((whole.length - launcher) * i / 24);
      changed[at] ^= 1 << i % 8;
      await refused(changed, "copy it again");
    }
  },
);

linuxTest(
  "an unpacked program that lost a file is unpacked again; one that others can write is not run",
  async (folder) => {
    const file = join(folder, "nnunet");
    await makeSmall(file);
    const cache = join(folder, "cache");
    const start = () => sh('exec "$@"', [file], { NNUNET_CACHE: cache });
    assertEquals((await start()).code, 0);
    const [checksum] = await namesIn(cache);
    const main = join(cache, checksum, "program/main.js");
    const before = (await Deno.stat(join(cache, checksum))).ino;
    assertEquals((await start()).code, 0);
    assertEquals((await Deno.stat(join(cache, checksum))).ino, before);
    await Deno.remove(main);
    assertEquals((await start()).code, 0);
    await Deno.truncate(main, 2);
    assertEquals((await start()).code, 0);
    assertEquals(await Deno.readTextFile(main), "main");
    assertEquals(await namesIn(cache), [checksum]);
    for (const path of [main, join(cache, checksum, "program"), join(cache, checksum)]) {
      const { mode } = await Deno.stat(path);
      await Deno.chmod(path, 0o777);
      assertRefused(await start(), "others can write to it", "NNUNET_CACHE");
      await Deno.chmod(path, (mode ?? 0) & 0o777);
    }
    await Deno.chmod(cache, 0o777);
    assertRefused(await start(), "can be written by every user", "NNUNET_CACHE");
    await Deno.chmod(cache, 0o700);
    assertEquals((await start()).code, 0);
  },
);

linuxTest("what a killed start left half done is cleared away later, not while it may be at work", async (folder) => {
  const file = join(folder, "nnunet");
  await makeSmall(file);
  const cache = join(folder, "cache");
  for (const name of [".unpacking-old", ".unpacking-new"]) {
    await Deno.mkdir(join(cache, name, "program"), { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(join(cache, name, "program", "main.js"), "ma");
  }
  await Deno.utime(join(cache, ".unpacking-old"), new Date(0), new Date(0));
  assertEquals((await sh('exec "$@"', [file], { NNUNET_CACHE: cache })).code, 0);
  assertEquals((await namesIn(cache)).filter((name) => name.startsWith(".")), [".unpacking-new"]);
});

linuxTest("a start that is ended while it unpacks leaves nothing", async (folder) => {
  const file = join(folder, "nnunet");
  await makeSmall(file, [member("program/data", new Uint8Array(200_000_000))]);
  const { code, stderr } = await sh(
    '"$1" & while [ -z "$(ls -A "$2" 2>/dev/null)" ]; do sleep 0.01; done; kill -TERM $!; wait $!',
    [file, join(folder, "cache")],
    { NNUNET_CACHE: join(folder, "cache") },
  );
  assertEquals(code, 143, stderr);
  assertEquals(await namesIn(join(folder, "cache")), []);
});

linuxTest(
  "a cache that cannot be made, or that is a file, is named with the variable that moves it",
  async (folder) => {
    const file = join(folder, "nnunet");
    await makeSmall(file);
    await Deno.writeTextFile(join(folder, "taken"), "a file");
    for (const cache of [join(folder, "taken"), join(folder, "taken", "below"), "/proc/nnunet"]) {
      assertRefused(await sh('exec "$@"', [file], { NNUNET_CACHE: cache }), cache, "NNUNET_CACHE");
    }
    assertEquals(await namesIn(folder), ["nnunet", "taken"]);
  },
);

linuxTest("a full, a read-only and a noexec disk are named with the variable that moves the cache", async (folder) => {
  const file = join(folder, "nnunet");
  // 3 MB that do not fit on a disk of 1 MB.
  await makeSmall(file, [
    member("program/data", crypto.getRandomValues(new Uint8Array(65_536))),
    member("program/z", new Uint8Array(3e6)),
  ]);
  await Deno.mkdir(join(folder, "disk"));
  const inNamespace = (options: string) =>
    sh(
      `exec unshare -rm sh -c 'mount -t tmpfs -o "$1" none "$2" || exit 99; "$3"; code=$?; ls -A "$2" | sed "s/^/left: /"; exit $code' sh "$@"`,
      [options, join(folder, "disk"), file],
      { NNUNET_CACHE: join(folder, "disk") },
    );
  if ((await sh("unshare -rm true", [])).code !== 0) return;
  const enough = await inNamespace("size=20m,mode=755");
  assertEquals(enough.code, 0, enough.stderr);
  assertRefused(await inNamespace("size=1m,mode=755"), "the disk is full (4 MB are needed)", "NNUNET_CACHE");
  assertRefused(await inNamespace("ro,mode=755"), "Read-only file system", "NNUNET_CACHE");
  assertRefused(await inNamespace("noexec,mode=755"), "(noexec)", "NNUNET_CACHE");
});

linuxTest("another user does not run what this one unpacked, unless that was root", async (folder) => {
  if (Deno.uid() !== 0 || (await sh("setpriv --reuid=65534 --clear-groups true", [])).code !== 0) return;
  const file = join(folder, "nnunet");
  await makeSmall(file);
  await Deno.chmod(folder, 0o755);
  const as = (user: number, cache: string) =>
    sh(`exec setpriv --reuid=${user} --clear-groups "$@"`, [file], { NNUNET_CACHE: join(folder, cache) });
  await Deno.mkdir(join(folder, "theirs"));
  await Deno.chown(join(folder, "theirs"), 65533, null);
  assertEquals((await as(65533, "theirs")).code, 0);
  assertRefused(await as(65534, "theirs"), "belongs to another user", "NNUNET_CACHE");
  assertRefused(await as(0, "theirs"), "belongs to another user", "NNUNET_CACHE");
  await Deno.mkdir(join(folder, "root"), { mode: 0o755 });
  assertRefused(await as(65534, "root"), "Permission denied", "NNUNET_CACHE");
  assertEquals((await as(0, "root")).code, 0);
  assertEquals((await as(65534, "root")).code, 0);
});

Deno.test("a package is made of programs for Linux on two processors, and of nothing else", async () => {
  assertEquals(await processorOf(launcherOf("x86_64")), "x86_64");
  assertEquals(await processorOf(launcherOf("aarch64")), "aarch64");
  await inTempFolder(async (folder) => {
    const elf = (await Deno.readFile(launcherOf("x86_64"))).subarray(0, 64);
    const wrong = {
      empty: elf.subarray(0, 0),
      text: new TextEncoder().encode("#!/bin/sh"),
      short: elf.subarray(0, 19),
    };
    const other = elf.slice();
    other[18] = 3; // i386
    for (const [name, bytes] of Object.entries({ ...wrong, other })) {
      await Deno.writeFile(join(folder, name), bytes);
      const said = name === "other" ? "another processor" : "not a program for Linux";
      await assertFails(() => processorOf(join(folder, name)), UserError, join(folder, name), said);
    }
    await assertFails(() => processorOf(join(folder, "none")), UserError, "no such file");
  });
});
