import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ChainTable, NO_CHAINS, parseTables } from '../../../src/firewall/chain-table.ts';
import {
  engineWasHere,
  type FilterFound,
  lookAround,
  repair,
  restoreFound,
} from '../../../src/firewall/filter-table.ts';
import { NOTHING_MISSING } from '../../../src/firewall/found-file.ts';
import { restore, save, type Table } from './restore-model.ts';

const parseFilterTable = (saved: string): ChainTable => parseTables(saved).get('filter') ?? NO_CHAINS;

const RULES = [
  '-A TSFLANNEL-FORWARD -s 10.5.0.0/16 -d 10.5.1.0/24 -j ACCEPT',
  '-A TSFLANNEL-FORWARD -j RETURN',
];
const OURS = { policy: '-', rules: RULES };
const ACCEPTS = { rules: RULES, policy: null };
const GUARDED = { rules: RULES, policy: 'DROP' as const };
const NOTHING = { rules: null, policy: null };

const empty = (policy = 'ACCEPT'): Table => ({
  INPUT: { policy: 'ACCEPT', rules: [] },
  FORWARD: { policy, rules: [] },
  OUTPUT: { policy: 'ACCEPT', rules: [] },
});
const docker: Table = {
  ...empty('DROP'),
  FORWARD: { policy: 'DROP', rules: ['-A FORWARD -j DOCKER-USER', '-A FORWARD -o docker0 -j DOCKER'] },
  DOCKER: { policy: '-', rules: [] },
  'DOCKER-USER': {
    policy: '-',
    rules: ['-A DOCKER-USER -s 203.0.113.0/24 -j DROP', '-A DOCKER-USER -j RETURN'],
  },
};
const parse = (table: Table): ReturnType<typeof parseFilterTable> => parseFilterTable(save(table));

test('reads policies and rules, whatever else iptables-save prints', () => {
  const table = parseFilterTable(
    '# Warning: iptables-legacy tables present\n*filter\n:FORWARD DROP [7:420]\n:X - [0:0]\n-A X -j RETURN\nCOMMIT\n',
  );
  expect([...table]).toEqual([
    ['FORWARD', { policy: 'DROP', rules: [] }],
    ['X', { policy: '-', rules: ['-A X -j RETURN'] }],
  ]);
  expect(parseFilterTable('').size).toBe(0);
});

describe('the lines that bring the table to what is wanted', () => {
  test('on a host without Docker that did not forward before', () => {
    expect(repair(parse(empty()), GUARDED)).toEqual([
      ':TSFLANNEL-FORWARD - [0:0]',
      ...RULES,
      '-N DOCKER-USER',
      '-I DOCKER-USER 1 -j TSFLANNEL-FORWARD',
      '-I FORWARD 1 -j DOCKER-USER',
      '-P FORWARD DROP',
    ]);
  });

  test('where nothing was ever in the table', () => {
    expect(repair(parseFilterTable(''), ACCEPTS)).toContain('-N DOCKER-USER');
  });

  test('where Docker is: before the rules of the user, after nothing', () => {
    expect(repair(parse(docker), ACCEPTS)).toEqual([
      ':TSFLANNEL-FORWARD - [0:0]',
      ...RULES,
      '-I DOCKER-USER 1 -j TSFLANNEL-FORWARD',
    ]);
  });

  test('when only a rule of our chain differs', () => {
    const right = restore(docker, repair(parse(docker), ACCEPTS));
    const wrong = { ...right, 'TSFLANNEL-FORWARD': { policy: '-', rules: [...RULES].reverse() } };
    expect(repair(parse(wrong), ACCEPTS)).toEqual([':TSFLANNEL-FORWARD - [0:0]', ...RULES]);
  });

  test('when our jump is not the first any more, or there are two', () => {
    const jump = '-A DOCKER-USER -j TSFLANNEL-FORWARD';
    const moved = {
      ...docker,
      'TSFLANNEL-FORWARD': OURS,
      'DOCKER-USER': { policy: '-', rules: [jump, '-A DOCKER-USER -j RETURN', jump] },
    };
    expect(repair(parse(moved), ACCEPTS)).toEqual([
      '-D DOCKER-USER -j TSFLANNEL-FORWARD',
      '-D DOCKER-USER -j TSFLANNEL-FORWARD',
      '-I DOCKER-USER 1 -j TSFLANNEL-FORWARD',
    ]);
  });

  test('when the accepts are not wanted any more', () => {
    const right = restore(docker, repair(parse(docker), ACCEPTS));
    expect(restore(right, repair(parse(right), NOTHING))).toEqual(docker);
    expect(repair(parse(docker), NOTHING)).toEqual([]);
  });
});

describe('what is put back at the end', () => {
  test('everything that was missing, on a host without Docker', () => {
    const { table, found } = applied(empty(), GUARDED);
    expect(found).toEqual({ dockerUserMissing: true, userJumpMissing: true, forwardPolicyAccept: true });
    expect(restore(table, restoreFound(parse(table), found))).toEqual(empty());
  });

  test('nothing that Docker has taken over since', () => {
    const { table, found } = applied(empty(), GUARDED);
    const taken = restore(table, [
      '-N DOCKER',
      '-A FORWARD -o docker0 -j DOCKER',
      '-A DOCKER-USER -j RETURN',
    ]);
    expect(engineWasHere(parse(taken))).toBe(true);
    expect(restore(taken, restoreFound(parse(taken), found))).toMatchObject({
      FORWARD: { policy: 'DROP', rules: ['-A FORWARD -j DOCKER-USER', '-A FORWARD -o docker0 -j DOCKER'] },
      'DOCKER-USER': { rules: ['-A DOCKER-USER -j RETURN'] },
    });
  });

  test('not DOCKER-USER, when somebody has put rules into it or jumps to it', () => {
    const { table, found } = applied(empty(), ACCEPTS);
    const used = restore(table, ['-A DOCKER-USER -j DROP']);
    expect(restoreFound(parse(used), found)).not.toContain('-X DOCKER-USER');
    const jumped = restore(table, ['-A INPUT -i eth1 -j DOCKER-USER']);
    expect(restoreFound(parse(jumped), found)).not.toContain('-X DOCKER-USER');
  });

  test('the policy of a host that forwarded before us stays what it is', () => {
    const { table, found } = applied(empty('DROP'), GUARDED);
    expect(restore(table, restoreFound(parse(table), found))).toEqual(empty('DROP'));
  });

  test('after somebody flushed everything, as much as is left', () => {
    const { table, found } = applied(empty(), GUARDED);
    const flushed = restore(
      table,
      Object.keys(table).map((name) => `-F ${name}`),
    );
    expect(restore(flushed, restoreFound(parse(flushed), found))).toEqual(empty());
    expect(restoreFound(parseFilterTable(''), found)).toEqual([]);
  });
});

describe('with any rules of others', () => {
  const chainNames = ['FORWARD', 'DOCKER-USER', 'OTHER', 'TSFLANNEL-FORWARD'] as const;
  const target = fc.constantFrom('ACCEPT', 'DROP', 'RETURN', 'DOCKER-USER', 'OTHER', 'TSFLANNEL-FORWARD');
  const tables = fc
    .record({
      policy: fc.constantFrom('ACCEPT', 'DROP'),
      dockerUser: fc.boolean(),
      engine: fc.boolean(),
      rules: fc.array(fc.tuple(fc.constantFrom(...chainNames), fc.nat(9), target), { maxLength: 12 }),
    })
    .map(({ policy, dockerUser, engine, rules }) => ({ policy, dockerUser, engine, rules }));

  /** Of others only: nobody but us refers to our chain, and a jump needs its chain. */
  const foreign = tables.map(({ policy, dockerUser, engine, rules }): Table => {
    const names = ['OTHER', ...(dockerUser ? ['DOCKER-USER'] : []), ...(engine ? ['DOCKER'] : [])];
    const has = (name: string): boolean => name === 'FORWARD' || names.includes(name);
    const own = (chain: string): readonly string[] =>
      rules
        .filter(([on, , to]) => on === chain && (/^[A-Z]+$/.test(to) ? to !== 'OTHER' : has(to)) && to !== on)
        .map(([, n, to]) =>
          n === 0 ? `-A ${chain} -j ${to}` : `-A ${chain} -s 198.51.100.${n}/32 -j ${to}`,
        );
    return {
      ...empty(policy),
      FORWARD: { policy, rules: own('FORWARD') },
      ...Object.fromEntries(names.map((name) => [name, { policy: '-', rules: own(name) }])),
    };
  });
  const wanted = fc.record({
    rules: fc.constantFrom(null, RULES),
    policy: fc.constantFrom('DROP' as const, null),
  });

  test('one repair is enough, and taking it back gives the table as it was', () => {
    fc.assert(
      fc.property(foreign, wanted, (before, want) => {
        const { table, found } = applied(before, want);
        expect(repair(parse(table), want)).toEqual([]);
        const after = restore(table, restoreFound(parse(table), found));
        // With an engine there, what it would have done itself stays.
        if (!engineWasHere(parse(before))) expect(after).toEqual(before);
        for (const [name, { rules }] of Object.entries(before))
          expect(after[name]?.rules.filter((rule) => rule !== '-A FORWARD -j DOCKER-USER')).toEqual(
            rules.filter((rule) => rule !== '-A FORWARD -j DOCKER-USER'),
          );
      }),
    );
  });
});

function applied(
  before: Table,
  wanted: Parameters<typeof repair>[1],
): { readonly table: Table; readonly found: FilterFound } {
  const found = lookAround(parse(before), wanted, NOTHING_MISSING);
  return { table: restore(before, repair(parse(before), wanted)), found };
}
