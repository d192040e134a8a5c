import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeyValueOp, type KeyValueResult, keyValueModel } from '../../../../raft/sim/key-value-model.ts';
import { checkLinearizable, type Operation } from '../../../../raft/sim/linearize.ts';

type History = readonly Operation<KeyValueOp, KeyValueResult>[];

const UNKNOWN = Symbol('nobody knows what became of it');

/** `a 0-5 put x 1`: who, when, what. */
function operation(
  line: string,
  result: KeyValueResult | typeof UNKNOWN,
): Operation<KeyValueOp, KeyValueResult> {
  const [client = '', times = '', kind, key = '', ...values] = line.split(' ');
  const [calledAt, at] = times.split('-').map(Number);
  const [first = null, second = 0] = values.map((value) => (value === 'null' ? null : Number(value)));
  const op: KeyValueOp =
    kind === 'put'
      ? { kind, key, value: first ?? 0 }
      : kind === 'cas'
        ? { kind, key, expected: first, value: second ?? 0 }
        : { kind: kind === 'add' ? 'add' : 'get', key };
  return {
    client,
    op,
    calledAt: calledAt ?? 0,
    returned: result === UNKNOWN ? null : { at: at ?? 0, result },
  };
}

const verdict = (history: History): string => checkLinearizable(keyValueModel, history).kind;

describe('a history that one copy could have made', () => {
  it.each<[string, History]>([
    ['nothing at all', []],
    ['a read of what was never written', [operation('a 0-1 get x', null)]],
    ['one after the other', [operation('a 0-1 put x 1', null), operation('b 2-3 get x', 1)]],
    [
      'a read during a write sees the old or the new',
      [operation('a 0-9 put x 1', null), operation('b 1-2 get x', null), operation('b 3-4 get x', 1)],
    ],
    [
      'writes at the same time, in the order that the reads tell',
      [
        operation('a 0-9 put x 1', null),
        operation('b 0-9 put x 2', null),
        operation('c 10-11 get x', 1),
        operation('c 12-13 get x', 1),
      ],
    ],
    [
      'an order that no order of calls or returns gives',
      [
        operation('a 0-20 put x 1', null),
        operation('b 1-18 put x 2', null),
        operation('c 2-19 put x 3', null),
        operation('d 3-4 get x', 3),
        operation('d 5-6 get x', 1),
        operation('d 7-8 get x', 2),
      ],
    ],
    [
      'keys have nothing to do with each other',
      [operation('a 0-1 put x 1', null), operation('b 2-3 get y', null), operation('b 4-5 get x', 1)],
    ],
    [
      'only one of two compare-and-sets wins',
      [
        operation('a 0-1 put x 1', null),
        operation('a 2-9 cas x 1 2', true),
        operation('b 2-9 cas x 1 3', false),
        operation('c 10-11 get x', 2),
      ],
    ],
  ])('%s', (_, history) => {
    expect(verdict(history)).toBe('linearizable');
  });
});

describe('a history that no single copy could have made', () => {
  it.each<[string, History]>([
    [
      'a stale read',
      [operation('a 0-1 put x 1', null), operation('a 2-3 put x 2', null), operation('b 4-5 get x', 1)],
    ],
    [
      'a lost update: two count up and get the same number',
      [operation('a 0-9 add x', 1), operation('b 0-9 add x', 1)],
    ],
    ['a lost write', [operation('a 0-1 put x 1', null), operation('b 2-3 get x', null)]],
    ['a read of a phantom', [operation('a 0-1 put x 1', null), operation('b 2-3 get x', 7)]],
    ['a read of the future', [operation('b 0-1 get x', 1), operation('a 2-3 put x 1', null)]],
    [
      'two readers see two writes in different orders',
      [
        operation('a 0-20 put x 1', null),
        operation('b 0-20 put x 2', null),
        operation('c 1-2 get x', 1),
        operation('c 3-4 get x', 2),
        operation('d 5-6 get x', 1),
      ],
    ],
    [
      'a value that comes back',
      [
        operation('a 0-1 put x 1', null),
        operation('a 2-9 put x 2', null),
        operation('b 3-4 get x', 2),
        operation('c 5-6 get x', 1),
      ],
    ],
    [
      'two compare-and-sets that both win',
      [
        operation('a 0-1 put x 1', null),
        operation('a 2-9 cas x 1 2', true),
        operation('b 2-9 cas x 1 3', true),
      ],
    ],
  ])('%s', (_, history) => {
    expect(verdict(history)).toBe('not-linearizable');
  });
});

describe('an operation of which nobody knows', () => {
  const put = operation('a 2-2 put x 2', UNKNOWN);
  const before = operation('a 0-1 put x 1', null);

  it.each<[string, boolean, History]>([
    ['may have happened', true, [before, put, operation('b 9-10 get x', 2)]],
    ['may not have happened', true, [before, put, operation('b 9-10 get x', 1)]],
    [
      'may happen long after the call',
      true,
      [before, put, operation('b 9-10 get x', 1), operation('b 11-12 get x', 2)],
    ],
    [
      'happens once',
      false,
      [
        before,
        put,
        operation('b 3-4 get x', 2),
        operation('b 5-6 put x 3', null),
        operation('b 7-8 get x', 2),
      ],
    ],
    ['does not happen before the call', false, [before, operation('b 1-1 get x', 2), put]],
    ['is not undone', false, [before, put, operation('b 9-10 get x', 2), operation('b 11-12 get x', 1)]],
    [
      'explains why another fails',
      true,
      [before, operation('a 2-2 cas x 1 2', UNKNOWN), operation('b 3-4 cas x 1 3', false)],
    ],
    [
      'explains nothing when it could not have worked',
      false,
      [before, operation('a 2-2 cas x 9 2', UNKNOWN), operation('b 3-4 get x', 2)],
    ],
  ])('%s', (_, isLinearizable, history) => {
    expect(verdict(history)).toBe(isLinearizable ? 'linearizable' : 'not-linearizable');
  });
});

describe('what it says', () => {
  it('names the first answer that no order explains, of the smallest key', () => {
    const long = Array.from({ length: 50 }, (_, i) =>
      operation(`a ${4 * i}-${4 * i + 1} put big ${i}`, null),
    );
    const found = checkLinearizable(keyValueModel, [
      ...long,
      operation('b 300-301 get big 1', 1),
      operation('a 0-1 put x 1', null),
      operation('b 2-3 get x', 1),
      operation('b 4-5 get x', null),
      operation('c 6-7 get x', null),
    ]);
    expect(found).toEqual({
      kind: 'not-linearizable',
      key: 'x',
      explanation: [
        'no order of the operations explains',
        '  [4, 5] b: get x -> null',
        'with these before it or at the same time',
        '  [0, 1] a: put x 1 -> null',
        '  [2, 3] b: get x -> 1',
      ].join('\n'),
    });
  });

  it('gives up when the steps do not suffice, and never calls that an answer', () => {
    const history = [operation('a 0-1 put x 1', null), operation('b 2-3 get x', 1)];
    expect(checkLinearizable(keyValueModel, history, 1)).toEqual({ kind: 'gave-up', key: 'x', steps: 1 });
    const broken = [
      ...history,
      operation('a 0-1 put y 1', null),
      operation('b 2-3 get y', 5),
      operation('b 4-5 get y', 5),
    ];
    expect(checkLinearizable(keyValueModel, broken, 2).kind).toBe('gave-up');
    expect(checkLinearizable(keyValueModel, broken, 100).kind).toBe('not-linearizable');
  });

  it('does not look twice at what it knows: many writes at once, read over and over', () => {
    const writes = Array.from({ length: 10 }, (_, i) => operation(`w${i} 0-100000 put x ${i}`, null));
    const reads = Array.from({ length: 400 }, (_, i) =>
      operation(`r ${10 * i + 1}-${10 * i + 2} get x`, i % 10 === 9 ? 9 : Math.min(9, Math.floor(i / 40))),
    );
    expect(verdict([...writes, ...reads])).toBe('not-linearizable');
  });
});

/** As dumb as it can be: every subset of the unknown, in every order of everything, done one after the other. */
function isLinearizableByPermutation(history: History): boolean {
  const extend = (state: number | null, left: History): boolean =>
    left.every(({ returned }) => returned === null) ||
    left.some((next) => {
      const others = left.filter((other) => other !== next);
      if (others.some(({ returned }) => returned !== null && returned.at < next.calledAt)) return false;
      const after = keyValueModel.step(state, next.op);
      const fits = next.returned === null || after.result === next.returned.result;
      return fits && extend(after.state, others);
    });
  return extend(null, history);
}

describe('against every permutation', () => {
  const value = fc.integer({ min: 1, max: 3 });
  const op: fc.Arbitrary<KeyValueOp> = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), key: fc.constant('x'), value }),
    fc.record({
      kind: fc.constant('cas' as const),
      key: fc.constant('x'),
      expected: fc.option(value),
      value,
    }),
    fc.record({ kind: fc.constant('add' as const), key: fc.constant('x') }),
    fc.record({ kind: fc.constant('get' as const), key: fc.constant('x') }),
  );
  const step = fc.record({
    op,
    calledAt: fc.integer({ min: 0, max: 12 }),
    lasts: fc.integer({ min: 0, max: 8 }),
    isUnknown: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    effect: fc.integer({ min: 0, max: 8 }),
    lie: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    wrong: fc.option(value),
  });

  /** What one copy answers, each operation done at some moment of its own; here and there a lie. */
  const histories = fc.array(step, { maxLength: 7 }).map((steps): History => {
    const inOrder = steps.toSorted(
      (a, b) => a.calledAt + (a.effect % (a.lasts + 1)) - b.calledAt - (b.effect % (b.lasts + 1)),
    );
    let state: number | null = null;
    return inOrder.map(({ op: what, calledAt, lasts, isUnknown, effect, lie, wrong }, index) => {
      const client = `c${index}`;
      if (isUnknown && effect % 2 === 0) return { client, op: what, calledAt, returned: null };
      const after = keyValueModel.step(state, what);
      state = after.state;
      const result = lie ? (what.kind === 'cas' ? after.result !== true : wrong) : after.result;
      return { client, op: what, calledAt, returned: isUnknown ? null : { at: calledAt + lasts, result } };
    });
  });

  it('finds the same, thousands of times, and both answers are common', () => {
    const counts = { linearizable: 0, 'not-linearizable': 0 };
    fc.assert(
      fc.property(histories, (history) => {
        const expected = isLinearizableByPermutation(history) ? 'linearizable' : 'not-linearizable';
        counts[expected]++;
        expect(verdict(history)).toBe(expected);
      }),
      { numRuns: 5_000 },
    );
    expect(counts.linearizable).toBeGreaterThan(1_000);
    expect(counts['not-linearizable']).toBeGreaterThan(500);
  });
});
