/**
 * The network configuration: flannel's JSON in, the normalised form out (flannel's own key names, every default filled
 * in, CIDRs masked). Same keys, defaults, order of checks and error texts as flannel; the documented differences are
 * the default backend (host-gw) and bounds that flannel leaves to the kernel. Pure; the text is hostile until parsed.
 */
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type { Cidr } from '../net/cidr.ts';
import { FAMILIES, type Family, type Ip } from '../net/ip.ts';
import { parseInteger } from './address.ts';
import {
  type BackendConfig,
  backendType,
  type HostGwBackend,
  parseBackend,
  type VxlanBackend,
} from './backend-config.ts';
import { GoFields, GoJsonError } from './go-json.ts';
import { CONFIG_BYTES_MAX, TUNNEL_MTU_IPV6_MIN, VNI_IPV6_MAX } from './limits.ts';
import { checkRange, readRange, type SubnetRange } from './subnet-range.ts';

export type { AllocBackend, BackendConfig, HostGwBackend, VxlanBackend } from './backend-config.ts';

export interface Ipv4Range {
  readonly Network: Cidr;
  readonly SubnetLen: number;
  readonly SubnetMin: Ip;
  readonly SubnetMax: Ip;
}
export interface Ipv6Range {
  readonly IPv6Network: Cidr;
  readonly IPv6SubnetLen: number;
  readonly IPv6SubnetMin: Ip;
  readonly IPv6SubnetMax: Ip;
}

export interface NetworkConfig extends Partial<Ipv4Range>, Partial<Ipv6Range> {
  readonly EnableIPv4: boolean;
  readonly EnableIPv6: boolean;
  readonly EnableNFTables: boolean;
  readonly Backend: BackendConfig;
}

/** A configuration, or why it is none (exit code 2). */
export type NetworkConfigResult =
  | { readonly ok: true; readonly config: NetworkConfig }
  | { readonly ok: false; readonly refusal: Refusal };

/** The network options of `init`, as text. They override the file. */
export interface NetworkOptions {
  readonly network?: string;
  readonly subnetLen?: string;
  readonly subnetMin?: string;
  readonly subnetMax?: string;
  readonly backend?: string;
}

/** What `init` uses when neither a file nor --network is given. */
export const DEFAULT_NETWORK = '10.5.0.0/16';

export function parseNetworkConfig(text: string): NetworkConfigResult {
  return attempt(() => networkConfig(configFields(parseText(text))));
}

/** For a value that came out of a larger JSON document. */
export function networkConfigFromJson(value: unknown): NetworkConfigResult {
  return attempt(() => networkConfig(configFields(value)));
}

/** The flags over the text of `--config FILE`, or over the defaults where there is no file. */
export function networkConfigFromOptions(options: NetworkOptions, fileText?: string): NetworkConfigResult {
  return attempt(() => {
    const fields = configFields(fileText === undefined ? { Network: DEFAULT_NETWORK } : parseText(fileText));
    if (options.network !== undefined) fields.set('Network', options.network);
    if (options.subnetLen !== undefined) fields.set('SubnetLen', subnetLength(options.subnetLen));
    if (options.subnetMin !== undefined) fields.set('SubnetMin', options.subnetMin);
    if (options.subnetMax !== undefined) fields.set('SubnetMax', options.subnetMax);
    return networkConfig(fields, options.backend?.toLowerCase());
  });
}

/** The normalised JSON, in flannel's order of keys. */
export function formatNetworkConfig(config: NetworkConfig): string {
  return JSON.stringify(config, null, 2);
}

/** What the network has, IPv4 first. */
export function networkFamilies(config: NetworkConfig): readonly Family[] {
  return FAMILIES.filter((family) => subnetRange(config, family) !== null);
}

/** Where the subnets of a family come from; null in a network without it. */
export function subnetRange(config: NetworkConfig, family: Family): SubnetRange | null {
  const [network, length, min, max] =
    family === 4
      ? [config.Network, config.SubnetLen, config.SubnetMin, config.SubnetMax]
      : [config.IPv6Network, config.IPv6SubnetLen, config.IPv6SubnetMin, config.IPv6SubnetMax];
  if (network === undefined || length === undefined || min === undefined || max === undefined) return null;
  return { network, length, min, max };
}

function configFields(value: unknown): GoFields {
  return new GoFields(value, { name: 'Config', type: 'subnet.Config' });
}

/** `--backend` replaces the type only: the options of a file stay where the other backend has them too. */
function networkConfig(fields: GoFields, backendOverride?: string): NetworkConfig {
  const enableIpv4 = fields.boolean('EnableIPv4', true);
  const enableIpv6 = fields.boolean('EnableIPv6', false);
  const enableNftables = fields.boolean('EnableNFTables', false);
  const raw4 = readRange(fields, 4);
  const raw6 = readRange(fields, 6);
  const backend = fields.raw('Backend');
  const type = backendOverride ?? backendType(backend);
  const ipv4 = enableIpv4 ? checkRange(raw4, 4) : null;
  const ipv6 = enableIpv6 ? checkRange(raw6, 6) : null;
  if (ipv4 === null && ipv6 === null) throw new GoJsonError('none defined stack');
  const config = parseBackend(type, backend);
  if (ipv6 !== null && 'VNI' in config) checkTunnelForIpv6(config);
  return {
    EnableIPv4: enableIpv4,
    EnableIPv6: enableIpv6,
    EnableNFTables: enableNftables,
    ...(ipv4 && {
      Network: ipv4.network,
      SubnetLen: ipv4.length,
      SubnetMin: ipv4.min,
      SubnetMax: ipv4.max,
    }),
    ...(ipv6 && {
      IPv6Network: ipv6.network,
      IPv6SubnetLen: ipv6.length,
      IPv6SubnetMin: ipv6.min,
      IPv6SubnetMax: ipv6.max,
    }),
    Backend: config,
  };
}

function checkTunnelForIpv6({ VNI: vni, MTU: mtu }: HostGwBackend | VxlanBackend): void {
  if (vni > VNI_IPV6_MAX)
    throw new GoJsonError(`VNI must be at most ${VNI_IPV6_MAX} with EnableIPv6, not ${vni}`);
  if (mtu !== 0 && mtu < TUNNEL_MTU_IPV6_MIN)
    throw new GoJsonError(`MTU must be at least ${TUNNEL_MTU_IPV6_MIN} with EnableIPv6, not ${mtu}`);
}

function subnetLength(text: string): number {
  const length = parseInteger(text);
  if (length === undefined)
    throw new GoJsonError(`--subnet-len must be a number, not ${JSON.stringify(text)}`);
  return length;
}

function parseText(text: string): unknown {
  if (text.length > CONFIG_BYTES_MAX)
    throw new GoJsonError(`the network configuration is longer than ${CONFIG_BYTES_MAX} bytes`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/\s+/g, ' ') : 'unreadable';
    throw new GoJsonError(`the network configuration is not valid JSON: ${why}`, { cause });
  }
}

function attempt(parse: () => NetworkConfig): NetworkConfigResult {
  try {
    return { ok: true, config: parse() };
  } catch (error) {
    if (!(error instanceof GoJsonError)) throw error;
    return { ok: false, refusal: refuse('invalid-config', EXIT.usage, error.message, FIX) };
  }
}

const FIX =
  'Correct the network configuration; "tsflannel config validate FILE" checks one without changing anything.';
