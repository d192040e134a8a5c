/**
 * A world for the choice of paths, from one seed: peers with two paths each, whose directions lose, delay and swallow
 * packets as the seed has it, an agent that is restarted, and a checker that looks at the world and at what is chosen and
 * at nothing in between. It knows what every path really does, which the code under test has to find out.
 */
import { Random } from '../../raft/sim/random.ts';
import { type Cidr, toCidr } from '../../src/net/cidr.ts';
import { toIp } from '../../src/net/ip.ts';
import { PATH_KINDS, type PathKind, type PathTarget } from '../../src/path/candidate.ts';
import type { PathTable, Probe } from '../../src/path/path-table.ts';

export type MakeTable = (random: () => number, nowMs: number) => PathTable;

export interface PathRun {
  /** The rule that was broken, and where; null when none was. */
  readonly violation: string | null;
  readonly leaves: number;
  readonly returns: number;
  /** Of paths that were alive. */
  readonly falseLeaves: number;
  readonly probes: number;
}

const SECOND = 1_000;
const LINK_MTU: Readonly<Record<PathKind, number>> = { direct: 1500, vxlan: 1450 };
const BLIP_MS = 6 * SECOND;
/** Of what carries packets, as the agent gets to know it. */
const ACTIVITY_MS = 1_000;

/** One path of one peer, as it is. */
class Wire {
  blocked = { out: false, in: false };
  /** When it was last blocked; long ago at first. */
  blockedAtMs = Number.NEGATIVE_INFINITY;
  blockedSinceMs = 0;
  /** When it was last blocked for so long that probes at any pace must have seen it. */
  deadAtMs = Number.NEGATIVE_INFINITY;
  loss = 0;
  delayMs = 0.5;
  mtu = 1500;

  get alive(): boolean {
    return !this.blocked.out && !this.blocked.in;
  }
}

class SimulatedPeer {
  readonly subnet: Cidr;
  readonly wires: Readonly<Record<PathKind, Wire>> = { direct: new Wire(), vxlan: new Wire() };
  /** Carries packets. */
  active = true;
  /** A policy of the peer eats every probe, and no packet. */
  mute = false;
  onLink = true;
  /** Since when it has both paths, or has them again. */
  onLinkSinceMs = 0;
  kind: PathKind | null = null;
  /** Since when it is on a dead path while the other one is alive. */
  stuckSinceMs: number | null = null;
  /** Since when all is well with direct, and it could be used. */
  wellSinceMs = 0;
  directProven = false;
  lookedAway = false;
  returnedAtMs = Number.NEGATIVE_INFINITY;
  changes = 0;

  constructor(number: number) {
    this.subnet = toCidr(`10.5.${number}.0/24`);
  }

  target(): PathTarget {
    const via = toIp('10.99.1.12');
    return {
      subnet: this.subnet,
      direct: this.onLink
        ? { possible: true, via, mtu: LINK_MTU.direct }
        : { possible: false, wanted: true, reason: 'it is behind a router' },
      vxlan: { possible: true, via, mtu: LINK_MTU.vxlan },
    };
  }
}

interface Timed {
  readonly atMs: number;
  readonly run: () => void;
}

/** What a seed makes of the world. */
interface Profile {
  readonly peers: number;
  /** Of a round trip. */
  readonly loss: number;
  /** Per peer and second. */
  readonly faults: number;
  /** Hits several peers at once. */
  readonly wide: boolean;
  readonly restarts: boolean;
  readonly idles: boolean;
  readonly lookups: boolean;
  readonly delayMs: number;
  readonly limits: boolean;
}

function drawProfile(random: Random): Profile {
  const crowd = random.chance(0.1);
  const loss = crowd ? 0 : (random.pick([0, 0, 0.02, 0.1, 0.2, 0.2]) ?? 0);
  return {
    peers: crowd ? random.integer(5, 12) : random.integer(1, 4),
    loss,
    // Of many hosts few fail at a time; and the budget is for many hosts.
    faults: (random.pick([0, 0.01, 0.03, 0.1]) ?? 0) / (crowd ? 4 : 1),
    wide: !crowd && random.chance(0.3),
    restarts: !crowd && random.chance(0.3),
    idles: random.chance(0.3),
    lookups: random.chance(0.15),
    delayMs: random.pick([0.2, 2, 20, 100]) ?? 1,
    limits: random.chance(0.3),
  };
}

export class PathWorld {
  readonly #seed: number;
  readonly #random: Random;
  readonly #profile: Profile;
  readonly #make: MakeTable;
  readonly #peers: readonly SimulatedPeer[];
  readonly #busyUntil = new Map<Cidr, number>();
  readonly #sentAtMs: number[] = [];
  #timed: Timed[] = [];
  #table: PathTable;
  #startedAtMs = 0;
  #nowMs = 0;
  #running = true;
  #wakeAtMs = 0;
  #violation: string | null = null;
  readonly #count = { leaves: 0, returns: 0, falseLeaves: 0, probes: 0 };

  constructor(make: MakeTable, seed: number) {
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#profile = drawProfile(this.#random.fork());
    this.#make = make;
    const { peers, loss, delayMs, limits } = this.#profile;
    this.#peers = Array.from({ length: peers }, (_, i) => new SimulatedPeer(i + 1));
    for (const peer of this.#peers) {
      peer.mute = this.#random.chance(0.05);
      for (const kind of PATH_KINDS) {
        // One way loses so much that both together lose `loss`.
        peer.wires[kind].loss = 1 - Math.sqrt(1 - loss);
        peer.wires[kind].delayMs = delayMs * (0.5 + this.#random.next());
      }
      if (limits && this.#random.chance(0.5))
        peer.wires.direct.mtu = peer.wires.vxlan.mtu = this.#random.integer(1000, 1500);
    }
    this.#table = this.#newTable();
  }

  run(seconds: number): PathRun {
    this.#plan(seconds * SECOND);
    this.#start(new Map());
    while (this.#violation === null) {
      const next = this.#nextMs();
      if (next > seconds * SECOND) break;
      this.#nowMs = next;
      this.#step();
    }
    this.#checkRate();
    return { violation: this.#violation, ...this.#count };
  }

  #newTable(): PathTable {
    const random = this.#random.fork();
    return this.#make(() => random.next(), this.#nowMs);
  }

  /** Everything that befalls the world, drawn before anything happens. */
  #plan(endMs: number): void {
    const { faults, wide, restarts, idles, lookups } = this.#profile;
    const random = this.#random.fork();
    for (const peer of this.#peers) {
      for (let at = random.next() * 20; at < endMs / SECOND; at += 1 + random.next() * 2)
        if (random.chance(faults * 2)) this.#planFault(random, wide ? this.#peers : [peer], at * SECOND);
      if (idles && random.chance(0.5)) this.#planActivity(random, peer, endMs);
      if (lookups) this.#planLookups(random, peer, endMs);
    }
    if (restarts)
      for (let at = random.next() * 60; at < endMs / SECOND; at += 5 + random.next() * 60)
        this.#at(at * SECOND, () => this.#restart(random.next() * 5 * SECOND));
  }

  #planFault(random: Random, peers: readonly SimulatedPeer[], atMs: number): void {
    const kinds = random.pick<readonly PathKind[]>([['direct'], ['direct'], ['vxlan'], PATH_KINDS]) ?? [];
    const ways = random.pick([['out'], ['in'], ['out', 'in']] as const) ?? [];
    const lastsMs = (random.chance(0.5) ? 1 : 20) * SECOND * (0.2 + 2 * random.next());
    const set = (blocked: boolean) => (): void => {
      for (const { wires } of peers)
        for (const kind of kinds)
          for (const way of ways) {
            const wire = wires[kind];
            if (wire.alive) wire.blockedSinceMs = this.#nowMs;
            wire.blocked[way] = blocked;
            wire.blockedAtMs = this.#nowMs;
            if (wire.alive && this.#nowMs - wire.blockedSinceMs > BLIP_MS) wire.deadAtMs = this.#nowMs;
          }
    };
    this.#at(atMs, set(true));
    this.#at(atMs + lastsMs, set(false));
  }

  #planActivity(random: Random, peer: SimulatedPeer, endMs: number): void {
    peer.active = false;
    for (let at = random.next() * 20 * SECOND; at < endMs; at += random.next() * 60 * SECOND)
      this.#at(at, () => {
        peer.active = !peer.active;
      });
  }

  #planLookups(random: Random, peer: SimulatedPeer, endMs: number): void {
    for (let at = random.next() * 60 * SECOND; at < endMs; at += random.next() * 60 * SECOND)
      this.#at(at, () => {
        peer.onLink = !peer.onLink;
        peer.onLinkSinceMs = this.#nowMs;
        peer.lookedAway = true;
        if (this.#running) this.#setTargets(new Map());
      });
  }

  #at(atMs: number, run: () => void): void {
    this.#timed.push({ atMs, run });
    // The queue is short but for the plan, which is sorted when the first one is taken.
    this.#sorted = false;
  }
  #sorted = false;

  #nextMs(): number {
    if (!this.#sorted) this.#timed.sort((a, b) => b.atMs - a.atMs);
    this.#sorted = true;
    const timed = this.#timed.at(-1)?.atMs ?? Number.POSITIVE_INFINITY;
    return Math.min(timed, this.#running ? this.#wakeAtMs : Number.POSITIVE_INFINITY);
  }

  #step(): void {
    while ((this.#timed.at(-1)?.atMs ?? Number.POSITIVE_INFINITY) <= this.#nowMs) {
      this.#timed.pop()?.run();
      if (!this.#sorted) this.#nextMs();
    }
    if (this.#running) {
      const { probes, wakeAtMs } = this.#table.step(this.#nowMs);
      this.#wakeAtMs = wakeAtMs;
      for (const probe of probes) this.#send(probe);
    }
    for (const peer of this.#peers) this.#check(peer);
  }

  #restart(downMs: number): void {
    if (!this.#running) return;
    this.#running = false;
    this.#at(this.#nowMs + downMs, () => {
      this.#table = this.#newTable();
      this.#start(
        new Map(this.#peers.flatMap(({ subnet, kind }) => (kind === null ? [] : [[subnet, kind]]))),
      );
    });
  }

  #start(inKernel: ReadonlyMap<Cidr, PathKind>): void {
    this.#running = true;
    this.#startedAtMs = this.#nowMs;
    this.#wakeAtMs = this.#nowMs;
    for (const peer of this.#peers) peer.stuckSinceMs = null;
    this.#setTargets(inKernel);
    if (this.#profile.idles) this.#watchActivity(this.#startedAtMs);
  }

  #setTargets(inKernel: ReadonlyMap<Cidr, PathKind>): void {
    this.#table.setTargets(
      this.#peers.map((peer) => peer.target()),
      inKernel,
      this.#nowMs,
    );
  }

  #watchActivity(startedAtMs: number): void {
    if (startedAtMs !== this.#startedAtMs) return;
    for (const { subnet, active } of this.#peers)
      if (active) this.#busyUntil.set(subnet, this.#nowMs + 10 * SECOND);
    const busy = [...this.#busyUntil].filter(([, untilMs]) => untilMs >= this.#nowMs);
    this.#table.setBusy(new Set(busy.map(([subnet]) => subnet)), this.#nowMs);
    this.#at(this.#nowMs + ACTIVITY_MS, () => this.#watchActivity(startedAtMs));
  }

  #send({ id, subnet, kind, length }: Probe): void {
    this.#count.probes++;
    this.#sentAtMs.push(this.#nowMs);
    const peer = this.#peers.find((each) => each.subnet === subnet);
    const wire = peer?.wires[kind];
    if (peer === undefined || wire === undefined || peer.mute) return;
    if (kind === 'direct' && !peer.onLink) return;
    const fits = length === null || length <= Math.min(wire.mtu, LINK_MTU[kind]);
    if (!fits || wire.blocked.out || this.#random.chance(wire.loss)) return;
    const table = this.#table;
    this.#at(this.#nowMs + wire.delayMs, () => {
      if (wire.blocked.in || this.#random.chance(wire.loss)) return;
      this.#at(this.#nowMs + wire.delayMs, () => {
        if (this.#running && table === this.#table) table.answered(id, this.#nowMs);
      });
    });
  }

  #check(peer: SimulatedPeer): void {
    const { selected, ways } = this.#table.peers.get(peer.subnet) ?? {};
    if (!this.#running || selected === undefined || ways === undefined) return;
    if (selected.kind !== peer.kind) this.#checkChange(peer, selected.kind);
    if (peer.mute) {
      this.#checkMute(peer);
      return;
    }
    if (selected.state === 'direct') peer.directProven = true;
    this.#checkStuck(peer);
    this.#checkWell(peer);
    if (selected.kind !== null && this.#wellForMs(peer) > 40 * SECOND)
      this.#checkMtu(peer, selected.kind, ways[selected.kind].mtu.mtu);
  }

  #checkChange(peer: SimulatedPeer, kind: PathKind | null): void {
    const before = peer.kind;
    peer.kind = kind;
    peer.changes++;
    if (before === null) return;
    if (kind === null) {
      this.#broken('an unproven or dead path is never torn down', peer);
      return;
    }
    this.#count[kind === 'direct' ? 'returns' : 'leaves']++;
    if (peer.mute) return;
    const left = peer.wires[before];
    const agoMs = this.#nowMs - left.blockedAtMs;
    const wasDead = !left.alive || agoMs < 5 * SECOND;
    if (kind === 'vxlan' && peer.onLink && !wasDead) {
      this.#count.falseLeaves++;
      if (this.#profile.loss <= 0.02) this.#broken('a path that is alive is not left', peer);
    }
    if (kind === 'direct' && peer.directProven) this.#checkReturn(peer, wasDead);
  }

  #checkReturn(peer: SimulatedPeer, forced: boolean): void {
    const sinceMs = this.#nowMs - peer.returnedAtMs;
    peer.returnedAtMs = this.#nowMs;
    if (forced) return;
    if (sinceMs < 60 * SECOND) this.#broken(`a return at most once a minute, not after ${sinceMs} ms`, peer);
    const { direct } = peer.wires;
    const seen = !peer.lookedAway && !this.#profile.idles && this.#peers.length <= 4;
    if (seen && this.#nowMs - direct.deadAtMs < 9.5 * SECOND)
      this.#broken('a return needs ten seconds of proof', peer);
  }

  #checkMute(peer: SimulatedPeer): void {
    if (peer.changes > 2 && !this.#profile.lookups) this.#broken('an unproven path stays', peer);
    const { restarts, idles } = this.#profile;
    const settled = this.#nowMs - Math.max(this.#startedAtMs, peer.onLinkSinceMs) > 20 * SECOND;
    if (settled && !restarts && !idles && peer.kind !== (peer.onLink ? 'direct' : 'vxlan'))
      this.#broken('an unproven path is what the lookup says', peer);
  }

  #checkStuck(peer: SimulatedPeer): void {
    const { kind, wires, onLink } = peer;
    const other = wires[kind === 'direct' ? 'vxlan' : 'direct'];
    const otherIsAlive = other.alive && (kind === 'direct' || onLink);
    const stuck = kind !== null && peer.active && !wires[kind].alive && otherIsAlive;
    if (!stuck) peer.stuckSinceMs = null;
    else peer.stuckSinceMs ??= this.#nowMs;
    if (peer.stuckSinceMs !== null && this.#nowMs - peer.stuckSinceMs > 3 * SECOND)
      this.#broken(
        `on a dead path for more than 3 s while ${kind === 'direct' ? 'vxlan' : 'direct'} is alive`,
        peer,
      );
  }

  #wellForMs(peer: SimulatedPeer): number {
    const { direct, vxlan } = peer.wires;
    const wellSince = [direct.blockedAtMs, vxlan.blockedAtMs, peer.onLinkSinceMs, this.#startedAtMs];
    return direct.alive && vxlan.alive && peer.onLink ? this.#nowMs - Math.max(...wellSince) : 0;
  }

  #checkWell(peer: SimulatedPeer): void {
    if (!peer.active || this.#profile.idles) return;
    const wellMs = this.#wellForMs(peer);
    const crowd = this.#peers.length > 8;
    const allowedMs =
      peer.directProven || crowd || this.#profile.loss > 0 || this.#profile.restarts ? 90 * SECOND : SECOND;
    // A return before this may make it wait.
    const waitMs = Math.max(0, 61 * SECOND - (this.#nowMs - wellMs - peer.returnedAtMs));
    if (wellMs > allowedMs + waitMs && peer.kind !== 'direct')
      this.#broken(`direct has been well for ${allowedMs} ms and is not used`, peer);
  }

  #checkMtu(peer: SimulatedPeer, kind: PathKind, mtu: number): void {
    if (this.#profile.loss > 0 || this.#profile.idles || this.#peers.length > 4) return;
    const real = Math.min(LINK_MTU[kind], peer.wires[kind].mtu);
    if (mtu !== real) this.#broken(`the MTU of ${kind} is ${real} and not ${mtu}`, peer);
  }

  #checkRate(): void {
    let first = 0;
    for (const [last, atMs] of this.#sentAtMs.entries()) {
      while ((this.#sentAtMs[first] ?? atMs) < atMs - 10 * SECOND) first++;
      // And the reserve.
      if (last - first + 1 > 261 && !this.#profile.restarts) {
        this.#violation ??= `seed ${this.#seed}: ${last - first + 1} probes in ten seconds`;
        return;
      }
    }
  }

  #broken(rule: string, peer: SimulatedPeer): void {
    const at = (this.#nowMs / SECOND).toFixed(3);
    this.#violation ??= `seed ${this.#seed}, ${at} s, ${peer.subnet}: ${rule} (${JSON.stringify(this.#profile)})`;
  }
}
