/** The normalised network configuration: flannel's own key names, every default filled in, CIDRs masked. */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';

export interface HostGwBackend {
  readonly Type: 'host-gw';
  readonly Fallback: 'vxlan' | 'none';
  readonly VNI: number;
  readonly Port: number;
  /** Outer MTU; 0 is the link's. */
  readonly MTU: number;
}
export interface VxlanBackend {
  readonly Type: 'vxlan';
  readonly VNI: number;
  readonly Port: number;
  readonly MTU: number;
  readonly GBP: boolean;
  readonly Learning: boolean;
  readonly DirectRouting: boolean;
}
export interface AllocBackend {
  readonly Type: 'alloc';
}
export type BackendConfig = HostGwBackend | VxlanBackend | AllocBackend;

export interface Ipv4Range {
  readonly Network: Cidr;
  readonly SubnetLen: number;
  readonly SubnetMin: Ip;
  readonly SubnetMax: Ip;
}
export interface Ipv6Range {
  readonly IPv6Network: Cidr;
  readonly IPv6SubnetLen: number;
  readonly IPv6SubnetMin: Ip;
  readonly IPv6SubnetMax: Ip;
}

export interface NetworkConfig extends Partial<Ipv4Range>, Partial<Ipv6Range> {
  readonly EnableIPv4: boolean;
  readonly EnableIPv6: boolean;
  readonly EnableNFTables: boolean;
  readonly Backend: BackendConfig;
}
