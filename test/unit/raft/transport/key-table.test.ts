import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../../raft/core/types.ts';
import { KEY_LIFETIME_MS, REKEY_MS, REPLACED_GRACE_MS } from '../../../../raft/limits.ts';
import { KeyTable } from '../../../../raft/transport/key-table.ts';
import { DatagramKeys } from '../../../../raft/transport/keys.ts';

const self = toReplicaId(1);
const peer = toReplicaId(2);

function keys(name: string): DatagramKeys {
  const exporter = {
    exportKeyingMaterial: (_label: string, length: number) =>
      Buffer.concat([0, 1, 2].map((n) => createHash('sha256').update(`${name} ${n}`).digest())).subarray(
        0,
        length,
      ),
  };
  return DatagramKeys.derive(exporter, new Uint8Array(), self, peer);
}

describe('key table', () => {
  it('sends with the newest keys and accepts those before for the grace', () => {
    const table = new KeyTable();
    const [first, second] = [keys('first'), keys('second')];
    table.install(peer, first, 0);
    table.install(peer, second, 1_000);
    expect(table.outbound(peer, 1_000)).toBe(second);
    expect(table.find(first.id, 1_000 + REPLACED_GRACE_MS - 1)).toMatchObject({ peer, keys: first });
    expect(table.find(first.id, 1_000 + REPLACED_GRACE_MS)).toBeNull();
    expect(table.find(second.id, 1_000 + REPLACED_GRACE_MS)).toMatchObject({ keys: second });
  });

  it('never sends with keys that are only accepted', () => {
    const table = new KeyTable();
    const [current, loser] = [keys('current'), keys('loser')];
    table.install(peer, current, 0);
    table.accept(peer, loser, 0);
    expect(table.outbound(peer, 1)).toBe(current);
    expect(table.find(loser.id, 1)).toMatchObject({ keys: loser });
    expect(table.find(loser.id, REPLACED_GRACE_MS)).toBeNull();
  });

  it('asks for renewal within the hour and drops keys that were never renewed', () => {
    const table = new KeyTable();
    const only = keys('only');
    table.install(peer, only, 0);
    expect(table.isRenewalDue(peer, REKEY_MS / 2)).toBe(false);
    expect(table.isRenewalDue(peer, REKEY_MS)).toBe(true);
    expect(table.outbound(peer, KEY_LIFETIME_MS - 1)).toBe(only);
    expect(table.outbound(peer, KEY_LIFETIME_MS)).toBeNull();
    expect(table.find(only.id, KEY_LIFETIME_MS)).toBeNull();
    table.sweep(KEY_LIFETIME_MS);
    expect(table.isRenewalDue(peer, KEY_LIFETIME_MS)).toBe(false);
  });

  it('forgets all keys of a peer at once', () => {
    const table = new KeyTable();
    const [first, second] = [keys('first'), keys('second')];
    table.install(peer, first, 0);
    table.install(peer, second, 0);
    table.forget(peer);
    expect(table.outbound(peer, 1)).toBeNull();
    expect([first, second].map(({ id }) => table.find(id, 1))).toEqual([null, null]);
  });

  it('keeps few sets of a peer that reconnects in a loop, the newest among them', () => {
    const table = new KeyTable();
    const sets = Array.from({ length: 50 }, (_, i) => keys(`set ${i}`));
    for (const set of sets) table.install(peer, set, 0);
    const kept = sets.filter(({ id }) => table.find(id, 1) !== null);
    expect(kept).toEqual(sets.slice(-4));
    expect(table.outbound(peer, 1)).toBe(sets.at(-1));
  });
});
