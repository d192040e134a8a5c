import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  decodeCommand,
  encodeCommand,
  stampCommand,
  UnknownCommandError,
} from '../../../src/subnet/command.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';
import { command } from './arbitraries.ts';

/** Many runs, and the machine may have other work. */
vi.setConfig({ testTimeout: 60_000 });

import { acquireCommand, bootstrapCommand, joinCommand, node } from './samples.ts';

function changed(change: (json: Record<string, unknown>) => unknown, of = acquireCommand(1)): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify(change(JSON.parse(new TextDecoder().decode(encodeCommand(of))))),
  );
}

it('reads what it wrote', () => {
  fc.assert(
    fc.property(command, (one) => void expect(decodeCommand(encodeCommand(one))).toEqual(one)),
    { numRuns: 500 },
  );
  for (const one of [bootstrapCommand(), joinCommand(2)])
    expect(decodeCommand(encodeCommand(one))).toEqual(one);
});

it('has this form', () => {
  expect(
    new TextDecoder().decode(
      encodeCommand({ kind: 'member-remove', time: toClusterTime(7), nodeId: node(1), keepsLease: false }),
    ),
  ).toBe(`{"keepsLease":false,"kind":"member-remove","nodeId":"${node(1)}","time":7,"version":1}`);
});

it('takes the stamp of the leader', () => {
  expect(stampCommand(joinCommand(2), toClusterTime(9))).toEqual(joinCommand(2, { time: toClusterTime(9) }));
});

describe('is fatal to a replica that does not know', () => {
  it.each<[string, Uint8Array]>([
    ['another version', changed((json) => ({ ...json, version: 2 }))],
    ['another kind', changed((json) => ({ ...json, kind: 'merge' }))],
    ['a further field', changed((json) => ({ ...json, colour: 'red' }))],
    ['a missing field', changed(({ previous: _, ...rest }) => rest)],
    ['no time', changed((json) => ({ ...json, time: -1 }))],
    [
      'a list too long',
      changed((json) => ({ ...json, previous: Array.from({ length: 9 }, () => '10.5.1.0/24') })),
    ],
    ['a CIDR that is not canonical', changed((json) => ({ ...json, previous: ['10.5.1.1/24'] }))],
    ['a list', changed((json) => [json])],
    ['bytes', Uint8Array.of(0, 1, 2)],
    ['nothing', new Uint8Array()],
    ['too much', new Uint8Array((1 << 20) + 1)],
  ])('%s', (_, bytes) => {
    expect(() => decodeCommand(bytes)).toThrow(UnknownCommandError);
    expect(() => decodeCommand(bytes)).toThrow(
      /^The log holds a command that this version .* upgrade this host\.$/,
    );
  });
  it('a configuration that is not normalised', () => {
    const bytes = new TextDecoder().decode(encodeCommand(bootstrapCommand()));
    for (const bad of [
      bytes.replace('"SubnetLen":24,', ''),
      bytes.replace('"SubnetLen":24', '"SubnetLen":32'),
      bytes.replace('"Network":"10.5.0.0/16"', '"Network":"10.5.0.1/16"'),
      bytes.replace('"SubnetLen"', '"subnetLen"'),
    ])
      expect(() => decodeCommand(new TextEncoder().encode(bad))).toThrow(UnknownCommandError);
  });
});

it('refuses to write one that the log cannot take', () => {
  const huge = acquireCommand(1, { requestId: 'x'.repeat(1 << 20) });
  expect(() => encodeCommand(huge)).toThrow(RangeError);
});
