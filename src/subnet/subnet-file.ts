/**
 * subnet.env: what Docker starts from. The text is flannel's to the byte, because units and scripts read it. Reading
 * follows flannel's rules for its own previous file, which is somebody else's text: bounded, and anything odd is
 * nothing rather than an error.
 */
import { readFileBounded, writeFileAtomic } from '../config/atomic-file.ts';
import { SUBNET_FILE_BYTES_MAX } from '../config/limits.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { type Cidr, cidrBase, cidrFamily, cidrLength, parseCidr } from '../net/cidr.ts';
import { type Family, ipAdd } from '../net/ip.ts';

export interface SubnetFile {
  readonly config: NetworkConfig;
  readonly subnet: Cidr | null;
  readonly ipv6Subnet: Cidr | null;
  readonly mtu: number;
  readonly ipMasq: boolean;
}

/** What a previous file says the host had; null is nothing, or more than one. */
export interface PreviousSubnet {
  readonly network: Cidr | null;
  readonly subnet: Cidr | null;
  readonly ipv6Network: Cidr | null;
  readonly ipv6Subnet: Cidr | null;
}

export function formatSubnetFile({ config, subnet, ipv6Subnet, mtu, ipMasq }: SubnetFile): string {
  const lines: string[] = [];
  if (config.EnableIPv4 && config.Network !== undefined && subnet !== null)
    lines.push(`FLANNEL_NETWORK=${config.Network}`, `FLANNEL_SUBNET=${gatewayCidr(subnet)}`);
  if (config.EnableIPv6 && config.IPv6Network !== undefined && ipv6Subnet !== null)
    lines.push(
      `FLANNEL_IPV6_NETWORK=${config.IPv6Network}`,
      `FLANNEL_IPV6_SUBNET=${gatewayCidr(ipv6Subnet)}`,
    );
  lines.push(`FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${ipMasq}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** The first usable address, with the length: what the bridge gets. Not a Cidr, its host bits are set. */
export function gatewayCidr(subnet: Cidr): string {
  return `${ipAdd(cidrBase(subnet), 1)}/${cidrLength(subnet)}`;
}

/** The variables of an env file: the last of two wins, quotes and `export` are taken off, the rest is ignored. */
export function parseEnvFile(text: string): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    variables.set(match[1], unquote(match[2]));
  }
  return variables;
}

export function parseSubnetFile(text: string): PreviousSubnet {
  const variables = parseEnvFile(text);
  const cidr = (name: string, family: Family) => onlyCidr(variables.get(name) ?? '', family);
  return {
    network: cidr('FLANNEL_NETWORK', 4),
    subnet: cidr('FLANNEL_SUBNET', 4),
    ipv6Network: cidr('FLANNEL_IPV6_NETWORK', 6),
    ipv6Subnet: cidr('FLANNEL_IPV6_SUBNET', 6),
  };
}

/** The previous subnets as hints for a new lease: only of the same network. */
export function previousSubnets(previous: PreviousSubnet, config: NetworkConfig): readonly Cidr[] {
  const { network, subnet, ipv6Network, ipv6Subnet } = previous;
  return [
    network !== null && network === config.Network ? subnet : null,
    ipv6Network !== null && ipv6Network === config.IPv6Network ? ipv6Subnet : null,
  ].filter((hint) => hint !== null);
}

/** 0644 whatever the umask, and whole: dockerd may read it at any moment. */
export async function writeSubnetFile(path: string, file: SubnetFile): Promise<void> {
  await writeFileAtomic(path, formatSubnetFile(file), { mode: 0o644, parentMode: 0o755 });
}

/** The text; undefined where there is no such file. Other errors are the caller's. */
export async function readSubnetFile(path: string): Promise<string | undefined> {
  const bytes = await readFileBounded(path, SUBNET_FILE_BYTES_MAX);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** A comma list of which exactly one item must be a CIDR of the family; bad items do not count. */
function onlyCidr(text: string, family: Family): Cidr | null {
  const cidrs = text
    .split(',')
    .map((item) => parseCidr(item.trim()))
    .filter((cidr) => cidr !== undefined && cidrFamily(cidr) === family);
  return cidrs.length === 1 ? (cidrs[0] ?? null) : null;
}

function unquote(value: string): string {
  const match = /^(["'])(.*)\1$/.exec(value);
  return match?.[2] ?? value.replace(/\s+#.*$/, '');
}
