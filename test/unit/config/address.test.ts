import { expect, it } from 'vitest';
import {
  formatAddress,
  parseAddress,
  parseAddressList,
  parseDuration,
  parseInteger,
  parsePort,
} from '../../../src/config/address.ts';
import { toIp } from '../../../src/net/ip.ts';

it.each([
  ['10.0.0.1', { ip: '10.0.0.1', port: null }],
  ['10.0.0.1:6473', { ip: '10.0.0.1', port: 6473 }],
  ['fc00::1', { ip: 'fc00::1', port: null }],
  ['FC00:0::1', { ip: 'fc00::1', port: null }],
  ['[fc00::1]', { ip: 'fc00::1', port: null }],
  ['[fc00::1]:7', { ip: 'fc00::1', port: 7 }],
])('reads %s', (text, address) => {
  expect(parseAddress(text)).toEqual(address);
});

it.each([
  '',
  'host',
  '10.0.0.1:',
  '10.0.0.1:0',
  '10.0.0.1:65536',
  '10.0.0.1:07',
  '10.0.0.256',
  '[10.0.0.1]:7',
  '[fc00::1',
  'fc00::1]:7',
  '[fc00::1]7',
  '10.0.0.1:6:7',
  ' 10.0.0.1',
  '[]:7',
  '10.0.0.1\n',
  'fe80::1%eth0',
])('refuses %j', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

it('reads lists, all or nothing', () => {
  expect(parseAddressList('10.0.0.1, [fc00::1]:7')).toEqual([
    { ip: '10.0.0.1', port: null },
    { ip: 'fc00::1', port: 7 },
  ]);
  for (const bad of ['', '10.0.0.1,', '10.0.0.1,x']) expect(parseAddressList(bad)).toBeUndefined();
});

it('writes what it reads', () => {
  for (const text of ['10.0.0.1:6473', '[fc00::1]:7']) {
    const address = parseAddress(text);
    expect(formatAddress(address?.ip ?? toIp('::'), address?.port ?? 0)).toBe(text);
  }
});

it.each([
  ['0', 0],
  ['10s', 10_000],
  ['1h30m', 5_400_000],
  ['1.5h', 5_400_000],
  ['500ms', 500],
  ['24h', 86_400_000],
])('reads the duration %s', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

it.each(['', '10', 's', '-1s', '1d', '1h 30m', '1hm', 'h1', `${'9'.repeat(400)}s`])(
  'refuses the duration %j',
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

it('reads decimal numbers only', () => {
  expect([parseInteger('0'), parseInteger('42'), parsePort('65535')]).toEqual([0, 42, 65_535]);
  for (const bad of ['', '-1', '+1', '01', '1.0', '1e3', '0x1', ' 1', '9'.repeat(16)])
    expect(parseInteger(bad)).toBeUndefined();
  expect(parsePort('0')).toBeUndefined();
});
