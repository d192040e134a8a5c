/** What the firewall should do for us, whole, and the interface the daemon drives it by. */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';

/** The container network in one address family. */
export interface FirewallFamily {
  /** The whole container network. */
  readonly network: Cidr;
  /** Own lease. */
  readonly subnet: Cidr;
  /** The address in the lease that this host answers probes at. */
  readonly base: Ip;
  /** Public addresses of all members; those of another family are passed over. */
  readonly memberIps: readonly Ip[];
  /** Null where there is no vxlan device. */
  readonly vxlan: { readonly device: string; readonly vni: number; readonly port: number } | null;
}

/** One way that packets of a peer's subnet may come. A peer has an entry for each of its candidate paths. */
export interface PeerSource {
  readonly subnet: Cidr;
  readonly iface: string;
  /** Null where it is not known, or where the interface has none: any. */
  readonly mac: Mac | null;
}

/** A peer's subnet that takes less than our containers send. */
export interface Clamp {
  readonly subnet: Cidr;
  /** What fits the path, with IP header. */
  readonly mtu: number;
}

/** Marks for the answers to probes, so that they leave by the path that the probe came by. */
export interface ProbeMarks {
  readonly directMark: number;
  readonly vxlanMark: number;
  /** The bits of a mark that are ours to set. */
  readonly mask: number;
}

/** What the container engine says of itself, as far as its firewall goes. */
export interface FirewallEngine {
  /** `28.2.1`. */
  readonly version: string;
  readonly firewallBackend: 'iptables' | 'nftables';
  readonly networks: readonly {
    readonly subnets: readonly Cidr[];
    readonly options: Readonly<Record<string, string>>;
  }[];
}

export interface FirewallConfig {
  /** One for IPv4, one for IPv6, or both. */
  readonly families: readonly FirewallFamily[];
  /** External interface. */
  readonly iface: string;
  readonly peers: readonly PeerSource[];
  readonly clamps: readonly Clamp[];
  /** Null where nobody probes. */
  readonly probes: ProbeMarks | null;
  /** Null when no engine answers. */
  readonly engine: FirewallEngine | null;
  /** `--ip-masq`. */
  readonly ipMasq: boolean;
  /** Not `--ip-masq-fully-random-disable`. */
  readonly randomFully: boolean;
  /** `--iptables-forward-rules`. */
  readonly forwardRules: boolean;
}

/** What this host needs that the firewall cannot do by itself. */
export interface FirewallProblem {
  readonly code: string;
  readonly severity: 'warning' | 'error';
  readonly text: string;
  readonly fix: string;
}

export interface Firewall {
  /** As the last apply saw them. */
  readonly problems: readonly FirewallProblem[];
  /** Throws TsflannelError when a tool is missing or does not work on this host. Changes nothing. */
  check(): Promise<void>;
  /** Idempotent: reads what is there, changes only what differs, in one transaction a table; forwarding is turned on
   *  last, behind its guard. Resolves to whether it changed anything. Throws TsflannelError when a tool is missing or
   *  refuses. */
  apply(config: FirewallConfig): Promise<boolean>;
  /** Calls back when somebody else has changed rules since the last apply; returns how to stop that. */
  onChange(listener: () => void): () => void;
  /** Removes everything that is ours and nothing else, and puts back what was found. */
  remove(): Promise<void>;
}
