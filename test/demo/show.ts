/**
 * One showing of the demo: four hosts, a cluster by one `init` and three `join`s, containers on every host, and what
 * they reach. Nothing here knows how tsflannel works; it types what a user would.
 */
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Agent, executable } from '../lab/agent.ts';
import { fourHosts, routed } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { startEngine } from '../support/docker-engine.ts';
import { matrix, pingFrom, tcpFrom, withServers } from './checks.ts';
import { engineGuest, type Guest, plainGuest } from './guest.ts';
import type { Stage } from './stage.ts';

/** The hosts whose containers are Docker's, where there is an engine: two on one L2. */
const ENGINE_HOSTS = ['a', 'b'];

export interface ShowOptions {
  readonly keep: boolean;
  readonly docker: boolean;
}

export interface Showing {
  /** False when any container did not reach another. */
  readonly reached: boolean;
  /** Why there was no engine; null when there was one, or none was asked for. */
  readonly engineMissing: string | null;
}

export async function show(stage: Stage, options: ShowOptions): Promise<Showing> {
  const lab = await Lab.create();
  try {
    const agents = await startHosts(stage, lab);
    await startCluster(stage, agents);
    const { guests, engineMissing } = await startGuests(stage, lab, agents, options.docker);
    const reached = await checkReach(stage, guests);
    await showPaths(stage, agents, guests);
    if (options.keep) keep(stage, lab);
    return { reached, engineMissing };
  } catch (error) {
    stage.output(lab.report());
    throw error;
  } finally {
    if (!options.keep) {
      stage.say('Removing the hosts');
      await lab[Symbol.asyncDispose]();
    }
  }
}

async function startHosts(stage: Stage, lab: Lab): Promise<readonly Agent[]> {
  stage.say('Four hosts: a, b and c on one L2, d behind a router');
  const { a, b, c, d } = await fourHosts(lab);
  mkdirSync(join(lab.directory, 'bin'));
  symlinkSync(executable(), join(lab.directory, 'bin', 'tsflannel'));
  stage.table(
    [a, b, c, d].map((host) => [`host ${host.name}`, host.address, `network namespace ${host.netns}`]),
  );
  return [a, b, c, d].map((host) => new Agent(host));
}

async function startCluster(stage: Stage, agents: readonly Agent[]): Promise<void> {
  const [first, ...others] = agents;
  if (first === undefined) throw new Error('the demo has hosts');
  const voters = agents.slice(0, 3).map(({ host }) => host.address);
  stage.say('One command makes the cluster');
  const printed = await startAgent(
    stage,
    first,
    ['init', '--peers', voters.join(',')],
    /tsflannel join .*\n/,
  );
  const [, joinLine = ''] = /tsflannel (join .*)/.exec(printed) ?? [];
  stage.say('One line joins a host: the one that init printed');
  for (const agent of others)
    await startAgent(stage, agent, joinLine.trim().split(/\s+/), /^written .*subnet\.env\n/m);
  await eventually('three voters', async () => ((await first.status()).raft.voters === 3 ? true : undefined));
  await routed(agents);
  stage.say('The cluster');
  for (const command of ['status', 'members', 'leases']) await typeCommand(stage, first, command);
  stage.say('What Docker gets');
  for (const { host, subnetFile } of agents) await type(stage, host, ['cat', subnetFile]);
}

/** In the foreground, as in a terminal of its own; resolves with what it printed, once that holds what is said when it
 *  is ready. The log of the paths goes on behind that. */
async function startAgent(
  stage: Stage,
  agent: Agent,
  args: readonly string[],
  readyText: RegExp,
): Promise<string> {
  const { host } = agent;
  const screen = join(host.directory, 'screen');
  stage.command(host.name, ['tsflannel', ...args]);
  // Not a pipe and not of this session: a kept host outlives the demo.
  const shell = ['setsid', 'sh', '-c', 'exec "$@" >>"$0" 2>&1', screen];
  writeFileSync(screen, '');
  const env = { ...agent.env, TSFLANNEL_LOG_FORMAT: 'pretty' };
  const program = host.start([...shell, executable(), ...args], { env });
  const printed = await eventually(`tsflannel ${args[0]} on host ${host.name} is ready`, () => {
    const text = readFileSync(screen, 'utf8');
    return readyText.test(text) || !program.running ? text : undefined;
  });
  stage.output(printed);
  if (!program.running) throw new Error(`tsflannel ${args[0]} ended on host ${host.name}`);
  return printed;
}

interface Guests {
  readonly guests: readonly Guest[];
  readonly engineMissing: string | null;
}

async function startGuests(
  stage: Stage,
  lab: Lab,
  agents: readonly Agent[],
  docker: boolean,
): Promise<Guests> {
  stage.say('A container on every host');
  const guests: Guest[] = [];
  let engineMissing: string | null = null;
  for (const agent of agents) {
    const engine = docker && engineMissing === null && ENGINE_HOSTS.includes(agent.host.name);
    const guest = engine
      ? await startDocker(stage, agent).catch((error: unknown) => {
          engineMissing = error instanceof Error ? error.message : String(error);
          stage.output(engineMissing);
          return plainGuest(lab, agent);
        })
      : await plainGuest(lab, agent);
    guests.push(guest);
  }
  stage.table(
    guests.map((guest) => [
      `host ${guest.host}`,
      `container ${guest.address}`,
      guest.engine ? 'of a Docker engine' : 'a plain network namespace',
    ]),
  );
  return { guests, engineMissing };
}

async function startDocker(stage: Stage, agent: Agent): Promise<Guest> {
  const { host } = agent;
  const { FLANNEL_SUBNET: subnet, FLANNEL_MTU: mtu } = agent.subnetEnv() ?? {};
  const flags = [`--bip=${subnet}`, `--mtu=${mtu}`];
  stage.command(host.name, ['dockerd', ...flags]);
  const engine = await startEngine(host.netns, host.directory, flags);
  stage.output(`Docker ${engine.version} is up`);
  stage.command(host.name, ['docker', 'run', '-itd', '--name', `box-${host.name}`, 'busybox']);
  return engineGuest(engine, host.name);
}

async function checkReach(stage: Stage, guests: readonly Guest[]): Promise<boolean> {
  stage.say('Ping from every container to every other');
  const pings = await matrix(guests, pingFrom);
  stage.table(pings.rows);
  stage.say('TCP from every container to every other, and the source address that arrives');
  const connections = await withServers(guests, () => matrix(guests, tcpFrom));
  stage.table(connections.rows);
  return pings.reached === pings.asked && connections.reached === connections.asked;
}

async function showPaths(stage: Stage, agents: readonly Agent[], guests: readonly Guest[]): Promise<void> {
  const [a, b, , d] = guests;
  const [first] = agents;
  if (a === undefined || b === undefined || d === undefined || first === undefined) return;
  stage.say('The way from container to container on one L2: gateway, other host, container');
  await typeInside(stage, a, ['traceroute', '-n', '-q', '1', b.address]);
  stage.say('And to the host behind the router, through flannel.1');
  await typeInside(stage, a, ['traceroute', '-n', '-q', '1', d.address]);
  stage.say('The routes of host a');
  await typeCommand(stage, first, 'routes');
  await type(stage, first.host, ['ip', 'route', 'show']);
}

/** Typed as `docker exec`, run in the same network with the host's traceroute. */
async function typeInside(stage: Stage, guest: Guest, argv: readonly string[]): Promise<void> {
  stage.command(guest.host, [...guest.prompt, ...argv]);
  stage.output(await guest.namespace.run(argv));
}

async function type(stage: Stage, on: Namespace, argv: readonly string[]): Promise<void> {
  stage.command(on.name, argv);
  stage.output(await on.run(argv));
}

async function typeCommand(stage: Stage, agent: Agent, command: string): Promise<void> {
  stage.command(agent.host.name, ['tsflannel', command]);
  const { stdout, stderr } = await agent.cli([command]);
  stage.output(stdout + stderr);
}

/** Leaves two scripts beside the hosts: one to enter, one to remove them. */
function keep(stage: Stage, lab: Lab): void {
  const directory = lab.directory;
  const enter = join(directory, 'enter');
  const remove = join(directory, 'remove');
  const demo = fileURLToPath(new URL('demo.js', import.meta.url));
  const dir = `${directory}/$host`;
  const lines = [
    '#!/bin/sh',
    '# enter HOST [COMMAND...]',
    'host=$1; shift || exit 2',
    `exec ip netns exec "${lab.prefix}-$host" env PATH="${directory}/bin:$PATH" PS1="$host# " \\`,
    `  TSFLANNEL_DATA_DIR="${dir}/data" TSFLANNEL_RUN_DIR="${dir}/run" TSFLANNEL_SUBNET_FILE="${dir}/subnet.env" \\`,
    `  DOCKER_HOST="unix://${dir}/docker.sock" "\${@:-sh}"`,
  ];
  writeFileSync(enter, `${lines.join('\n')}\n`);
  writeFileSync(remove, `#!/bin/sh\nexec ${process.execPath} ${demo} --remove ${directory}\n`);
  for (const script of [enter, remove]) chmodSync(script, 0o755);
  lab.keep();
  stage.say('The hosts stay. To enter one, and to remove them all:');
  stage.table([[`${enter} a tsflannel status`], [`${enter} b`], [remove]]);
}
