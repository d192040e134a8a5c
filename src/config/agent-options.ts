/** The options of an agent that are stored at `init` and `join`, with every default filled in. */
import type { Ip } from '../net/ip.ts';

export interface AgentOptions {
  readonly name: string;
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: Ip | null;
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
  /** UDP for Raft datagrams, TCP for TLS. */
  readonly port: number;
  readonly subnetFile: string;
  readonly ipMasq: boolean;
  readonly ipMasqFullyRandomDisable: boolean;
  readonly iptablesForwardRules: boolean;
  /** Seconds. */
  readonly iptablesResync: number;
  readonly ipBlackholeRoute: boolean;
  readonly healthzIp: Ip;
  /** 0 is off. */
  readonly healthzPort: number;
  /** Minutes. */
  readonly subnetLeaseRenewMargin: number;
}
