/**
 * The example of a job array on a real SLURM (Debian's munge, slurmctld, slurmd; as root, on this machine, in a folder of its own): four
 * elements, one of which is killed and requeued. Left out where SLURM is not installed.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { editNifti, repeatedAlongZ } from "../golden/cli/edit_nifti.ts";
import { GOLDEN, inTempFolder, namesIn } from "../golden/cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const MODEL = join(GOLDEN, "models/iso_ct_two_folds");
const IMAGE = join(GOLDEN, "images/iso_ct_two_folds/test_000_0000.nii.gz");
const CASES = ["a", "b", "c", "d", "e", "f", "g", "h"];
const READY =
  (await sh("command -v munged && command -v slurmctld && command -v slurmd && test $(id -u) = 0")).code === 0;

async function sh(command: string, env: Readonly<Record<string, string>> = {}) {
  const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command], env }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function configuration(folder: string, host: string): string {
  return [
    "ClusterName=example",
    `SlurmctldHost=${host}(127.0.0.1)`,
    "SlurmUser=root",
    "AuthType=auth/munge",
    "CredType=cred/munge",
    // cred_expire: a requeued job starts after so many seconds instead of 120.
    `AuthInfo=socket=${folder}/munge.socket,cred_expire=6`,
    "SlurmctldPort=36817",
    "SlurmdPort=36818",
    `StateSaveLocation=${folder}/state`,
    `SlurmdSpoolDir=${folder}/spool`,
    `SlurmctldPidFile=${folder}/slurmctld.pid`,
    `SlurmdPidFile=${folder}/slurmd.pid`,
    `SlurmctldLogFile=${folder}/slurmctld.log`,
    `SlurmdLogFile=${folder}/slurmd.log`,
    "ProctrackType=proctrack/linuxproc",
    "TaskPlugin=task/none",
    "SelectType=select/cons_tres",
    "SelectTypeParameters=CR_CPU",
    "SlurmdParameters=config_overrides",
    "SchedulerParameters=sched_interval=1,batch_sched_delay=0",
    "MinJobAge=3600",
    `NodeName=${host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN`,
    `PartitionName=all Nodes=${host} Default=YES MaxTime=INFINITE State=UP`,
    "",
  ].join("\n");
}

/** Ends what it has started, by number. */
async function startSlurm(
  folder: string,
): Promise<AsyncDisposable & { readonly env: Readonly<Record<string, string>> }> {
  const host = Deno.hostname().split(".")[0];
  const env = { SLURM_CONF: join(folder, "slurm.conf") };
  await Deno.chmod(folder, 0o755);
  for (const name of ["state", "spool"]) await Deno.mkdir(join(folder, name));
  await Deno.writeTextFile(env.SLURM_CONF, configuration(folder, host));
  await Deno.writeFile(join(folder, "munge.key"), crypto.getRandomValues(new Uint8Array(1024)), { mode: 0o400 });
  // By sh, which the tests may run.
  const start = (command: string) =>
    new Deno.Command("sh", { args: ["-c", `exec ${command}`], env, stdin: "null", stdout: "null", stderr: "null" })
      .spawn();
  const places = ["key-file=munge.key", "socket=munge.socket", "pid-file=munge.pid", "log-file=munge.log"];
  const flags = [...places, "seed-file=munge.seed"].map((one) => `--${one.replace("=", `=${folder}/`)}`).join(" ");
  const children = [start(`munged --foreground --force ${flags}`)];
  await until(() => sh(`test -S ${folder}/munge.socket`), ({ code }) => code === 0);
  children.push(start("slurmctld -D -i"), start(`slurmd -D -N ${host}`));
  await until(() => sh("sinfo -h -o %t", env), ({ stdout }) => /idle/.test(stdout));
  return {
    env,
    async [Symbol.asyncDispose]() {
      for (const child of children.reverse()) {
        child.kill("SIGTERM");
        await child.status;
      }
    },
  };
}

async function until<T>(ask: () => Promise<T>, isReached: (answer: T) => boolean): Promise<T> {
  for (let tries = 0;; tries++) {
    const answer = await ask();
    if (isReached(answer)) return answer;
    if (tries === 240) throw new Error(`not reached within a minute: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function makeInputs(folder: string): Promise<{ images: string; program: string }> {
  const images = join(folder, "images");
  await Deno.mkdir(images);
  for (const id of CASES) await editNifti(IMAGE, join(images, `${id}_0000.nii.gz`), repeatedAlongZ(12));
  const program = join(folder, "nnunet");
  const permissions = "--allow-read --allow-write --allow-env --allow-sys";
  const command = `exec deno run --quiet --no-prompt --frozen ${permissions} '${
    join(ROOT, "main.ts")
  }' "$@" --threads 1`;
  await Deno.writeTextFile(program, `#!/bin/sh\necho $$ > "$OUT.$SLURM_ARRAY_TASK_ID.pid"\n${command}\n`, {
    mode: 0o755,
  });
  return { images, program };
}

Deno.test({
  name: "a SLURM array of four, one killed and requeued, does each case once",
  ignore: !READY,
  fn: () =>
    inTempFolder(async (folder) => {
      const { images, program } = await makeInputs(folder);
      await using slurm = await startSlurm(folder);
      const out = join(folder, "out");
      const env = { ...slurm.env, NNUNET: program, MODEL, IMAGES: images, OUT: out, FOLD: "0" };
      const submitted = await sh(
        `cd ${folder} && sbatch --parsable ${join(ROOT, "examples/slurm/predict.sbatch")}`,
        env,
      );
      assertEquals(submitted.code, 0, submitted.stderr);
      const job = submitted.stdout.trim();
      const log = (id: number) => Deno.readTextFile(join(folder, `nnunet-predict-${id}.log`)).catch(() => "");
      await until(() => log(1), (text) => text.includes("[1/2] b: "));
      assertEquals((await sh(`kill -9 $(cat ${out}.1.pid)`)).code, 0);
      const stateOf = (id: number) => sh(`scontrol show job ${job}_${id}`, env);
      const killed = await until(
        () => stateOf(1),
        ({ stdout }) => !/JobState=(RUNNING|PENDING|COMPLETING)/.test(stdout),
      );
      assert(/JobState=FAILED/.test(killed.stdout), killed.stdout.slice(0, 400));
      const requeued = await sh(`scontrol requeue ${job}_1`, env);
      assertEquals(requeued.code, 0, requeued.stderr);
      for (const id of [0, 1, 2, 3]) {
        const ended = await until(() => stateOf(id), ({ stdout }) => /JobState=(COMPLETED|FAILED)/.test(stdout));
        assert(ended.stdout.includes("JobState=COMPLETED"), await log(id));
      }
      const logs = await Promise.all([0, 1, 2, 3].map(log));
      const written = logs.map((text) => [...text.matchAll(/^\[\d+\/\d+\] (\w): .* -> /gm)].map(([, id]) => id));
      assertEquals(written, [["a", "e"], ["b", "f"], ["c", "g"], ["d", "h"]], logs.join("\n"));
      for (const text of logs) assert(text.includes("by SLURM's array, SLURM_ARRAY_TASK_ID="), text);
      const cases = (await namesIn(out)).filter((name) => name.endsWith(".nii.gz"));
      assertEquals(cases, CASES.map((id) => `${id}.nii.gz`));
    }),
});
