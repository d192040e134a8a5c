/**
 * The rules that Docker sets up for its bridge docker0 with one container, per version, as its own documentation gives
 * them; and how to lay them into a namespace as an engine at its start does: what is in DOCKER-USER stays, and so does a
 * jump to it that is there already.
 */
import { run } from '../command.ts';
import type { Host } from '../lab.ts';
import type { IptablesVariant } from './lab-firewall.ts';

export interface Bridge {
  /** `10.5.2.0/24` */
  readonly subnet: string;
  /** Of the one container. */
  readonly container: string;
}

export interface DockerRules {
  /** As the matrix calls it. */
  readonly name: string;
  /** As the engine gives it. */
  readonly version: string;
  /** Chains of the table filter, DOCKER-USER apart. */
  readonly chains: readonly string[];
  readonly filter: (bridge: Bridge) => readonly string[];
  readonly raw: (bridge: Bridge) => readonly string[];
}

const ISOLATION = ['DOCKER-ISOLATION-STAGE-1', 'DOCKER-ISOLATION-STAGE-2'];
const ISOLATION_RULES = [
  '-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2',
  '-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP',
];
const DROP_UNPUBLISHED = '-A DOCKER ! -i docker0 -o docker0 -j DROP';
const DROP_DIRECT = ({ container }: Bridge): readonly string[] => [
  `-A PREROUTING -d ${container}/32 ! -i docker0 -j DROP`,
];

/** Up to 27 nothing drops what the policy would let through. */
const UP_TO_27 = {
  chains: ['DOCKER', ...ISOLATION],
  filter: () => [
    '-A FORWARD -j DOCKER-ISOLATION-STAGE-1',
    '-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-A FORWARD -o docker0 -j DOCKER',
    '-A FORWARD -i docker0 ! -o docker0 -j ACCEPT',
    '-A FORWARD -i docker0 -o docker0 -j ACCEPT',
    ...ISOLATION_RULES,
  ],
  raw: () => [],
};

export const DOCKER_RULES: readonly DockerRules[] = [
  { name: '20.10', version: '20.10.24', ...UP_TO_27 },
  { name: '27', version: '27.5.1', ...UP_TO_27 },
  {
    name: '28.0',
    version: '28.0.4',
    chains: ['DOCKER', 'DOCKER-BRIDGE', 'DOCKER-CT', 'DOCKER-FORWARD', ...ISOLATION],
    filter: () => [
      // In front of everything, as it stands until the engine has put DOCKER-USER back to the top.
      '-I FORWARD 1 -j DOCKER-FORWARD',
      '-A DOCKER-FORWARD -j DOCKER-CT',
      '-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1',
      '-A DOCKER-FORWARD -j DOCKER-BRIDGE',
      '-A DOCKER-FORWARD -i docker0 -j ACCEPT',
      '-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A DOCKER-BRIDGE -o docker0 -j DOCKER',
      DROP_UNPUBLISHED,
      ...ISOLATION_RULES,
    ],
    raw: DROP_DIRECT,
  },
  {
    name: '28.2',
    version: '28.2.2',
    chains: ['DOCKER', 'DOCKER-BRIDGE', 'DOCKER-CT', 'DOCKER-FORWARD', ...ISOLATION],
    filter: () => [
      '-A FORWARD -j DOCKER-FORWARD',
      '-A DOCKER-FORWARD -j DOCKER-CT',
      '-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1',
      '-A DOCKER-FORWARD -j DOCKER-BRIDGE',
      '-A DOCKER-FORWARD -i docker0 -j ACCEPT',
      '-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A DOCKER-BRIDGE -o docker0 -j DOCKER',
      DROP_UNPUBLISHED,
      ...ISOLATION_RULES,
    ],
    raw: DROP_DIRECT,
  },
  {
    name: '29',
    version: '29.7.2',
    chains: ['DOCKER', 'DOCKER-BRIDGE', 'DOCKER-CT', 'DOCKER-FORWARD', 'DOCKER-INTERNAL'],
    filter: () => [
      '-A FORWARD -j DOCKER-FORWARD',
      '-A DOCKER-FORWARD -j DOCKER-CT',
      '-A DOCKER-FORWARD -j DOCKER-INTERNAL',
      '-A DOCKER-FORWARD -j DOCKER-BRIDGE',
      '-A DOCKER-FORWARD -i docker0 -j ACCEPT',
      '-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A DOCKER-BRIDGE -o docker0 -j DOCKER',
      DROP_UNPUBLISHED,
    ],
    raw: DROP_DIRECT,
  },
];

/** An engine starts on this host. */
export async function startDocker(
  host: Host,
  variant: IptablesVariant,
  rules: DockerRules,
  bridge: Bridge,
): Promise<void> {
  const exists = (await host.tryRun([`iptables-${variant}`, '-n', '-L', 'DOCKER-USER'])).code === 0;
  // Only an engine that turns forwarding on sets the policy.
  const turnsOn = (await host.sysctl('net.ipv4.ip_forward')) === '0';
  const filter = [
    ...rules.chains.map((chain) => `:${chain} - [0:0]`),
    ...(exists ? [] : [':DOCKER-USER - [0:0]', '-A FORWARD -j DOCKER-USER']),
    '-A DOCKER-USER -j RETURN',
    ...rules.filter(bridge),
    ...(turnsOn ? ['-P FORWARD DROP'] : []),
  ];
  const nat = [
    ':DOCKER - [0:0]',
    '-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
    '-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER',
    `-I POSTROUTING 1 -s ${bridge.subnet} ! -o docker0 -j MASQUERADE`,
    '-A DOCKER -i docker0 -j RETURN',
  ];
  const raw = rules.raw(bridge);
  const input = [
    ...['*filter', ...filter, 'COMMIT', '*nat', ...nat, 'COMMIT'],
    ...(raw.length === 0 ? [] : ['*raw', ...raw, 'COMMIT']),
  ];
  await host.run([`iptables-${variant}-restore`, '--noflush'], { input: `${input.join('\n')}\n` });
  if (turnsOn) await host.sysctl('net.ipv4.ip_forward', 1);
}

export interface NftablesOptions {
  /** `bridge-accept-fwmark` and `allow-direct-routing`. */
  readonly isTold: boolean;
  /** The network's gateway mode is nat-unprotected. */
  readonly isUnprotected: boolean;
}

/** The same of an engine with the nftables backend, which does not start on a host that does not forward. */
export async function startNftablesDocker(
  host: Host,
  { subnet, container }: Bridge,
  { isTold, isUnprotected }: NftablesOptions,
): Promise<void> {
  const dropDirect = `ip daddr ${container} iifname != "docker0" counter drop comment "DROP DIRECT ACCESS"`;
  const acceptMark = 'meta mark and 1073741824 == 1073741824 counter accept comment "ALLOW FW MARK"';
  const last = isUnprotected
    ? 'counter accept comment "UNPROTECTED"'
    : 'counter drop comment "UNPUBLISHED PORT DROP"';
  const table = `table ip docker-bridges {
    map filter-forward-in-jumps {
      type ifname : verdict
      elements = { "docker0" : jump filter-forward-in__docker0 }
    }
    map filter-forward-out-jumps {
      type ifname : verdict
      elements = { "docker0" : jump filter-forward-out__docker0 }
    }
    map nat-postrouting-out-jumps {
      type ifname : verdict
      elements = { "docker0" : jump nat-postrouting-out__docker0 }
    }
    chain filter-FORWARD {
      type filter hook forward priority filter; policy accept;
      oifname vmap @filter-forward-in-jumps
      iifname vmap @filter-forward-out-jumps
    }
    chain nat-POSTROUTING {
      type nat hook postrouting priority srcnat; policy accept;
      iifname vmap @nat-postrouting-out-jumps
    }
    chain raw-PREROUTING {
      type filter hook prerouting priority raw; policy accept;
      ${isTold || isUnprotected ? '' : dropDirect}
    }
    chain filter-forward-in__docker0 {
      ct state established,related counter accept
      ${isTold ? acceptMark : ''}
      iifname "docker0" counter accept comment "ICC"
      ${last}
    }
    chain filter-forward-out__docker0 {
      ct state established,related counter accept
      counter accept comment "OUTGOING"
    }
    chain nat-postrouting-out__docker0 {
      oifname != "docker0" ip saddr ${subnet} counter masquerade comment "MASQUERADE"
    }
  }`;
  await host.run(['nft', '-f', '-'], { input: table });
}

/** Nobody's rules any more, and no forwarding, as after a boot. */
export async function bareHost(host: Host): Promise<void> {
  const legacy = ['filter', 'nat', 'raw'].map(
    (table) => `*${table}\n${table === 'raw' ? '' : ':FORWARD ACCEPT\n'}COMMIT\n`,
  );
  await host.run(['iptables-legacy-restore'], {
    input: legacy.join('').replace('*nat\n:FORWARD ACCEPT\n', '*nat\n'),
  });
  await host.run(['nft', 'flush', 'ruleset']);
  await host.sysctl('net.ipv4.ip_forward', 0);
  await run(['rm', '-rf', `${host.directory}/run`]);
}
