/** What the firewall should do for us, whole, and the interface the daemon drives it by. */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';

export interface FirewallConfig {
  /** The whole container network. */
  readonly network: Cidr;
  /** Own lease. */
  readonly subnet: Cidr;
  /** External interface. */
  readonly iface: string;
  /** Public addresses of all members. */
  readonly memberIps: readonly Ip[];
  /** Null where there is no vxlan device. */
  readonly vxlan: { readonly device: string; readonly vni: number; readonly port: number } | null;
  /** `--ip-masq`. */
  readonly ipMasq: boolean;
  /** Not `--ip-masq-fully-random-disable`. */
  readonly randomFully: boolean;
  /** `--iptables-forward-rules`. */
  readonly forwardRules: boolean;
}

export interface Firewall {
  /** Throws TsflannelError when a tool is missing or does not work on this host. Changes nothing. */
  check(): Promise<void>;
  /** Idempotent: reads what is there, changes only what differs, in one transaction a table; forwarding is turned on
   *  last, behind its guard. Resolves to whether it changed anything. Throws TsflannelError when a tool is missing or
   *  refuses. */
  apply(config: FirewallConfig): Promise<boolean>;
  /** Removes everything that is ours and nothing else, and puts back what was found. */
  remove(): Promise<void>;
}
