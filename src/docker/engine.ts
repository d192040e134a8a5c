/**
 * What the Docker engine of this host is, has and runs, as far as it concerns the container network: one plain record,
 * parsed strictly from an engine that may be anybody's. Reads and never changes anything. Null elsewhere means that no
 * engine answers, which is a state and no error.
 */
import { boolean, DecodeError, Fields, list, type Parser, text } from '../config/strict-json.ts';
import { type Cidr, parseCidr } from '../net/cidr.ts';
import type { EngineClient } from './engine-client.ts';

export type FirewallBackend = 'iptables' | 'nftables';

export interface EngineFacts {
  /** `20.10.24+dfsg1`: for people and for what no probe tells. */
  readonly version: string;
  /** What is spoken with it: `1.41`. */
  readonly apiVersion: string;
  readonly firewallBackend: FirewallBackend;
  /** Where it takes the subnets of networks from that are made without one. Null: its built-in ones. */
  readonly addressPools: readonly Cidr[] | null;
  /** In the order of their ids. */
  readonly networks: readonly EngineNetwork[];
}

export interface EngineNetwork {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  /** Of the driver `bridge`: its device. */
  readonly device: string | null;
  readonly subnets: readonly Cidr[];
  readonly ipv6: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** The names of the containers on it, sorted: those that run, unless all were asked for. */
  readonly containers: readonly string[];
}

const NETWORKS_MAX = 4_096;
const CONTAINERS_MAX = 16_384;
const POOLS_MAX = 256;
const ENTRIES_MAX = 256;
const BRIDGE_NAME = 'com.docker.network.bridge.name';

/** Networks and containers change, the rest not before the engine ends. Throws EngineError. */
export type EngineInfo = Pick<EngineFacts, 'version' | 'apiVersion' | 'firewallBackend' | 'addressPools'>;

export async function readEngineInfo(client: EngineClient): Promise<EngineInfo> {
  const { version, apiVersion } = client;
  return { version, apiVersion, ...(await client.get('/info', parseInfo)) };
}

export async function readNetworks(
  client: EngineClient,
  which: 'running' | 'all' = 'running',
): Promise<readonly EngineNetwork[]> {
  const path = `/containers/json${which === 'all' ? '?all=1' : ''}`;
  const containers = await client.get(path, list(parseContainer, CONTAINERS_MAX));
  const networks = await client.get('/networks', list(parseNetwork, NETWORKS_MAX));
  return networks
    .map((network) => ({ ...network, containers: namesOn(network, containers) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

interface AttachedContainer {
  readonly name: string;
  /** By id; by name where it was not started yet. */
  readonly networks: ReadonlySet<string>;
}

function namesOn(
  network: { readonly id: string; readonly name: string },
  containers: readonly AttachedContainer[],
): readonly string[] {
  return containers
    .filter(({ networks }) => networks.has(network.id) || networks.has(network.name))
    .map(({ name }) => name)
    .sort();
}

const ID: Parser<string> = text(/^[\x21-\x7e]{1,64}$/);
/** What is shown to people holds nothing that a terminal obeys. */
const WORD: Parser<string> = text(/^\P{Cc}{0,255}$/u);

/** Engines say more with each version: what is not asked for is not looked at. */
function parseInfo(value: unknown): Pick<EngineFacts, 'firewallBackend' | 'addressPools'> {
  const fields = new Fields(value);
  return {
    // Before API 1.49 there was one only. With firewalld beside it the word is `nftables+firewalld`.
    firewallBackend: optional(fields, 'FirewallBackend', parseBackend) ?? 'iptables',
    addressPools: optional(fields, 'DefaultAddressPools', list(parsePool, POOLS_MAX)) ?? null,
  };
}

function parseBackend(value: unknown): FirewallBackend {
  return new Fields(value).get('Driver', WORD).startsWith('nftables') ? 'nftables' : 'iptables';
}

function parsePool(value: unknown): Cidr {
  return new Fields(value).get('Base', anyCidr);
}

function parseNetwork(value: unknown): Omit<EngineNetwork, 'containers'> {
  const fields = new Fields(value);
  const id = fields.get('Id', ID);
  const driver = fields.get('Driver', WORD);
  const options = optional(fields, 'Options', dictionary) ?? {};
  return {
    id,
    name: fields.get('Name', WORD),
    driver,
    device: driver === 'bridge' ? (options[BRIDGE_NAME] ?? `br-${id.slice(0, 12)}`) : null,
    subnets: optional(fields, 'IPAM', parseIpam) ?? [],
    ipv6: optional(fields, 'EnableIPv6', boolean) ?? false,
    options,
    labels: optional(fields, 'Labels', dictionary) ?? {},
  };
}

function parseIpam(value: unknown): readonly Cidr[] {
  const subnet = (config: unknown): Cidr | undefined => optional(new Fields(config), 'Subnet', anyCidr);
  const configs = optional(new Fields(value), 'Config', list(subnet, ENTRIES_MAX)) ?? [];
  return configs.filter((each) => each !== undefined);
}

function parseContainer(value: unknown): AttachedContainer {
  const fields = new Fields(value);
  const [name = fields.get('Id', ID).slice(0, 12)] = optional(fields, 'Names', list(WORD, ENTRIES_MAX)) ?? [];
  const settings = optional(fields, 'NetworkSettings', (each) => new Fields(each));
  const networks = settings === undefined ? {} : (optional(settings, 'Networks', object) ?? {});
  const attached = Object.entries(networks).map(
    ([key, each]) => new Fields(each).get('NetworkID', WORD) || key,
  );
  return { name: name.replace(/^\//, ''), networks: new Set(attached) };
}

/** Engines leave out what is empty, or say null. */
function optional<T>(fields: Fields, key: string, parse: Parser<T>): T | undefined {
  return fields.has(key)
    ? fields.get(key, (value) => (value === null ? undefined : parse(value)))
    : undefined;
}

function anyCidr(value: unknown): Cidr {
  const cidr = typeof value === 'string' ? parseCidr(value) : undefined;
  if (cidr === undefined) throw new DecodeError('not a CIDR');
  return cidr;
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DecodeError('not an object');
  const entries = Object.entries(value);
  if (entries.length > ENTRIES_MAX) throw new DecodeError(`more than ${ENTRIES_MAX} entries`);
  return Object.fromEntries(entries);
}

/** Of options and labels, which are compared and never shown. */
function dictionary(value: unknown): Readonly<Record<string, string>> {
  const isText = (entry: [string, unknown]): entry is [string, string] => typeof entry[1] === 'string';
  return Object.fromEntries(Object.entries(object(value)).filter(isText));
}
