/**
 * What of the engine's networks keeps containers from the container network, as sentences. Warnings all of them: what
 * is on the lease works. Pure.
 */
import { type Cidr, cidrCovers, cidrsOverlap, toCidr } from '../net/cidr.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { EngineFacts, EngineNetwork } from './engine.ts';
import { DEFAULT_BRIDGE } from './names.ts';

export interface ContainerNetwork {
  /** Of the whole cluster, one a family. */
  readonly networks: readonly Cidr[];
  /** Of this host, one a family. */
  readonly leases: readonly Cidr[];
}

/** The oldest engine that is tested. */
const OLDEST = [20, 10] as const;
/** Where an engine that was told nothing takes subnets from. */
const BUILT_IN_POOLS: readonly Cidr[] = [
  ...['172.17.0.0/16', '172.18.0.0/16', '172.19.0.0/16', '172.20.0.0/14', '172.24.0.0/14', '172.28.0.0/14'],
  '192.168.0.0/16',
].map(toCidr);
const NAMES_SHOWN_MAX = 5;

export function engineProblems(facts: EngineFacts, wanted: ContainerNetwork): readonly Problem[] {
  return [
    ...ageProblems(facts.version),
    ...outsideProblems(facts.networks, wanted),
    ...overlapProblems(facts, wanted),
  ];
}

/** There is an engine, and nothing is known of it. */
export function engineFailure(reason: string): Problem {
  return warning(
    'docker-unreadable',
    `The Docker engine of this host cannot be asked what it runs: ${reason}.`,
    'Look whether "docker info" works; the agent goes by what the kernel shows meanwhile.',
  );
}

/** It holds the lease, or a part of it. */
export function isOnLease({ subnets }: EngineNetwork, leases: readonly Cidr[]): boolean {
  return subnets.some((subnet) => leases.some((lease) => cidrCovers(lease, subnet)));
}

function ageProblems(version: string): readonly Problem[] {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return []; // a build of somebody's own
  const age = Number(major) - OLDEST[0] || Number(minor) - OLDEST[1];
  if (age >= 0) return [];
  return [
    warning(
      'docker-too-old',
      `Docker ${version} is older than ${OLDEST.join('.')}, the oldest that is tested.`,
      'Update Docker on this host.',
    ),
  ];
}

function outsideProblems(
  networks: readonly EngineNetwork[],
  { leases }: ContainerNetwork,
): readonly Problem[] {
  const bridges = networks.filter(({ driver }) => driver === 'bridge');
  const inside = new Set(
    bridges.filter((network) => isOnLease(network, leases)).flatMap(({ containers }) => containers),
  );
  const outside = bridges
    .map((network) => ({ ...network, containers: network.containers.filter((name) => !inside.has(name)) }))
    .filter(({ containers }) => containers.length > 0);
  const lease = leases.join(' and ');
  const byDefault = outside.filter(({ name }) => name === DEFAULT_BRIDGE);
  const others = outside.filter(({ name }) => name !== DEFAULT_BRIDGE);
  return [
    ...byDefault.map(({ containers, subnets }) =>
      warning(
        'docker0-outside-lease',
        `${counted(containers)} on docker0 (${subnets.join(', ')}), not in this host's subnet ${lease}, so other hosts do not reach them: ${shown(containers)}.`,
        'Start Docker with the options of "tsflannel docker-opts", or run them on the network that "tsflannel docker-opts --apply" makes.',
      ),
    ),
    ...(others.length === 0 ? [] : [userNetworksProblem(others, lease)]),
  ];
}

function userNetworksProblem(networks: readonly EngineNetwork[], lease: string): Problem {
  const containers = [...new Set(networks.flatMap((network) => network.containers))].sort();
  const where = shown(networks.map(({ name }) => name).sort());
  return warning(
    'containers-outside-lease',
    `${counted(containers)} on Docker networks of their own (${where}), not in this host's subnet ${lease}, so other hosts do not reach them: ${shown(containers)}.`,
    'Make the network with "tsflannel docker-opts --apply" and name it in compose.yaml: networks: {default: {name: tsflannel, external: true}}.',
  );
}

function overlapProblems(
  { networks, addressPools }: EngineFacts,
  wanted: ContainerNetwork,
): readonly Problem[] {
  const overlaps = (subnet: Cidr): boolean =>
    wanted.networks.some((network) => cidrsOverlap(network, subnet));
  const whole = wanted.networks.join(' and ');
  const fix = 'Set "default-address-pools" in /etc/docker/daemon.json to ranges outside of it';
  const pools = (addressPools ?? BUILT_IN_POOLS).filter(overlaps);
  return [
    ...networks
      .filter((network) => network.subnets.some(overlaps) && !isOnLease(network, wanted.leases))
      .map(({ name, subnets }) =>
        warning(
          'docker-network-overlap',
          `Docker network ${name} (${subnets.join(', ')}) lies in the container network ${whole}, so this host does not reach the hosts whose subnet it covers.`,
          name === DEFAULT_BRIDGE
            ? 'Start Docker with the options of "tsflannel docker-opts".'
            : `Remove it with "docker network rm ${name}". ${fix}, and it will not come back there.`,
        ),
      ),
    ...(pools.length === 0
      ? []
      : [
          warning(
            'docker-pool-overlap',
            `Docker takes the subnets of new networks from ${pools.join(', ')}, which overlaps the container network ${whole}.`,
            `${fix} and restart Docker.`,
          ),
        ]),
  ];
}

function counted(containers: readonly string[]): string {
  return containers.length === 1 ? '1 container runs' : `${containers.length} containers run`;
}

function shown(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  const first = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  return more > 0 ? `${first} and ${more} more` : first;
}

function warning(code: string, text: string, fix: string): Problem {
  return { code, severity: 'warning', text, fix };
}
