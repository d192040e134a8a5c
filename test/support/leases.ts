/** Leases and snapshots as the state machine makes them, for tests of what is done with them. */

import { tunnelled } from '../../src/backend/backend.ts';
import { vtepMac } from '../../src/backend/vxlan.ts';
import type { BackendConfig, NetworkConfig } from '../../src/config/network-config.ts';
import { parseNetworkConfig } from '../../src/config/network-config.ts';
import { toCidr } from '../../src/net/cidr.ts';
import { toIp } from '../../src/net/ip.ts';
import {
  type Lease,
  type LeaseSnapshot,
  type NodeId,
  toClusterTime,
  toNodeId,
} from '../../src/subnet/lease.ts';

export interface LeaseHost {
  /** Third byte of its subnet, and the tail of its node id. */
  readonly number: number;
  readonly address: string;
  readonly linkMtu?: number;
}

export function nodeIdOf(number: number): NodeId {
  return toNodeId(number.toString(16).padStart(8, '0').repeat(4));
}

/** As a user writes it: `{"Type":"vxlan"}`. */
export function networkConfig(backend: object, network = '10.5.0.0/16'): NetworkConfig {
  const parsed = parseNetworkConfig(JSON.stringify({ Network: network, Backend: backend }));
  if (!parsed.ok) throw new Error(parsed.refusal.text);
  return parsed.config;
}

export function lease({ number, address, linkMtu = 1500 }: LeaseHost, backend: BackendConfig): Lease {
  const nodeId = nodeIdOf(number);
  return {
    subnet: toCidr(`10.5.${number}.0/24`),
    ipv6Subnet: null,
    nodeId,
    attributes: {
      publicIp: toIp(address),
      publicIpv6: null,
      interfaceIp: toIp(address),
      linkMtu,
      backendType: backend.Type,
      backendData: tunnelled(backend) ? { VNI: backend.VNI, VtepMAC: vtepMac(nodeId) } : null,
    },
    state: 'active',
    expiresAt: toClusterTime(86_400_000),
  };
}

/** What `own` sees of `hosts`, itself among them or not. */
export function snapshot(
  config: NetworkConfig,
  own: LeaseHost,
  hosts: readonly LeaseHost[],
): LeaseSnapshot<NetworkConfig> {
  return {
    index: 1,
    config,
    own: lease(own, config.Backend),
    peers: hosts.filter(({ number }) => number !== own.number).map((host) => lease(host, config.Backend)),
    memberIps: hosts.map(({ address }) => toIp(address)),
  };
}
