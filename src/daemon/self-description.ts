/** What this host tells the cluster of itself. Pure. */
import { tunnelled } from '../backend/backend.ts';
import { vtepMac } from '../backend/vxlan.ts';
import type { SelfDescription } from '../cluster/lease-holder.ts';
import type { AgentOptions } from '../config/agent-options.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { controlAddress, type Selection } from '../path/interface-selection.ts';
import type { NodeId } from '../subnet/lease.ts';

/** Null while the interface or the configuration is not known. */
export function describeSelf(
  options: AgentOptions,
  nodeId: NodeId,
  selection: Selection | null,
  config: NetworkConfig | null,
): SelfDescription | null {
  if (selection === null || config === null) return null;
  const { host, publicIp, publicIpv6 } = selection;
  const backend = config.Backend;
  return {
    profile: { name: options.name, address: controlAddress(selection), port: options.port },
    attributes: {
      publicIp,
      publicIpv6: config.EnableIPv6 ? publicIpv6 : null,
      interfaceIp: host.address,
      linkMtu: host.mtu,
      backendType: backend.Type,
      backendData: tunnelled(backend) ? { VNI: backend.VNI, VtepMAC: vtepMac(nodeId) } : null,
    },
  };
}
