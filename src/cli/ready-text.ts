/** What a start has to say when the agent is ready: the facts at a glance, and the line for the next host. Pure. */
import { type BackendConfig, type NetworkConfig, subnetRange } from '../config/network-config.ts';
import { FAMILIES } from '../net/ip.ts';
import type { InitReady, Ready } from './launcher.ts';
import type { Report } from './output.ts';
import { both, orDash, pairs, shortId } from './table.ts';

export function initReport(ready: InitReady): Report {
  const { clusterId, token, joinCommand, node, lease } = ready;
  return {
    document: { clusterId, token, joinCommand, node, lease },
    text: `${facts(ready)}\n\nOn every other host run\n\n  ${joinCommand}\n`,
  };
}

export function joinReport(ready: Ready): Report {
  const { node, lease } = ready;
  return { document: { node, lease }, text: facts(ready) };
}

function facts({ clusterId, node, lease, network, previousSubnets, subnetFile }: Ready): string {
  return pairs([
    ['cluster', clusterId],
    ['node', `${node.name} (${shortId(node.id)})`],
    ['interface', `${orDash(node.iface)}, address ${both(node.publicIp, node.publicIpv6)}`],
    ['network', networkText(network)],
    ['backend', backendText(network.Backend)],
    [
      'lease',
      `${both(lease.subnet, lease.ipv6Subnet)}, mtu ${lease.mtu}, previous subnet ${previousSubnets.join(', ') || 'none'}`,
    ],
    ['expires', `${orDash(lease.expiresAt)}, renewed before`],
    ['written', subnetFile],
  ]);
}

function networkText(config: NetworkConfig): string {
  return FAMILIES.flatMap((family) => {
    const range = subnetRange(config, family);
    if (range === null) return [];
    return `${range.network}, subnets /${range.length} from ${range.min} to ${range.max}`;
  }).join('; ');
}

function backendText(backend: BackendConfig): string {
  switch (backend.Type) {
    case 'alloc':
      return 'alloc (leases only)';
    case 'host-gw':
      return backend.Fallback === 'none' ? 'host-gw' : `host-gw, else vxlan (${tunnelText(backend)})`;
    case 'vxlan':
      return `vxlan (${tunnelText(backend)})`;
  }
}

function tunnelText({ VNI, Port }: { readonly VNI: number; readonly Port: number }): string {
  return `VNI ${VNI}, port ${Port}`;
}
