/**
 * What `docker-opts --apply` does to Docker: makes the network in the engine that runs, or puts the drop-in beside the
 * unit that starts it. Never both, for one subnet has one network, and never a restart of Docker.
 */

import type { DockerUnit } from '../docker/docker-unit.ts';
import { dropIn, execStart } from '../docker/drop-in.ts';
import { type EngineNetwork, readNetworks } from '../docker/engine.ts';
import { EngineClient, EngineError, engineSocket } from '../docker/engine-client.ts';
import { type NetworkPlan, type NetworkWish, planNetwork } from '../docker/managed-network.ts';
import { NETWORK_NAME } from '../docker/names.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { parseCidr } from '../net/cidr.ts';
import { type DockerOptions, setInDaemonJson } from '../subnet/docker-opts.ts';
import type { Environment } from './given.ts';

/** What was done, or was so already. */
export interface Applied {
  readonly applied: 'network' | 'docker0' | 'dropin';
  readonly changed: boolean;
  readonly text: string;
}

/** dockerd refuses to start with one option in both places; and whoever set them there means them. */
export async function requireFreeOptions(unit: DockerUnit): Promise<void> {
  const text = await unit.readDaemonJson();
  const set = text === undefined ? [] : setInDaemonJson(text);
  const path = unit.daemonJsonPath;
  if (set === undefined)
    throw conflict(
      'daemon-json',
      `${path} is not JSON, so Docker does not start.`,
      'Correct it, then run this again.',
    );
  if (set.length === 0) return;
  const keys = set.map((key) => `"${key}"`).join(', ');
  throw conflict(
    'daemon-json',
    `${path} already sets ${keys}, and Docker does not start where an option is there and on its command line.`,
    `Remove ${keys} from it, then run this again.`,
  );
}

export async function applyNetwork(
  options: DockerOptions,
  unit: DockerUnit,
  environment: Environment,
): Promise<Applied> {
  const socket = engineSocket(environment).path;
  try {
    const client = await EngineClient.connect(socket);
    const plan = planNetwork(await readNetworks(client, 'all'), client.apiMinor, wishOf(options));
    // Docker would find the subnet taken at its next start, and not start.
    if (plan.kind === 'create' && (await unit.readDropIn()) !== undefined) throw dropInWaits(unit);
    return await carryOut(plan, client, options);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new TsflannelError(
      refuse(
        'docker-engine',
        EXIT.failed,
        `Docker at ${socket} does not do it: ${error.message}.`,
        'Look whether "docker info" works here, then run this again. For a Docker that is not running: --format dropin --apply.',
      ),
      { cause: error },
    );
  }
}

async function carryOut(plan: NetworkPlan, client: EngineClient, options: DockerOptions): Promise<Applied> {
  const subnet = leaseText(options);
  switch (plan.kind) {
    case 'refuse':
      throw new TsflannelError(plan.refusal);
    case 'docker0':
      return {
        applied: 'docker0',
        changed: false,
        text: `Docker's default bridge docker0 has this host's subnet ${subnet} already; there is nothing to do.`,
      };
    case 'keep':
      return {
        applied: 'network',
        changed: false,
        text: `The Docker network ${NETWORK_NAME} has ${subnet} already.`,
      };
    case 'create':
      if (plan.remove !== null) await client.delete(`/networks/${plan.remove}`);
      await client.post('/networks/create', plan.request);
      return {
        applied: 'network',
        changed: true,
        text:
          `The Docker network ${NETWORK_NAME} has this host's subnet ${subnet}. Use it with "docker run --network ${NETWORK_NAME}", or in compose.yaml:\n` +
          `networks:\n  default:\n    name: ${NETWORK_NAME}\n    external: true\n`,
      };
  }
}

/** Takes effect when Docker starts the next time, which is for the user to choose. */
export async function applyDropIn(
  options: DockerOptions,
  subnetFile: string,
  unit: DockerUnit,
  environment: Environment,
): Promise<Applied> {
  const ours = await ourNetwork(environment);
  if (ours !== undefined)
    throw conflict(
      'subnet-in-docker',
      `The Docker network ${NETWORK_NAME} has this host's subnet, so Docker would not start with docker0 on it.`,
      `Remove it first: "docker network rm ${NETWORK_NAME}".`,
    );
  const text = await dropInText(options, subnetFile, unit);
  const path = unit.dropInPath;
  const changed = (await unit.readDropIn()) !== text;
  if (changed) await unit.writeDropIn(text).catch((cause: Error) => Promise.reject(notWritten(path, cause)));
  return {
    applied: 'dropin',
    changed,
    text: changed
      ? `${path} is written. Run "systemctl daemon-reload && systemctl restart docker" when its containers may stop.`
      : `${path} is as it has to be already.`,
  };
}

export async function dropInText(
  { bip, bip6 }: DockerOptions,
  subnetFile: string,
  unit: DockerUnit,
): Promise<string> {
  const command = execStart(await unit.texts());
  if (command !== undefined) return dropIn(command, { subnetFile, ipv4: bip !== null, ipv6: bip6 !== null });
  throw new TsflannelError(
    refuse(
      'no-docker-unit',
      EXIT.failed,
      'This host has no docker.service with an ExecStart to make a drop-in from.',
      'Install Docker first, or start dockerd with the options that "tsflannel docker-opts" prints.',
    ),
  );
}

/** As far as an engine answers: one that does not run cannot be asked. */
async function ourNetwork(environment: Environment): Promise<EngineNetwork | undefined> {
  try {
    const client = await EngineClient.connect(engineSocket(environment).path);
    return (await readNetworks(client)).find(({ name }) => name === NETWORK_NAME);
  } catch (error) {
    if (error instanceof EngineError) return undefined;
    throw error;
  }
}

function wishOf({ bip, bip6, mtu, ipMasq }: DockerOptions): NetworkWish {
  const subnets = [bip, bip6].filter((text) => text !== null).map(parseCidr);
  const size = Number(mtu);
  if (subnets.includes(undefined) || !Number.isSafeInteger(size))
    throw new TsflannelError(
      refuse(
        'invalid-subnet-file',
        EXIT.failed,
        `subnet.env is not understood: its subnets are ${bip ?? 'none'} and ${bip6 ?? 'none'}, its MTU ${mtu}.`,
        'Restart the agent; it writes subnet.env anew.',
      ),
    );
  return { subnets: subnets.filter((subnet) => subnet !== undefined), mtu: size, masquerade: ipMasq ?? true };
}

function leaseText(options: DockerOptions): string {
  return wishOf(options).subnets.join(' and ');
}

function dropInWaits(unit: DockerUnit): TsflannelError {
  return conflict(
    'drop-in-waits',
    `Docker puts docker0 on this host's subnet when it starts the next time, by ${unit.dropInPath}, and one subnet has one network.`,
    'Restart Docker to use docker0, or remove that file and run "systemctl daemon-reload" and this again to use a network.',
  );
}

function notWritten(path: string, cause: Error): TsflannelError {
  const refusal = refuse(
    'not-written',
    EXIT.failed,
    `${path} cannot be written: ${cause.message}.`,
    'Run this as root.',
  );
  return new TsflannelError(refusal, { cause });
}

function conflict(code: string, text: string, fix: string): TsflannelError {
  return new TsflannelError(refuse(code, EXIT.conflict, text, fix));
}
