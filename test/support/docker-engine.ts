/**
 * A real Docker engine on a host of the lab: its own daemon and containerd, mount namespace, images and socket, all
 * under one directory and in one network namespace, so that nothing of it touches an engine of the machine. There is
 * no registry to pull from; the image `busybox` is made from the machine's static busybox. The engine outlives the
 * process that started it; the removal of the lab ends it like everything else in the namespace.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { type RunOptions, run, tryRun } from '../lab/command.ts';
import { eventually } from '../lab/eventually.ts';
import { Namespace } from '../lab/namespace.ts';

const START_TIMEOUT_MS = 60_000;
const CGROUP_PREFIX = 'tsflannel-lab-';
/** What a test or a user calls in a container. */
const APPLETS = [
  'sh',
  'cat',
  'echo',
  'httpd',
  'ip',
  'nc',
  'nslookup',
  'ping',
  'sleep',
  'traceroute',
  'true',
  'wget',
];

/** /run of the machine is hidden from it, and `ip netns exec` has hidden the cgroups. */
const PREPARE = [
  'mount --make-rprivate /',
  'mount -t tmpfs none /run',
  'mkdir -p /run/lock /run/docker',
  'mount -t cgroup2 none /sys/fs/cgroup',
  'exec "$@"',
].join(' && ');

export interface DockerContainer {
  /** Of its first process, as the machine counts. */
  readonly pid: number;
  readonly address: string;
  /** Empty where its network has no IPv6. */
  readonly ipv6: string;
  /** Its network, for the machine's own programs. */
  readonly namespace: Namespace;
}

/** A namespace that is known by a process in it and not by name. */
class ProcessNamespace extends Namespace {
  readonly #pid: number;

  constructor(name: string, pid: number) {
    super(name, `/proc/${pid}/ns/net`);
    this.#pid = pid;
  }

  override command(argv: readonly string[]): readonly string[] {
    return ['nsenter', `--target=${this.#pid}`, '--net', ...argv];
  }
}

export interface Engine extends AsyncDisposable {
  /** Of the daemon: `20.10.24+dfsg1`. */
  readonly version: string;
  /** `unix://...`, for DOCKER_HOST. */
  readonly socket: string;
  /** The output of `docker ...`, which must succeed. */
  docker(args: readonly string[], options?: RunOptions): Promise<string>;
  /** `docker run -itd --name NAME ...OPTIONS busybox`. */
  runContainer(name: string, options?: readonly string[]): Promise<DockerContainer>;
  /** Removes the containers and ends the engine; images stay for a next start in the same directory. */
  stop(): Promise<void>;
}

/** `directory` is the host's own; `flags` go to dockerd as they are. Resolves when the engine answers. */
export async function startEngine(
  netns: string,
  directory: string,
  flags: readonly string[],
): Promise<Engine> {
  sweepCgroups();
  const socket = `unix://${join(directory, 'docker.sock')}`;
  const log = join(directory, 'dockerd.log');
  const cgroup =
    CGROUP_PREFIX + basename(dirname(directory)).slice(CGROUP_PREFIX.length) + basename(directory);
  const daemon = startDaemon(log, [
    ...['ip', 'netns', 'exec', netns, 'unshare', '--mount', 'sh', '-ec', PREPARE, 'sh', 'dockerd'],
    ...['--data-root', join(directory, 'docker'), '--exec-root', '/run/docker', '-p', '/run/docker.pid'],
    ...['-H', socket, '--storage-driver', 'overlay2', '--cgroup-parent', `/${cgroup}`],
    ...flags,
  ]);
  const { client, version } = await answering(daemon, socket, log);
  const docker = (args: readonly string[], options?: RunOptions): Promise<string> =>
    run([client, '-H', socket, ...args], options);
  await loadBusybox(docker, directory);
  const stop = async (): Promise<void> => {
    if (daemon.exitCode !== null || daemon.signalCode !== null) return;
    const containers = (await docker(['ps', '--all', '--quiet'])).split('\n').filter(Boolean);
    if (containers.length > 0) await docker(['rm', '--force', ...containers]);
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await ended;
    sweepCgroups();
  };
  return {
    version,
    socket,
    docker,
    stop,
    runContainer: async (name, options = []) => {
      await docker(['run', '-itd', '--name', name, ...options, 'busybox']);
      const format =
        '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}';
      const [pid, address = '', ipv6 = ''] = (await docker(['inspect', '--format', format, name]))
        .trim()
        .split(' ');
      return { pid: Number(pid), address, ipv6, namespace: new ProcessNamespace(name, Number(pid)) };
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Each word replaces the one before it as the same process, so this is the pid of dockerd. */
function startDaemon(log: string, [file = '', ...args]: readonly string[]): ChildProcess {
  const fd = openSync(log, 'a');
  const daemon = spawn(file, args, { detached: true, stdio: ['ignore', fd, fd] });
  closeSync(fd);
  daemon.unref();
  return daemon;
}

/** A client speaks only to engines of some years around its own: the first on the PATH that this one understands. */
async function answering(
  daemon: ChildProcess,
  socket: string,
  log: string,
): Promise<{ readonly client: string; readonly version: string }> {
  const clients = executables('docker');
  if (clients.length === 0) throw new Error('no docker client is installed; install docker.io');
  let failed: Error | undefined;
  daemon.once('error', (cause) => {
    failed = new Error(`the engine could not be started: ${cause.message}`, { cause });
  });
  const answer = await eventually(
    `an answer of the engine at ${socket}`,
    async () => {
      if (failed === undefined && daemon.exitCode !== null)
        failed = new Error(`dockerd ended with ${daemon.exitCode}:\n${lastLines(log)}`);
      if (failed !== undefined) return failed;
      for (const client of clients) {
        const { code, stdout } = await tryRun([
          ...[client, '-H', socket],
          ...['version', '--format', '{{.Server.Version}}'],
        ]);
        if (code === 0) return { client, version: stdout.trim() };
      }
      return undefined;
    },
    START_TIMEOUT_MS,
  ).catch((cause: unknown) => new Error(`the engine does not answer:\n${lastLines(log)}`, { cause }));
  if (!(answer instanceof Error)) return answer;
  daemon.kill('SIGKILL');
  throw answer;
}

async function loadBusybox(docker: Engine['docker'], directory: string): Promise<void> {
  if ((await docker(['images', '--quiet', 'busybox'])).trim() !== '') return;
  const [busybox] = executables('busybox');
  if (busybox === undefined)
    throw new Error('there is no busybox to make an image of; install busybox-static');
  const root = join(directory, 'busybox');
  mkdirSync(join(root, 'bin'), { recursive: true });
  copyFileSync(busybox, join(root, 'bin', 'busybox'));
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  const tar = join(directory, 'busybox.tar');
  await run(['tar', '--create', '--owner=0', '--group=0', '--file', tar, '--directory', root, 'bin']);
  await docker(['import', '--change', 'CMD ["sh"]', tar, 'busybox']);
  rmSync(root, { recursive: true });
  rmSync(tar);
}

function executables(name: string): readonly string[] {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, name))
    .filter((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** An engine that was killed leaves its containers' cgroups behind, empty. Those of engines that run are refused. */
export function sweepCgroups(): void {
  // Of its own or beside the old ones: whoever started this machine has decided where it is.
  const [, root] = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/self/mounts', 'utf8')) ?? [];
  if (root === undefined) return;
  for (const name of readdirSync(root).filter((entry) => entry.startsWith(CGROUP_PREFIX)))
    removeCgroup(join(root, name));
}

function removeCgroup(path: string): void {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isDirectory()) removeCgroup(join(path, entry.name));
    rmdirSync(path);
  } catch (error) {
    // In use, or gone by another's hand: not ours to remove.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EBUSY' && code !== 'ENOENT') throw error;
  }
}

function lastLines(log: string): string {
  return readFileSync(log, 'utf8').split('\n').slice(-20).join('\n');
}
