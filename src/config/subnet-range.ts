/**
 * Where subnets come from: network, length, first and last subnet, for either family. Checks are flannel's, in its
 * order and with its texts, because scripts and people know them. Pure.
 */
import { type Cidr, cidrBase, cidrContains, cidrLast, cidrLength, cidrOf, parseCidr } from '../net/cidr.ts';
import { compareIp, type Family, type Ip, ipAdd, ipBits, ipFamily, parseIp } from '../net/ip.ts';
import { type GoFields, GoJsonError } from './go-json.ts';

export interface SubnetRange {
  readonly network: Cidr;
  readonly length: number;
  readonly min: Ip;
  readonly max: Ip;
}

/** What the file says; undefined and 0 are "not given", as in flannel's struct. */
export interface RawRange {
  readonly network: Cidr | undefined;
  readonly length: number;
  readonly min: Ip | undefined;
  readonly max: Ip | undefined;
}

interface RangeRules {
  /** `` or `IPv6`: how the keys begin. */
  readonly prefix: '' | 'IPv6';
  readonly lengthMax: number;
  /** What flannel's text names, although the longest is one less. */
  readonly tooLong: string;
  readonly networkLengthMax: number;
  readonly tooSmall: string;
  readonly lengthDefault: number;
}

const RULES: Readonly<Record<Family, RangeRules>> = {
  4: {
    prefix: '',
    lengthMax: 30,
    tooLong: 'SubnetLen must be less than /31',
    networkLengthMax: 28,
    tooSmall: 'network is too small. Minimum useful network prefix is /28',
    lengthDefault: 24,
  },
  6: {
    prefix: 'IPv6',
    lengthMax: 126,
    tooLong: 'SubnetLen must be less than /127',
    networkLengthMax: 124,
    tooSmall: 'IPv6Network is too small. Minimum useful network prefix is /124',
    lengthDefault: 64,
  },
};

/** Reads the four keys of one family. */
export function readRange(fields: GoFields, family: Family): RawRange {
  const { prefix } = RULES[family];
  return {
    network: readNetwork(fields.raw(`${prefix}Network`), family),
    length: fields.uint(`${prefix}SubnetLen`, 0),
    min: readIp(fields.raw(`${prefix}SubnetMin`), family),
    max: readIp(fields.raw(`${prefix}SubnetMax`), family),
  };
}

/** flannel's CheckNetworkConfig for one family: the first complaint, or the range with its defaults. */
export function checkRange(raw: RawRange, family: Family): SubnetRange {
  const { prefix } = RULES[family];
  if (raw.network === undefined)
    throw new GoJsonError(`please define a correct ${prefix}Network parameter in the flannel config`);
  const network = raw.network;
  const length = subnetLength(network, raw.length, family);
  const size = 1n << BigInt(ipBits(family) - length);
  // The first subnet is skipped: its base is the network's own address.
  const min = raw.min ?? ipAdd(cidrBase(network), size);
  if (!cidrContains(network, min)) throw outside(prefix, 'Min');
  const max = raw.max ?? ipAdd(cidrLast(network), 1n - size);
  if (!cidrContains(network, max)) throw outside(prefix, 'Max');
  if (!aligned(min, length)) throw misaligned(prefix, 'Min', min);
  if (!aligned(max, length)) throw misaligned(prefix, 'Max', max);
  if (compareIp(min, max) > 0)
    throw new GoJsonError(`${prefix}SubnetMin ${min} must not be greater than ${prefix}SubnetMax ${max}`);
  return { network, length, min, max };
}

/** True where `subnet` is one that this range could hand out. */
export function rangeHolds(range: SubnetRange, subnet: Cidr): boolean {
  const base = cidrBase(subnet);
  return (
    cidrLength(subnet) === range.length &&
    cidrContains(range.network, base) &&
    compareIp(range.min, base) <= 0 &&
    compareIp(base, range.max) <= 0
  );
}

function subnetLength(network: Cidr, asked: number, family: Family): number {
  const rules = RULES[family];
  const networkLength = cidrLength(network);
  if (asked > 0) {
    if (asked > rules.lengthMax) throw new GoJsonError(rules.tooLong);
    if (asked < networkLength + 2)
      throw new GoJsonError('network must be able to accommodate at least four subnets');
    return asked;
  }
  if (networkLength > rules.networkLengthMax) throw new GoJsonError(rules.tooSmall);
  return Math.max(rules.lengthDefault, networkLength + 2);
}

function aligned(ip: Ip, length: number): boolean {
  return cidrBase(cidrOf(ip, length)) === ip;
}

function outside(prefix: string, end: 'Min' | 'Max'): GoJsonError {
  return new GoJsonError(`${prefix}Subnet${end} is not in the range of the ${prefix}Network`);
}

function misaligned(prefix: string, end: 'Min' | 'Max', ip: Ip): GoJsonError {
  return new GoJsonError(`${prefix}Subnet${end} is not on a SubnetLen boundary: ${ip}`);
}

function readNetwork(value: unknown, family: Family): Cidr | undefined {
  if (value === undefined) return undefined;
  const text = literal(value);
  const network = parseCidr(text);
  if (network === undefined) throw new GoJsonError(`invalid CIDR address: ${text.slice(0, 64)}`);
  const base = cidrBase(network);
  if (ipFamily(base) !== family) throw new GoJsonError(`invalid IPv${family} CIDR format`);
  return isZero(base) && cidrLength(network) === 0 ? undefined : network;
}

function readIp(value: unknown, family: Family): Ip | undefined {
  if (value === undefined || (value === null && family === 6)) return undefined;
  const ip = parseIp(literal(value));
  if (ip === undefined) throw new GoJsonError('invalid IP address format');
  if (ipFamily(ip) !== family) throw new GoJsonError(`invalid IPv${family} address format`);
  return isZero(ip) ? undefined : ip;
}

function isZero(ip: Ip): boolean {
  return ip === '0.0.0.0' || ip === '::';
}

/** flannel parses the JSON text between the quotes, whatever kind of value it is. */
function literal(value: unknown): string {
  return typeof value === 'object' && value !== null ? 'not a string' : String(value);
}
