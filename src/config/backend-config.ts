/**
 * The `Backend` object of the network configuration: which one, and its options with flannel's names, every default
 * filled in. Where flannel lets a wrong number through to the kernel we say which number is wrong. Pure.
 */
import { GoFields, GoJsonError } from './go-json.ts';
import { MTU_MAX, MTU_MIN, PORT_MAX, VNI_MAX, VNI_MIN, VXLAN_PORT } from './limits.ts';

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

/** The lower-cased `Type`. Absent `Backend` is host-gw (flannel: udp), an object without `Type` is nothing, as there. */
export function backendType(backend: unknown): string {
  if (backend === undefined) return 'host-gw';
  return decoding('error decoding Backend property of config', () =>
    new GoFields(backend, { name: '', type: 'struct { Type string }' }).text('Type', '').toLowerCase(),
  );
}

/** Throws GoJsonError for a backend that does not exist here and for options that are wrong. */
export function parseBackend(type: string, backend: unknown): BackendConfig {
  switch (type) {
    case 'host-gw':
      return decoding('error decoding host-gw backend config', () => hostGw(optionsOf(backend)));
    case 'vxlan':
      return decoding('error decoding VXLAN backend config', () => vxlan(optionsOf(backend)));
    case 'alloc':
      return { Type: 'alloc' };
    default:
      throw new GoJsonError(`unknown backend type: ${type}`);
  }
}

function optionsOf(backend: unknown): GoFields {
  return new GoFields(backend ?? {}, { name: '', type: 'struct' });
}

function hostGw(options: GoFields): HostGwBackend {
  const fallback = options.text('Fallback', 'vxlan').toLowerCase();
  if (fallback !== 'vxlan' && fallback !== 'none')
    throw new GoJsonError(`Fallback must be "vxlan" or "none", not ${JSON.stringify(fallback)}`);
  return { Type: 'host-gw', Fallback: fallback, ...tunnel(options) };
}

function vxlan(options: GoFields): VxlanBackend {
  return {
    Type: 'vxlan',
    ...tunnel(options),
    GBP: options.boolean('GBP', false),
    Learning: options.boolean('Learning', false),
    DirectRouting: options.boolean('DirectRouting', false),
  };
}

function tunnel(options: GoFields): Pick<VxlanBackend, 'VNI' | 'Port' | 'MTU'> {
  const vni = options.int('VNI', 1);
  const port = options.int('Port', 0);
  const mtu = options.int('MTU', 0);
  if (vni < VNI_MIN || vni > VNI_MAX)
    throw new GoJsonError(`VNI must be between ${VNI_MIN} and ${VNI_MAX}, not ${vni}`);
  if (port < 0 || port > PORT_MAX)
    throw new GoJsonError(`Port must be between 1 and ${PORT_MAX}, or 0 for ${VXLAN_PORT}, not ${port}`);
  if (mtu !== 0 && (mtu < MTU_MIN || mtu > MTU_MAX))
    throw new GoJsonError(`MTU must be between ${MTU_MIN} and ${MTU_MAX}, or 0 for the link's, not ${mtu}`);
  return { VNI: vni, Port: port === 0 ? VXLAN_PORT : port, MTU: mtu };
}

function decoding<T>(prefix: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof GoJsonError)) throw error;
    throw new GoJsonError(`${prefix}: ${error.message}`, { cause: error });
  }
}
