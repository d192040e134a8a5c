import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';

/** Many runs, and the machine may have other work. */
vi.setConfig({ testTimeout: 60_000 });

import {
  formatNetworkConfig,
  type NetworkConfig,
  type NetworkOptions,
  networkConfigFromJson,
  networkConfigFromOptions,
  parseNetworkConfig,
  subnetRange,
} from '../../../src/config/network-config.ts';

function config(text: string): NetworkConfig {
  const result = parseNetworkConfig(text);
  if (!result.ok) throw new Error(result.refusal.text);
  return result.config;
}

function refusalText(text: string): string {
  const result = parseNetworkConfig(text);
  if (result.ok) throw new Error(`accepted: ${text}`);
  expect(result.refusal.exitCode).toBe(2);
  expect(result.refusal.text).not.toContain('\n');
  return result.refusal.text;
}

const HOST_GW = { Type: 'host-gw', Fallback: 'vxlan', VNI: 1, Port: 8472, MTU: 0 };

describe('defaults', () => {
  it('fills in everything for a network alone', () => {
    expect(config('{"Network":"10.5.0.0/16"}')).toEqual({
      EnableIPv4: true,
      EnableIPv6: false,
      EnableNFTables: false,
      Network: '10.5.0.0/16',
      SubnetLen: 24,
      SubnetMin: '10.5.1.0',
      SubnetMax: '10.5.255.0',
      Backend: HOST_GW,
    });
  });

  it('prints flannel key names in flannel order', () => {
    const text = formatNetworkConfig(
      config('{"EnableIPv6":true,"IPv6Network":"fc00::/48","Network":"10.5.0.0/16"}'),
    );
    expect(Object.keys(JSON.parse(text))).toEqual([
      'EnableIPv4',
      'EnableIPv6',
      'EnableNFTables',
      'Network',
      'SubnetLen',
      'SubnetMin',
      'SubnetMax',
      'IPv6Network',
      'IPv6SubnetLen',
      'IPv6SubnetMin',
      'IPv6SubnetMax',
      'Backend',
    ]);
  });

  it.each([
    ['10.0.0.0/8', 24],
    ['10.5.0.0/22', 24],
    ['10.5.0.0/23', 25],
    ['10.5.0.0/28', 30],
  ])('gives %s subnets of /%i', (network, length) => {
    expect(config(JSON.stringify({ Network: network })).SubnetLen).toBe(length);
  });

  it.each([
    ['fc00::/48', 64, 'fc00:0:0:1::', 'fc00:0:0:ffff::'],
    ['fc00::/62', 64, 'fc00:0:0:1::', 'fc00:0:0:3::'],
    ['fc00::/63', 65, 'fc00::8000:0:0:0', 'fc00:0:0:1:8000::'],
    ['fc00::/124', 126, 'fc00::4', 'fc00::c'],
  ])('gives %s subnets of /%i', (network, length, min, max) => {
    const ipv6 = config(JSON.stringify({ EnableIPv4: false, EnableIPv6: true, IPv6Network: network }));
    expect(ipv6).toMatchObject({ IPv6SubnetLen: length, IPv6SubnetMin: min, IPv6SubnetMax: max });
    expect(ipv6.Network).toBeUndefined();
    expect(subnetRange(ipv6, 4)).toBeNull();
  });

  it.each([
    [
      '{"Backend":{"Type":"vxlan"}}',
      { VNI: 1, Port: 8472, MTU: 0, GBP: false, Learning: false, DirectRouting: false },
    ],
    [
      '{"Backend":{"type":"VXLAN","vni":7,"port":4789,"mtu":1400,"gbp":true,"directrouting":true}}',
      { Type: 'vxlan', VNI: 7, Port: 4789, MTU: 1400, GBP: true, Learning: false, DirectRouting: true },
    ],
    ['{"Backend":{"Type":"vxlan","Port":0,"VNI":null}}', { VNI: 1, Port: 8472 }],
    ['{"Backend":{"Type":"host-gw"}}', HOST_GW],
    ['{"Backend":{"Type":"Host-GW","Fallback":"none","PSK":"ignored"}}', { ...HOST_GW, Fallback: 'none' }],
    ['{"Backend":{"Type":"alloc","Port":"ignored"}}', { Type: 'alloc' }],
  ])('fills in the backend of %s', (text, backend) => {
    expect(config(text.replace('{', '{"Network":"10.5.0.0/16",')).Backend).toMatchObject(backend);
  });
});

describe('reads as encoding/json does', () => {
  it('matches keys whatever their case, the last one winning', () => {
    const read = config('{"network":"10.3.0.0/16","NETWORK":"10.4.0.0/16","subnetLEN":25}');
    expect(read).toMatchObject({ Network: '10.4.0.0/16', SubnetLen: 25 });
    expect(config('{"Network":"10.3.0.0/16","Network":"10.4.0.0/16"}').Network).toBe('10.4.0.0/16');
    expect(config('{"Networ\u212a":"10.3.0.0/16","\u017fubnetLen":26}')).toMatchObject({ SubnetLen: 26 });
  });
  it('ignores unknown keys, and null where Go does', () => {
    expect(config('{"Network":"10.3.0.0/16","Foo":[1],"EnableIPv4":null,"SubnetLen":null}').SubnetLen).toBe(
      24,
    );
  });
  it('masks host bits', () => {
    expect(config('{"Network":"10.3.7.9/16"}').Network).toBe('10.3.0.0/16');
  });
  it('takes 0 and the zero address for "not given"', () => {
    expect(config('{"Network":"10.3.0.0/16","SubnetLen":0,"SubnetMin":"0.0.0.0"}').SubnetMin).toBe(
      '10.3.1.0',
    );
  });
  it('takes SubnetMin and SubnetMax as given', () => {
    const read = config(
      '{"Network":"10.3.0.0/16","SubnetMin":"10.3.5.0","SubnetMax":"10.3.8.0","SubnetLen":28}',
    );
    expect(read).toMatchObject({ SubnetMin: '10.3.5.0', SubnetMax: '10.3.8.0', SubnetLen: 28 });
  });
});

describe('refuses with the words of flannel', () => {
  const FOUR = 'network must be able to accommodate at least four subnets';
  it.each([
    ['{}', 'please define a correct Network parameter in the flannel config'],
    ['null', 'please define a correct Network parameter in the flannel config'],
    ['{"Network":"0.0.0.0/0"}', 'please define a correct Network parameter in the flannel config'],
    ['{"Network":"fc00::/48"}', 'invalid IPv4 CIDR format'],
    ['{"Network":"10.5.0.0"}', 'invalid CIDR address: 10.5.0.0'],
    ['{"Network":null}', 'invalid CIDR address: null'],
    ['{"Network":"10.5.0.0/16","SubnetLen":31}', 'SubnetLen must be less than /31'],
    ['{"Network":"10.5.0.0/16","SubnetLen":17}', FOUR],
    ['{"Network":"10.5.0.0/29"}', 'network is too small. Minimum useful network prefix is /28'],
    ['{"Network":"10.5.0.0/16","SubnetMin":"10.6.0.0"}', 'SubnetMin is not in the range of the Network'],
    [
      '{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.1"}',
      'SubnetMin is not on a SubnetLen boundary: 10.5.1.1',
    ],
    ['{"Network":"10.5.0.0/16","SubnetMax":"10.4.0.0"}', 'SubnetMax is not in the range of the Network'],
    [
      '{"Network":"10.5.0.0/16","SubnetMax":"10.5.9.128"}',
      'SubnetMax is not on a SubnetLen boundary: 10.5.9.128',
    ],
    ['{"Network":"10.5.0.0/16","SubnetMin":"fc00::"}', 'invalid IPv4 address format'],
    ['{"Network":"10.5.0.0/16","SubnetMax":"x"}', 'invalid IP address format'],
    ['{"EnableIPv4":false}', 'none defined stack'],
    [
      '{"Network":"10.5.0.0/16","EnableIPv6":true}',
      'please define a correct IPv6Network parameter in the flannel config',
    ],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"::/0"}',
      'please define a correct IPv6Network parameter in the flannel config',
    ],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetLen":127}',
      'SubnetLen must be less than /127',
    ],
    ['{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetLen":49}', FOUR],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/125"}',
      'IPv6Network is too small. Minimum useful network prefix is /124',
    ],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetMin":"fd00::"}',
      'IPv6SubnetMin is not in the range of the IPv6Network',
    ],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetMax":"fd00::"}',
      'IPv6SubnetMax is not in the range of the IPv6Network',
    ],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetMin":"fc00::1"}',
      'IPv6SubnetMin is not on a SubnetLen boundary: fc00::1',
    ],
    [
      '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetMax":"fc00::1"}',
      'IPv6SubnetMax is not on a SubnetLen boundary: fc00::1',
    ],
    ['{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}', 'unknown backend type: udp'],
    ['{"Network":"10.5.0.0/16","Backend":{"Type":"WireGuard"}}', 'unknown backend type: wireguard'],
    ['{"Network":"10.5.0.0/16","Backend":{}}', 'unknown backend type: '],
    ['{"Network":"10.5.0.0/16","Backend":null}', 'unknown backend type: '],
    [
      '{"Backend":[]}',
      'error decoding Backend property of config: json: cannot unmarshal array into Go value of type struct { Type string }',
    ],
    [
      '{"Backend":{"Type":5}}',
      'error decoding Backend property of config: json: cannot unmarshal number into Go struct field .Type of type string',
    ],
    [
      '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":"1"}}',
      'error decoding VXLAN backend config: json: cannot unmarshal string into Go struct field .VNI of type int',
    ],
    [
      '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","GBP":1}}',
      'error decoding VXLAN backend config: json: cannot unmarshal number into Go struct field .GBP of type bool',
    ],
    [
      '{"Network":"10.5.0.0/16","SubnetLen":"24"}',
      'json: cannot unmarshal string into Go struct field Config.SubnetLen of type uint',
    ],
    [
      '{"Network":"10.5.0.0/16","SubnetLen":-1}',
      'json: cannot unmarshal number -1 into Go struct field Config.SubnetLen of type uint',
    ],
    [
      '{"EnableIPv4":"yes"}',
      'json: cannot unmarshal string into Go struct field Config.EnableIPv4 of type bool',
    ],
    ['[]', 'json: cannot unmarshal array into Go value of type subnet.Config'],
  ])('%s', (text, expected) => {
    expect(refusalText(text)).toBe(expected);
  });

  it('checks in the order of flannel', () => {
    const all = { Network: '10.5.0.0/16', SubnetLen: 31, SubnetMin: '9.0.0.0', SubnetMax: '9.0.0.0' };
    const six = { EnableIPv6: true, IPv6Network: '::/0', Backend: { Type: 'udp' } };
    const steps: [object, string][] = [
      [{ Backend: 1, Network: '0.0.0.0/0' }, 'error decoding Backend property of config'],
      [{ Network: '0.0.0.0/0' }, 'correct Network'],
      [{}, 'less than /31'],
      [{ SubnetLen: 24 }, 'SubnetMin is not in the range'],
      [{ SubnetLen: 24, SubnetMin: '10.5.1.1' }, 'SubnetMax is not in the range'],
      [{ SubnetLen: 24, SubnetMin: '10.5.1.1', SubnetMax: '10.5.2.1' }, 'SubnetMin is not on'],
      [{ SubnetLen: 24, SubnetMin: '10.5.1.0', SubnetMax: '10.5.2.1' }, 'SubnetMax is not on'],
      [{ SubnetLen: 24, SubnetMin: '10.5.1.0', SubnetMax: '10.5.2.0' }, 'correct IPv6Network'],
      [{ SubnetLen: 24, SubnetMin: '', SubnetMax: '10.5.2.0' }, 'invalid IP address format'],
      [{ EnableIPv4: false, EnableIPv6: false }, 'none defined stack'],
    ];
    for (const [change, expected] of steps)
      expect(refusalText(JSON.stringify({ ...all, ...six, ...change }))).toContain(expected);
  });
});

describe('refuses what flannel leaves to the kernel', () => {
  it.each([
    [
      '{"Type":"vxlan","VNI":0}',
      'error decoding VXLAN backend config: VNI must be between 1 and 9999999, not 0',
    ],
    ['{"Type":"vxlan","VNI":10000000}', 'VNI must be between'],
    ['{"Type":"vxlan","Port":65536}', 'Port must be between'],
    ['{"Type":"host-gw","Port":-1}', 'error decoding host-gw backend config: Port must be between'],
    ['{"Type":"vxlan","MTU":575}', 'MTU must be between 576 and 65535'],
    ['{"Type":"host-gw","MTU":65536}', 'MTU must be between'],
    ['{"Type":"host-gw","Fallback":"ipip"}', 'Fallback must be "vxlan" or "none", not "ipip"'],
    ['{"Type":"vxlan","VNI":1.5}', 'cannot unmarshal number 1.5'],
  ])('%s', (backend, expected) => {
    expect(refusalText(`{"Network":"10.5.0.0/16","Backend":${backend}}`)).toContain(expected);
  });
  it('an empty range', () => {
    expect(refusalText('{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","SubnetMax":"10.5.8.0"}')).toBe(
      'SubnetMin 10.5.9.0 must not be greater than SubnetMax 10.5.8.0',
    );
  });
  it('text that is no JSON, or too much of it', () => {
    expect(refusalText('{"Network":\n"10.5.0.0/16"')).toContain('not valid JSON');
    expect(refusalText('')).toContain('not valid JSON');
    expect(refusalText(`{"Network":"10.5.0.0/16","x":"${'x'.repeat(70_000)}"}`)).toContain(
      'longer than 65536',
    );
  });
});

describe('options of init', () => {
  const from = (options: NetworkOptions, file?: string) => {
    const result = networkConfigFromOptions(options, file);
    return result.ok ? result.config : result.refusal.text;
  };
  it('has a default network only without a file', () => {
    expect(from({})).toMatchObject({ Network: '10.5.0.0/16', Backend: HOST_GW });
    expect(from({}, '{}')).toBe('please define a correct Network parameter in the flannel config');
  });
  it('overrides the file, whatever the case of its keys', () => {
    const file = '{"network":"10.9.0.0/16","subnetlen":26,"Backend":{"Type":"vxlan","VNI":9,"GBP":true}}';
    expect(from({}, file)).toMatchObject({
      Network: '10.9.0.0/16',
      SubnetLen: 26,
      Backend: { VNI: 9, GBP: true },
    });
    expect(from({ network: '10.8.0.0/16', subnetLen: '25', backend: 'host-gw' }, file)).toMatchObject({
      Network: '10.8.0.0/16',
      SubnetLen: 25,
      Backend: { Type: 'host-gw', Fallback: 'vxlan', VNI: 9 },
    });
    expect(from({ subnetMin: '10.9.4.0', subnetMax: '10.9.8.0' }, file)).toMatchObject({
      SubnetMin: '10.9.4.0',
      SubnetMax: '10.9.8.0',
    });
  });
  it('refuses bad options', () => {
    expect(from({ backend: 'udp' })).toBe('unknown backend type: udp');
    expect(from({ subnetLen: 'x' })).toBe('--subnet-len must be a number, not "x"');
    expect(from({ network: '10.5.0.0/30' })).toContain('too small');
  });
});

it('bounds VNI and MTU by what a device for IPv6 needs', () => {
  const text = (vni: number, mtu = 0): string =>
    `{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","Backend":{"Type":"vxlan","VNI":${vni},"MTU":${mtu}}}`;
  expect(config(text(1, 1_350)).Backend).toMatchObject({ MTU: 1_350 });
  expect(parseNetworkConfig(text(1, 1_349))).toMatchObject({
    ok: false,
    refusal: { text: 'MTU must be at least 1350 with EnableIPv6, not 1349' },
  });
  expect(config(text(9_999)).Backend).toMatchObject({ VNI: 9_999 });
  expect(parseNetworkConfig(text(10_000))).toMatchObject({
    ok: false,
    refusal: { text: 'VNI must be at most 9999 with EnableIPv6, not 10000' },
  });
});

it('never throws, and what it accepts it accepts again unchanged', () => {
  const key = fc.constantFrom(
    'Network',
    'SubnetLen',
    'SubnetMin',
    'subnetmax',
    'EnableIPv6',
    'IPv6Network',
    'Backend',
    '__proto__',
  );
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('10.5.0.0/16', '10.5.3.0', 24, 26, 'fc00::/48', true, { Type: 'vxlan' }),
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(key, value)), (json) => {
      const result = parseNetworkConfig(JSON.stringify(json));
      if (!result.ok) return;
      expect(networkConfigFromJson(JSON.parse(formatNetworkConfig(result.config)))).toEqual(result);
    }),
    { numRuns: 2_000 },
  );
  fc.assert(fc.property(fc.string(), (text) => void parseNetworkConfig(text)));
  parseNetworkConfig(`{"Network":${'['.repeat(30_000)}${']'.repeat(30_000)}}`);
});
