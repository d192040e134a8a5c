import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { MAX_DATAGRAM_BYTES } from '../../../../raft/limits.ts';
import {
  DatagramKeys,
  type KeyExporter,
  keyIdOf,
  MAX_SEALED_BYTES,
} from '../../../../raft/transport/keys.ts';

const low = toReplicaId(3);
const high = toReplicaId(7);
const context = Buffer.from('cluster 1');

/** As a TLS connection does it: the same secret, label and context give the same bytes. */
function connection(secret: string): KeyExporter {
  return {
    exportKeyingMaterial: (label, length, exporterContext) => {
      const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) =>
        createHmac('sha256', secret).update(`${i} ${label}`).update(exporterContext).digest(),
      );
      return Buffer.concat(blocks).subarray(0, length);
    },
  };
}

function pair(secret = 'secret'): { readonly lower: DatagramKeys; readonly higher: DatagramKeys } {
  return {
    lower: DatagramKeys.derive(connection(secret), context, low, high),
    higher: DatagramKeys.derive(connection(secret), context, high, low),
  };
}

function seal(keys: DatagramKeys, text: string | Uint8Array): Buffer {
  const frame = keys.seal(Buffer.from(text));
  if (frame === null) throw new Error('the keys are used up');
  return frame;
}

describe('datagram keys', () => {
  it('carry any plaintext both ways', () => {
    const { lower, higher } = pair();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: MAX_SEALED_BYTES }), fc.boolean(), (plaintext, upwards) => {
        const [from, to] = upwards ? [lower, higher] : [higher, lower];
        const frame = seal(from, plaintext);
        expect(frame.length).toBeLessThanOrEqual(MAX_DATAGRAM_BYTES);
        expect(keyIdOf(frame)).toBe(to.id);
        expect(to.open(frame)).toEqual(Buffer.from(plaintext));
      }),
    );
  });

  it('fill a datagram exactly', () => {
    expect(seal(pair().lower, new Uint8Array(MAX_SEALED_BYTES)).length).toBe(MAX_DATAGRAM_BYTES);
    expect(() => pair().lower.seal(new Uint8Array(MAX_SEALED_BYTES + 1))).toThrow(/too large/);
  });

  it('accept a frame once', () => {
    const { lower, higher } = pair();
    const frames = ['a', 'b', 'c'].map((text) => seal(lower, text));
    for (const frame of frames.toReversed()) expect(higher.open(frame)).not.toBeNull();
    for (const frame of frames) expect(higher.open(frame)).toBeNull();
  });

  it('refuse a frame with any bit changed, and take the true one afterwards', () => {
    const { lower, higher } = pair();
    const frame = seal(lower, 'vote for me');
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const forged = Buffer.from(frame);
      const at = Math.floor(bit / 8);
      forged[at] = (forged[at] ?? 0) ^ (1 << (bit % 8));
      expect(higher.open(forged)).toBeNull();
    }
    expect(higher.open(frame)?.toString()).toBe('vote for me');
  });

  it('refuse their own frames when somebody reflects them', () => {
    const { lower } = pair();
    expect(lower.open(seal(lower, 'a'))).toBeNull();
  });

  it('never seal two frames alike', () => {
    const { lower } = pair();
    const frames = new Set(Array.from({ length: 1_000 }, () => seal(lower, 'a').toString('hex')));
    expect(frames.size).toBe(1_000);
  });

  it.each([
    ['connection', DatagramKeys.derive(connection('other'), context, high, low)],
    ['cluster', DatagramKeys.derive(connection('secret'), Buffer.from('cluster 2'), high, low)],
    ['pair', DatagramKeys.derive(connection('secret'), context, high, toReplicaId(4))],
  ])('of another %s have another id and open nothing', (_name, other) => {
    const { lower } = pair();
    expect(other.id).not.toBe(lower.id);
    expect(other.open(seal(lower, 'a'))).toBeNull();
  });

  it('tell what cannot be a frame by its first bytes', () => {
    const frame = seal(pair().lower, 'a');
    expect(keyIdOf(frame.subarray(0, 32))).toBeUndefined();
    expect(keyIdOf(Buffer.concat([frame, Buffer.alloc(MAX_DATAGRAM_BYTES)]))).toBeUndefined();
    frame[0] = 9;
    expect(keyIdOf(frame)).toBeUndefined();
    expect(keyIdOf(Buffer.alloc(0))).toBeUndefined();
  });
});
