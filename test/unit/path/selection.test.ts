import { describe, expect, test } from 'vitest';
import { toIp } from '../../../src/net/ip.ts';
import type { Candidate, PathKind } from '../../../src/path/candidate.ts';
import { Evidence } from '../../../src/path/evidence.ts';
import { firstSelected, type Selected, select, type Way } from '../../../src/path/selection.ts';

const possible: Candidate = { possible: true, via: toIp('10.99.1.12'), mtu: 1500 };
const away: Candidate = { possible: false, wanted: true, reason: 'it is behind a router' };
const unwanted: Candidate = { possible: false, wanted: false, reason: 'it is not configured' };

/** Two ways to a peer, a second at a time: what answers and what does not. */
class Peer {
  readonly direct: Way;
  readonly vxlan: Way;
  selected: Selected;
  nowMs = 0;

  constructor(inKernel: PathKind | null = null, direct: Candidate = possible, vxlan: Candidate = possible) {
    this.direct = { candidate: direct, evidence: new Evidence() };
    this.vxlan = { candidate: vxlan, evidence: new Evidence() };
    this.selected = firstSelected(inKernel, 0);
    this.#select();
  }

  /** So many seconds with a probe a tenth of a second on each way. */
  pass(seconds: number, answering: readonly PathKind[]): Selected {
    for (const endMs = this.nowMs + seconds * 1000; this.nowMs < endMs; ) {
      this.nowMs += 100;
      for (const kind of ['direct', 'vxlan'] as const) {
        const { evidence } = this[kind];
        if (answering.includes(kind)) evidence.answered(this.nowMs - 1, this.nowMs);
        else evidence.lost(this.nowMs - 1, this.nowMs);
      }
      this.#select();
    }
    return this.selected;
  }

  #select(): void {
    this.selected = select(this.selected, { direct: this.direct, vxlan: this.vxlan }, this.nowMs);
  }
}

const BOTH: readonly PathKind[] = ['direct', 'vxlan'];

describe('a new peer', () => {
  test('takes vxlan until direct is proven, and then direct at once', () => {
    const peer = new Peer();
    expect(peer.selected).toMatchObject({ kind: 'vxlan', state: 'unproven' });
    expect(peer.pass(0.1, BOTH)).toMatchObject({ kind: 'direct', state: 'direct', reason: null });
  });

  test('takes direct by the lookup where there is no vxlan', () => {
    const peer = new Peer(null, possible, unwanted);
    expect(peer.selected).toMatchObject({ kind: 'direct', state: 'unproven' });
  });

  test('that answers on neither way gets what the lookup says, and keeps it', () => {
    const peer = new Peer();
    const reason = 'no probe was ever answered; a packet filter may drop them';
    expect(peer.pass(3, [])).toMatchObject({ kind: 'direct', state: 'unproven', reason });
    expect(peer.pass(300, [])).toMatchObject({ kind: 'direct', state: 'unproven' });
    expect(peer.pass(0.1, BOTH)).toMatchObject({ kind: 'direct', state: 'direct' });
  });

  test('that answers by vxlan alone, such as behind a cloud that checks addresses, keeps vxlan and says why', () => {
    const peer = new Peer();
    const reason =
      'the direct path has never answered: something between the hosts drops packets of containers';
    expect(peer.pass(300, ['vxlan'])).toMatchObject({ kind: 'vxlan', state: 'vxlan', reason });
    // The check is switched off.
    expect(peer.pass(0.1, BOTH)).toMatchObject({ kind: 'direct', state: 'direct' });
  });

  test('without any way is down, for the reasons that there are', () => {
    expect(new Peer(null, away, unwanted).selected).toMatchObject({
      ...{ kind: null, state: 'down', reason: 'it is behind a router, and it is not configured' },
    });
    expect(new Peer(null, unwanted, away).selected.reason).toBe('it is behind a router');
  });
});

describe('a path that dies', () => {
  test('is left within three seconds for the other one', () => {
    const peer = new Peer();
    peer.pass(60, BOTH);
    expect(peer.pass(2.5, ['vxlan'])).toMatchObject({ kind: 'vxlan', state: 'vxlan' });
    expect(peer.selected.reason).toBe('the direct path stopped answering');
  });

  test('is kept while the other one does not answer either, as down', () => {
    const peer = new Peer();
    peer.pass(60, BOTH);
    expect(peer.pass(60, [])).toMatchObject({ kind: 'direct', state: 'down' });
    expect(peer.selected.reason).toBe('no probe is answered on any path any more');
    expect(peer.pass(1, ['vxlan'])).toMatchObject({ kind: 'vxlan', state: 'vxlan' });
  });

  test('is not left when both are back at about the same time', () => {
    const peer = new Peer();
    peer.pass(60, BOTH);
    peer.pass(60, []);
    expect(peer.pass(10, BOTH)).toMatchObject({ kind: 'direct', state: 'direct' });
  });

  test('is used again after ten seconds of proof, and at most once a minute', () => {
    const peer = new Peer();
    peer.pass(60, BOTH);
    peer.pass(5, ['vxlan']);
    expect(peer.pass(9.5, BOTH)).toMatchObject({ kind: 'vxlan' });
    expect(peer.pass(1, BOTH)).toMatchObject({ kind: 'direct' });
    peer.pass(5, ['vxlan']);
    expect(peer.pass(50, BOTH)).toMatchObject({ kind: 'vxlan' });
    expect(peer.pass(6, BOTH)).toMatchObject({ kind: 'direct' });
  });

  test('is left whenever it is dead, however short ago the last change was', () => {
    const peer = new Peer();
    peer.pass(60, BOTH);
    peer.pass(3, ['vxlan']);
    expect(peer.selected.kind).toBe('vxlan');
    expect(peer.pass(3, ['direct'])).toMatchObject({ kind: 'direct' });
    expect(peer.pass(3, ['vxlan'])).toMatchObject({ kind: 'vxlan' });
  });
});

describe('a restart', () => {
  test('changes nothing that is right', () => {
    expect(new Peer('direct').selected).toMatchObject({ kind: 'direct', state: 'unproven' });
    expect(new Peer('direct').pass(60, BOTH)).toMatchObject({ kind: 'direct', state: 'direct' });
    expect(new Peer('vxlan').pass(60, ['vxlan'])).toMatchObject({ kind: 'vxlan', state: 'vxlan' });
    expect(new Peer('vxlan').pass(60, [])).toMatchObject({ kind: 'vxlan', state: 'unproven' });
  });

  test('is no way around the minute', () => {
    const peer = new Peer('vxlan');
    expect(peer.pass(59, BOTH)).toMatchObject({ kind: 'vxlan' });
    expect(peer.pass(2, BOTH)).toMatchObject({ kind: 'direct' });
  });
});

test('a way that is there no more is left at once', () => {
  const peer = new Peer();
  peer.pass(60, BOTH);
  const ways = { direct: { ...peer.direct, candidate: away }, vxlan: peer.vxlan };
  expect(select(peer.selected, ways, peer.nowMs)).toMatchObject({
    ...{ kind: 'vxlan', state: 'vxlan', reason: 'it is behind a router' },
  });
});
