/**
 * What this host had before, best first: its own cache, subnet.env of the same network (flannel's or ours), and the
 * subnet that a bridge of Docker stands on. Hints for a new lease only; read once, before anything is written.
 */
import { PREVIOUS_SUBNETS_MAX } from '../config/limits.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { LEASE_BRIDGES } from '../docker/names.ts';
import { type Cidr, cidrCovers, cidrOf } from '../net/cidr.ts';
import type { LinkAddress } from '../net/link.ts';
import { subnetsOf } from '../subnet/lease.ts';
import { readLeaseCache } from '../subnet/lease-cache.ts';
import { parseSubnetFile, previousSubnets, readSubnetFile } from '../subnet/subnet-file.ts';

export interface PreviousSubnets {
  of(config: NetworkConfig): readonly Cidr[];
}

export async function readPreviousSubnets(
  leaseCache: string,
  subnetFile: string,
  addresses: readonly LinkAddress[],
): Promise<PreviousSubnets> {
  const own = (await readLeaseCache(leaseCache))?.snapshot.own ?? null;
  const text = await readSubnetFile(subnetFile);
  const file = parseSubnetFile(text ?? '');
  const bridged = addresses
    .filter(({ iface }) => LEASE_BRIDGES.includes(iface))
    .map(({ ip, prefixLength }) => cidrOf(ip, prefixLength));
  return {
    of: (config) => {
      const networks = [config.Network, config.IPv6Network].filter((network) => network !== undefined);
      const hints = [...(own === null ? [] : subnetsOf(own)), ...previousSubnets(file, config), ...bridged];
      const inside = hints.filter((hint) => networks.some((network) => cidrCovers(network, hint)));
      return [...new Set(inside)].slice(0, PREVIOUS_SUBNETS_MAX);
    },
  };
}
