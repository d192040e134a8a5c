/**
 * What the engine of this host makes necessary, from what it says of itself and from what is in the kernel; the kernel
 * alone tells where no engine answers (it is stopped, or starts later). Pure.
 *
 *   Docker up to 27, or none          accepts in DOCKER-USER
 *   28 and later, with iptables       and an accept in the table raw
 *   29 and later, with nftables       the mark that the engine was told to accept; the rest only the engine can do
 *   a network that is nat-unprotected outsiders are kept from the lease by us
 */
import { type Cidr, cidrFamily } from '../net/cidr.ts';
import type { DockerBridges } from './docker-bridges.ts';
import { takesEverything } from './filter-table.ts';
import type { FirewallConfig, FirewallEngine, FirewallFamily, FirewallProblem } from './firewall.ts';
import type { IptablesTables } from './iptables.ts';
import { rawDrops } from './raw-table.ts';
import type { Surroundings } from './rules.ts';

/** What we tell users to give the engine; any other that it has serves as well. */
export const ACCEPT_MARK = '0x40000000/0x40000000';
/** The first that drops in the table raw. */
const RAW_DROP_MAJOR = 28;

export interface EngineNeeds extends Surroundings {
  readonly raw: boolean;
  readonly policy: 'ACCEPT' | 'DROP' | null;
  readonly problems: readonly FirewallProblem[];
}

/** What was seen in the kernel. */
export interface Seen {
  readonly tables: IptablesTables;
  /** Null where Docker's nftables backend was never at work. */
  readonly docker: DockerBridges | null;
}

/** `turnedOn`: this host forwards because of us. */
export function engineNeeds(
  { engine, forwardRules }: FirewallConfig,
  { subnet }: FirewallFamily,
  { tables, docker }: Seen,
  turnedOn: boolean,
): EngineNeeds {
  const isNftables = engine === null ? docker !== null : engine.firewallBackend === 'nftables';
  const isOpen =
    engine === null
      ? takesEverything(tables.filter) || docker?.unprotected === true
      : isUnprotected(engine, subnet);
  const drops = (engine !== null && majorOf(engine) >= RAW_DROP_MAJOR) || rawDrops(tables.raw, subnet);
  return {
    raw: forwardRules && !isNftables && drops,
    // With its nftables backend Docker's accepts are not final either: the policy would keep its containers in.
    policy: turnedOn ? (isNftables ? 'ACCEPT' : 'DROP') : null,
    guardLease: turnedOn || isOpen,
    forwardOnlyFor: turnedOn && isNftables ? (docker?.bridges ?? []) : null,
    acceptMark: isNftables && forwardRules ? (docker?.acceptMark ?? null) : null,
    problems: isNftables && forwardRules && !isOpen ? problems(engine, subnet, docker) : [],
  };
}

function problems(
  engine: FirewallEngine | null,
  subnet: Cidr,
  docker: DockerBridges | null,
): readonly FirewallProblem[] {
  const holdsLease = engine?.networks.some(({ subnets }) => subnets.includes(subnet)) === true;
  const needsMark = holdsLease && docker?.dropsUnpublished === true && docker.acceptMark === null;
  const needsRouting = docker?.dropsDirect === true;
  if (!needsMark && !needsRouting) return [];
  const options = [
    ...(docker.acceptMark === null ? [`"bridge-accept-fwmark": "${ACCEPT_MARK}"`] : []),
    '"allow-direct-routing": true',
  ];
  return [
    {
      code: 'docker-nftables-drops',
      severity: 'error',
      text: `Docker's nftables backend drops what other hosts send to the containers in ${subnet}, and rules of others cannot open it.`,
      fix: `Set ${options.join(' and ')} in /etc/docker/daemon.json and restart Docker, or move the containers to the network that "tsflannel docker-opts --apply" makes.`,
    },
  ];
}

function isUnprotected({ networks }: FirewallEngine, subnet: Cidr): boolean {
  const mode = `com.docker.network.bridge.gateway_mode_ipv${cidrFamily(subnet)}`;
  return networks.some(
    ({ subnets, options }) => subnets.includes(subnet) && options[mode] === 'nat-unprotected',
  );
}

function majorOf({ version }: FirewallEngine): number {
  return Number(/^\d+/.exec(version)?.[0] ?? 0);
}
