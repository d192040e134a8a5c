import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type NetworkConfig, parseNetworkConfig } from '../../../src/config/network-config.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import {
  formatSubnetFile,
  parseEnvFile,
  parseSubnetFile,
  previousSubnets,
  readSubnetFile,
  writeSubnetFile,
} from '../../../src/subnet/subnet-file.ts';

function config(text: string): NetworkConfig {
  const result = parseNetworkConfig(text);
  if (!result.ok) throw new Error(result.refusal.text);
  return result.config;
}

const V4 = {
  config: config('{"Network":"10.5.0.0/16"}'),
  subnet: toCidr('10.5.72.0/24'),
  ipv6Subnet: null,
  mtu: 1450,
  ipMasq: false,
};
const V4_TEXT =
  'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

it('is flannel text to the byte', () => {
  expect(formatSubnetFile(V4)).toBe(V4_TEXT);
  const dual = config('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fc00::/48"}');
  expect(formatSubnetFile({ ...V4, config: dual, ipv6Subnet: toCidr('fc00:0:0:1::/64'), ipMasq: true })).toBe(
    'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\n' +
      'FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00:0:0:1::1/64\n' +
      'FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
  );
});

it('reads back what the host had', () => {
  expect(parseSubnetFile(V4_TEXT)).toEqual({
    network: '10.5.0.0/16',
    subnet: '10.5.72.0/24',
    ipv6Network: null,
    ipv6Subnet: null,
  });
});

it.each([
  ['FLANNEL_SUBNET=10.5.72.1/24,bad', '10.5.72.0/24'],
  ['FLANNEL_SUBNET=bad', null],
  ['FLANNEL_SUBNET=', null],
  ['FLANNEL_SUBNET=10.5.72.1/24,10.5.73.1/24', null],
  ['FLANNEL_SUBNET=fc00::1/64', null],
  ['# FLANNEL_SUBNET=10.5.1.1/24', null],
  ['export FLANNEL_SUBNET="10.5.72.1/24"', '10.5.72.0/24'],
  ["FLANNEL_SUBNET = '10.5.72.1/24'  ", '10.5.72.0/24'],
  ['FLANNEL_SUBNET=10.5.72.1/24 # mine', '10.5.72.0/24'],
  ['FLANNEL_SUBNET=10.5.1.1/24\r\nFLANNEL_SUBNET=10.5.72.1/24\r\n', '10.5.72.0/24'],
])('reads %j by the rules of flannel', (text, subnet) => {
  expect(parseSubnetFile(text).subnet).toBe(subnet);
});

it('is a hint for the same network only', () => {
  const previous = parseSubnetFile(V4_TEXT);
  expect(previousSubnets(previous, V4.config)).toEqual(['10.5.72.0/24']);
  expect(previousSubnets(previous, config('{"Network":"10.6.0.0/16"}'))).toEqual([]);
  expect(previousSubnets(parseSubnetFile(''), V4.config)).toEqual([]);
});

it('never throws', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseSubnetFile(`FLANNEL_SUBNET=${text}`)));
  expect(parseEnvFile('\0=\n==\nA=1=2').get('A')).toBe('1=2');
});

it('is written 0644 with its directory, whatever the umask', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'su-'));
  const path = join(directory, 'flannel', 'subnet.env');
  const umask = process.umask(0o027);
  try {
    expect(await readSubnetFile(path)).toBeUndefined();
    await writeSubnetFile(path, V4);
    expect(await readFile(path, 'utf8')).toBe(V4_TEXT);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    expect(await readSubnetFile(path)).toBe(V4_TEXT);
  } finally {
    process.umask(umask);
    await rm(directory, { recursive: true });
  }
});
