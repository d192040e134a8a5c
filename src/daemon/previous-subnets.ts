/**
 * What this host had before, best first: its own cache, subnet.env of the same network (flannel's or ours), and the
 * subnet that Docker's bridge stands on. Hints for a new lease only; read once, before anything is written.
 */
import type { NetworkConfig } from '../config/network-config.ts';
import { type Cidr, cidrCovers, cidrOf } from '../net/cidr.ts';
import type { LinkAddress } from '../net/link.ts';
import { readLeaseCache } from '../subnet/lease-cache.ts';
import { parseSubnetFile, previousSubnet, readSubnetFile } from '../subnet/subnet-file.ts';

const DOCKER_BRIDGE = 'docker0';

export interface PreviousSubnets {
  of(config: NetworkConfig): readonly Cidr[];
}

export async function readPreviousSubnets(
  leaseCache: string,
  subnetFile: string,
  addresses: readonly LinkAddress[],
): Promise<PreviousSubnets> {
  const cached = (await readLeaseCache(leaseCache))?.snapshot.own?.subnet ?? null;
  const text = await readSubnetFile(subnetFile);
  const file = parseSubnetFile(text ?? '');
  const bridge = addresses.find(({ iface }) => iface === DOCKER_BRIDGE);
  const bridged = bridge === undefined ? null : cidrOf(bridge.ip, bridge.prefixLength);
  return {
    of: (config) => {
      const hints = [cached, previousSubnet(file, config), bridged];
      const inside = hints.filter(
        (hint) => hint !== null && config.Network !== undefined && cidrCovers(config.Network, hint),
      );
      return [...new Set(inside.filter((hint) => hint !== null))];
    },
  };
}
