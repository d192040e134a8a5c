import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  boolean,
  canonicalJson,
  canonicalJsonPieces,
  cidr,
  DecodeError,
  integer,
  ip,
  list,
  nullable,
  oneOf,
  parseJsonBytes,
  record,
  text,
} from '../../../src/config/strict-json.ts';

const point = record((fields) => ({
  x: fields.get('x', integer(0, 9)),
  y: fields.get('y', nullable(boolean)),
}));

describe('reading', () => {
  it('accepts exactly what is described', () => {
    expect(point({ y: null, x: 3 })).toEqual({ x: 3, y: null });
    expect(Object.is(integer(0, 1)(-0), 0)).toBe(true);
  });
  it.each([
    [{ x: 3 }, 'y: missing'],
    [{ x: 3, y: null, z: 1 }, 'z: unknown field'],
    [{ x: 10, y: null }, 'x: not an integer in 0..9'],
    [{ x: 1.5, y: null }, 'x: not an integer in 0..9'],
    [{ x: 1, y: 'no' }, 'y: not true or false'],
    [[], 'not an object'],
    [null, 'not an object'],
  ])('refuses %j', (value, message) => {
    expect(() => point(value)).toThrow(new DecodeError(message));
  });
  it('names the path', () => {
    const nested = record((fields) => fields.get('points', list(point, 2)));
    expect(() =>
      nested({
        points: [
          { x: 1, y: true },
          { x: -1, y: true },
        ],
      }),
    ).toThrow('points: 1: x: not an integer');
    expect(() => nested({ points: [1, 2, 3] })).toThrow('points: not a list of at most 2');
  });
  it('sees __proto__ as an unknown field', () => {
    expect(() => point(JSON.parse('{"x":1,"y":null,"__proto__":{"z":1}}'))).toThrow(
      '__proto__: unknown field',
    );
  });
  it('takes addresses in canonical form only', () => {
    expect(ip('fc00::1')).toBe('fc00::1');
    for (const bad of ['FC00::1', '10.0.0', 5]) expect(() => ip(bad)).toThrow(DecodeError);
    for (const bad of ['10.5.0.1/16', '10.5.0.0', null]) expect(() => cidr(bad)).toThrow(DecodeError);
    expect(cidr('10.5.0.0/16')).toBe('10.5.0.0/16');
  });
  it('takes one of the listed values, and text by its pattern', () => {
    expect(oneOf(1, 2)(2)).toBe(2);
    expect(() => oneOf(1, 2)('1')).toThrow('not one of 1, 2');
    expect(() => text(/^a+$/)('b')).toThrow(DecodeError);
  });
  it('refuses bytes that are too many, no UTF-8, no JSON', () => {
    const bytes = (value: string) => new TextEncoder().encode(value);
    expect(parseJsonBytes(bytes('[1]'), 3)).toEqual([1]);
    for (const bad of [bytes('[12]'), Uint8Array.of(0xff), bytes('\ufeff1'), bytes('{')])
      expect(() => parseJsonBytes(bad, 3)).toThrow(DecodeError);
  });
});

describe('writing', () => {
  it('depends on the value only, and reads back', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), (value) => {
        const shuffled = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(shuffled)).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
  it('sorts keys and leaves out undefined', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: undefined })).toBe('{"b":[1,{"c":"x","d":null}]}');
  });
  it('does not follow a sender into the depth', () => {
    expect(() => canonicalJson(JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`))).toThrow(
      DecodeError,
    );
  });
});

describe('the canonical text in pieces', () => {
  const values = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)));

  it('is the same text, whatever the depth', () => {
    fc.assert(
      fc.property(values, fc.nat(5), (value, depth) => {
        expect([...canonicalJsonPieces(value, depth)].join('')).toBe(canonicalJson(value));
      }),
    );
    expect([...canonicalJsonPieces({ a: undefined, b: [] }, 2)].join('')).toBe('{"b":[]}');
  });
  it('has a piece for each value at that depth', () => {
    expect([...canonicalJsonPieces([{ a: 1 }, [2]], 1)]).toEqual(['[', '{"a":1}', ',', '[2]', ']']);
  });
});
