/** The command `serve`: models that stay loaded, and images that come over HTTP. */
import { checkServe, SERVE } from "../flags/serve_flags.ts";
import { defineCommand } from "./command.ts";

export const serveCommand = defineCommand({
  flags: SERVE,
  examples: [
    { does: "Serve a model to this machine's programs", args: "-m MODEL_FOLDER" },
    {
      does: "Two models below four gigabytes, on a port that is free, jobs by paths as well",
      args: "-m ct=MODEL_FOLDER -m mr=OTHER_FOLDER --max-memory 4G --port 0 --root /data/images",
    },
    {
      does: "To other machines, with a token and https",
      args: "-m MODEL_FOLDER --host 0.0.0.0 --token-file token.txt --tls-cert cert.pem --tls-key key.pem",
    },
  ],
  details: [
    "With --stdio a line on stdin like " +
    '{"id":1,"files":["ct_0000.nii.gz"],"output":"organs.nii.gz"} is answered by lines of the types progress, result or ' +
    "error with its id; examples/nnunet_client.py uses it from Python.",
    "The first line on stdout says where it listens; /docs there says what it answers, /openapi.json the same for " +
    "programs. An image is sent, its job asked for, its segmentation fetched: " +
    "curl -F image=@ct_0000.nii.gz http://127.0.0.1:8765/jobs",
    "Ctrl-C or SIGTERM ends it within 20 seconds; the running job is finished by then or left, with all that wait, to " +
    "the next service with this state folder.",
  ],
  check: checkServe,
  async run(values, context) {
    // Loaded only now, so that --help and usage errors start nothing.
    const { runService } = await import("../serve/run_service.ts");
    await runService(values, context);
    return true;
  },
});
