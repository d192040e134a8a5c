/**
 * The network `tsflannel` in the engine of this host: Docker's own bridge driver on the lease, for containers that are
 * to have names and a network of their own (docker compose) and for engines that must not be restarted. Says what has
 * to be done for it to be as wanted, or why it cannot be: Docker refuses pools that overlap, so the lease is docker0's
 * or this network's. Only what carries our label is ever removed, and never from under a container. Pure.
 */
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { type Cidr, cidrBase, cidrFamily, cidrsOverlap } from '../net/cidr.ts';
import { ipAdd } from '../net/ip.ts';
import type { EngineNetwork } from './engine.ts';
import { DEFAULT_BRIDGE, NETWORK_DEVICE, NETWORK_NAME } from './names.ts';

export interface NetworkWish {
  /** The lease, one a family. */
  readonly subnets: readonly Cidr[];
  readonly mtu: number;
  /** Whether Docker masquerades what leaves for the world; else we do. */
  readonly masquerade: boolean;
}

export type NetworkPlan =
  | { readonly kind: 'create'; readonly remove: string | null; readonly request: object }
  /** It is as wanted. */
  | { readonly kind: 'keep' }
  /** docker0 has the lease: nothing to do, and nothing that could be. */
  | { readonly kind: 'docker0' }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

const LABEL = 'io.tsflannel.managed';
/** API 1.48 is Docker 28: with it came `nat-unprotected`, and the rules that need it. */
const UNPROTECTED_API_MINOR = 48;

/** The containers of the networks are all that are attached, also those that do not run: they name it by its id. */
export function planNetwork(
  networks: readonly EngineNetwork[],
  apiMinor: number,
  wish: NetworkWish,
): NetworkPlan {
  const existing = networks.find(({ name }) => name === NETWORK_NAME);
  if (existing !== undefined && existing.labels[LABEL] === undefined)
    return { kind: 'refuse', refusal: foreign() };
  const overlapping = networks.filter((network) => network !== existing && overlaps(network, wish));
  const [other] = overlapping;
  if (overlapping.some((network) => network.name === DEFAULT_BRIDGE && hasSubnet(network, wish)))
    return { kind: 'docker0' };
  if (other !== undefined) return { kind: 'refuse', refusal: overlap(other, wish) };
  const request = creation(wish, apiMinor);
  if (existing === undefined) return { kind: 'create', remove: null, request };
  if (isAsWanted(existing, wish, apiMinor)) return { kind: 'keep' };
  if (existing.containers.length > 0) return { kind: 'refuse', refusal: inUse(existing, wish) };
  return { kind: 'create', remove: existing.id, request };
}

function creation(wish: NetworkWish, apiMinor: number): object {
  const families = wish.subnets.map(cidrFamily);
  return {
    Name: NETWORK_NAME,
    Driver: 'bridge',
    // Two of one name are possible before Docker 25 otherwise.
    CheckDuplicate: true,
    EnableIPv6: families.includes(6),
    ...(families.includes(4) ? {} : { EnableIPv4: false }),
    IPAM: {
      Driver: 'default',
      Config: wish.subnets.map((subnet) => ({ Subnet: subnet, Gateway: ipAdd(cidrBase(subnet), 1) })),
    },
    Options: options(wish, apiMinor),
    Labels: { [LABEL]: 'true' },
  };
}

/** With `nat-unprotected` Docker does not drop what comes to unpublished ports from other hosts; that outsiders do not
 *  come in, our own rules see to. */
function options(
  { mtu, masquerade, subnets }: NetworkWish,
  apiMinor: number,
): Readonly<Record<string, string>> {
  const bridge = 'com.docker.network.bridge';
  const modes = subnets.map((subnet) => [
    `${bridge}.gateway_mode_ipv${cidrFamily(subnet)}`,
    'nat-unprotected',
  ]);
  return {
    [`${bridge}.name`]: NETWORK_DEVICE,
    [`${bridge}.enable_ip_masquerade`]: String(masquerade),
    'com.docker.network.driver.mtu': String(mtu),
    ...(apiMinor >= UNPROTECTED_API_MINOR && Object.fromEntries(modes)),
  };
}

function isAsWanted(network: EngineNetwork, wish: NetworkWish, apiMinor: number): boolean {
  const wanted = Object.entries(options(wish, apiMinor));
  return hasSubnet(network, wish) && wanted.every(([key, value]) => network.options[key] === value);
}

/** All of the lease, and nothing else; of a family that the lease has not, engines before 28 choose a subnet themselves. */
function hasSubnet(network: EngineNetwork, wish: NetworkWish): boolean {
  const families = wish.subnets.map(cidrFamily);
  const subnets = network.subnets.filter((subnet) => families.includes(cidrFamily(subnet)));
  return subnets.length === wish.subnets.length && wish.subnets.every((subnet) => subnets.includes(subnet));
}

function overlaps({ subnets }: EngineNetwork, wish: NetworkWish): boolean {
  return subnets.some((subnet) => wish.subnets.some((wanted) => cidrsOverlap(subnet, wanted)));
}

function foreign(): Refusal {
  return refuse(
    'network-not-ours',
    EXIT.conflict,
    `There is a Docker network ${NETWORK_NAME} already that tsflannel did not make.`,
    `Remove it with "docker network rm ${NETWORK_NAME}", or give it another name.`,
  );
}

function overlap({ name, subnets }: EngineNetwork, wish: NetworkWish): Refusal {
  const isDefault = name === DEFAULT_BRIDGE;
  const which = isDefault ? 'default bridge docker0' : `network ${name}`;
  return refuse(
    'subnet-in-docker',
    EXIT.conflict,
    `Docker's ${which} (${subnets.join(', ')}) overlaps this host's subnet ${wish.subnets.join(', ')}, and Docker lets no two networks overlap.`,
    isDefault
      ? 'Start Docker without --bip (or "bip" in daemon.json), then run this again; or with the --bip of "tsflannel docker-opts", then docker0 has the subnet.'
      : `Remove it with "docker network rm ${name}", then run this again.`,
  );
}

function inUse({ containers, subnets }: EngineNetwork, wish: NetworkWish): Refusal {
  const names = containers.slice(0, 5).join(', ');
  const more = containers.length > 5 ? ` and ${containers.length - 5} more` : '';
  return refuse(
    'network-in-use',
    EXIT.conflict,
    `The Docker network ${NETWORK_NAME} (${subnets.join(', ')}) is not as this host's subnet ${wish.subnets.join(', ')} needs it, and has containers: ${names}${more}.`,
    'Remove them ("docker compose down"), run this again, and start them anew.',
  );
}
