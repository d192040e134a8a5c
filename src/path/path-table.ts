/**
 * Every peer's paths: which probes to send when, what their answers and losses mean, and which path is used. Pure: time
 * and randomness come in, probes go out as plain data, so that a simulation runs it from a seed. Whoever sends the
 * probes reads the answers that are there before it lets time pass, or a busy process would take its own delay for loss.
 */
import { type Cidr, cidrFamily } from '../net/cidr.ts';
import { PATH_KINDS, type PathKind, type PathTarget } from './candidate.ts';
import { Evidence } from './evidence.ts';
import { type Pace, paceOf } from './pace.ts';
import { PathMtu } from './path-mtu.ts';
import { ProbeBudget, REGULAR_PER_SECOND } from './probe-budget.ts';
import { firstSelected, type Selected, select } from './selection.ts';

/** An answer that comes later than this is none. */
const ANSWER_MS_MAX = 3_000;
/** How far the time between two probes strays from the pace, up and down. */
const JITTER = 0.1;
const STRETCH_MS = 1_000;
/** Kept for idle paths, however many busy ones there are. */
const IDLE_PER_SECOND_MIN = 1;
/** A host that has more to send than it may does not spin. */
const STEP_MS_MIN = 20;
/** More time between looks at the length of packets on a path that carries none. */
const SPARE_LOOK_MS = 5 * 60_000;
const IDLE_LOOK_MS = 15 * 60_000;

export interface Probe {
  readonly id: number;
  readonly subnet: Cidr;
  readonly kind: PathKind;
  /** Of the whole IP packet; null for the shortest. */
  readonly length: number | null;
}

export interface PeerPaths {
  readonly target: PathTarget;
  readonly selected: Selected;
  readonly ways: Readonly<Record<PathKind, ProbedPath>>;
}

/** One candidate to one peer. */
export class ProbedPath {
  candidate: PathTarget[PathKind];
  evidence: Evidence = new Evidence();
  readonly mtu: PathMtu;
  addedMs: number;
  /** Of the last short probe. */
  sentMs: number | null = null;
  jitter = 1;
  pace: Pace = { everyMs: 0, urgent: false };
  dueMs = 0;
  lengthIsAsked = false;

  constructor(candidate: PathTarget[PathKind], family: 4 | 6, nowMs: number) {
    this.candidate = candidate;
    this.mtu = new PathMtu(family, candidate.possible ? candidate.mtu : 0);
    this.addedMs = nowMs;
  }

  update(candidate: PathTarget[PathKind], nowMs: number): void {
    if (candidate.possible) {
      // Another way than the one that was probed; nothing is known of it.
      if (!this.candidate.possible || this.candidate.via !== candidate.via) this.#restart(nowMs);
      this.mtu.setLinkMtu(candidate.mtu);
    }
    this.candidate = candidate;
  }

  #restart(nowMs: number): void {
    this.evidence = new Evidence();
    this.addedMs = nowMs;
    this.sentMs = null;
  }
}

interface Peer extends PeerPaths {
  target: PathTarget;
  selected: Selected;
  busy: boolean;
  /** What a change of makes another revision. */
  shown: string;
}

interface Outstanding extends Probe {
  readonly evidence: Evidence;
  readonly sentMs: number;
  lost: boolean;
}

export class PathTable {
  readonly #random: () => number;
  readonly #budget: ProbeBudget;
  readonly #peers = new Map<Cidr, Peer>();
  readonly #outstanding = new Map<number, Outstanding>();
  #busy: ReadonlySet<Cidr> | null = null;
  #nextId = 0;
  #stretch = { busy: 1, idle: 1 };
  #stretchedAtMs = Number.NEGATIVE_INFINITY;
  #revision = 0;

  constructor(random: () => number, nowMs: number) {
    this.#random = random;
    this.#budget = new ProbeBudget(nowMs);
  }

  get peers(): ReadonlyMap<Cidr, PeerPaths> {
    return this.#peers;
  }

  /** Another number whenever a choice, its reason or an MTU is not what it was. */
  get revision(): number {
    return this.#revision;
  }

  /** The whole of them. `inKernel`: the ways our routes take now, for peers that are new here. */
  setTargets(targets: readonly PathTarget[], inKernel: ReadonlyMap<Cidr, PathKind>, nowMs: number): void {
    const wanted = new Set(targets.map(({ subnet }) => subnet));
    for (const subnet of this.#peers.keys()) if (!wanted.has(subnet)) this.#peers.delete(subnet);
    for (const target of targets) {
      const peer = this.#peers.get(target.subnet) ?? this.#newPeer(target, inKernel, nowMs);
      peer.target = target;
      for (const kind of PATH_KINDS) peer.ways[kind].update(target[kind], nowMs);
      this.#review(peer, nowMs);
    }
  }

  /** The peers that carried packets lately; null where all are to be treated so. */
  setBusy(busy: ReadonlySet<Cidr> | null, nowMs: number): void {
    this.#busy = busy;
    for (const peer of this.#peers.values()) {
      const before = peer.busy;
      peer.busy = busy?.has(peer.target.subnet) ?? true;
      if (peer.busy !== before) this.#plan(peer, nowMs);
    }
  }

  /** Probes to send now, counted as sent, and when to call again unless something happens before. */
  step(nowMs: number): { readonly probes: readonly Probe[]; readonly wakeAtMs: number } {
    this.#expire(nowMs);
    if (nowMs - this.#stretchedAtMs >= STRETCH_MS) this.#setStretch(nowMs);
    const probes: Probe[] = [];
    for (const { path, peer, length } of this.#due(nowMs)) {
      const need = length !== null ? 'patient' : path.pace.urgent ? 'urgent' : 'regular';
      if (!this.#budget.take(need, nowMs)) continue;
      probes.push(this.#sent(peer, path, length, nowMs));
      // Only beside a short one that passes does a long one that is lost tell something of its length.
      if (length !== null && this.#budget.take('regular', nowMs))
        probes.push(this.#sent(peer, path, null, nowMs));
    }
    return { probes, wakeAtMs: this.#wakeAtMs(nowMs) };
  }

  /** The caller has checked that it is an answer to this very probe. */
  answered(id: number, nowMs: number): void {
    const probe = this.#outstanding.get(id);
    if (probe === undefined) return;
    this.#outstanding.delete(id);
    const peer = this.#peers.get(probe.subnet);
    const path = peer?.ways[probe.kind];
    if (peer === undefined || path?.evidence !== probe.evidence) return;
    path.evidence.answered(probe.sentMs, nowMs);
    if (probe.length !== null) {
      path.lengthIsAsked = false;
      path.mtu.answered(probe.length, nowMs);
    }
    this.#review(peer, nowMs);
  }

  #newPeer(target: PathTarget, inKernel: ReadonlyMap<Cidr, PathKind>, nowMs: number): Peer {
    const family = cidrFamily(target.subnet);
    const ways = {
      direct: new ProbedPath(target.direct, family, nowMs),
      vxlan: new ProbedPath(target.vxlan, family, nowMs),
    };
    const selected = firstSelected(inKernel.get(target.subnet) ?? null, nowMs);
    const busy = this.#busy?.has(target.subnet) ?? true;
    const peer = { target, selected, ways, busy, shown: '' };
    this.#peers.set(target.subnet, peer);
    return peer;
  }

  #expire(nowMs: number): void {
    for (const probe of this.#outstanding.values()) {
      const ageMs = nowMs - probe.sentMs;
      if (ageMs > ANSWER_MS_MAX) this.#outstanding.delete(probe.id);
      if (probe.lost || ageMs < probe.evidence.timeoutMs) continue;
      probe.lost = true;
      this.#lost(probe, nowMs);
    }
  }

  #lost({ subnet, kind, length, evidence, sentMs }: Outstanding, nowMs: number): void {
    const peer = this.#peers.get(subnet);
    const path = peer?.ways[kind];
    if (peer === undefined || path?.evidence !== evidence) return;
    if (length === null) evidence.lost(sentMs, nowMs);
    else {
      path.lengthIsAsked = false;
      if (evidence.answeredSince(sentMs) !== null) path.mtu.lost(length, evidence.loss ?? 0, nowMs);
    }
    this.#review(peer, nowMs);
  }

  /** What follows from anything that is new of this peer. */
  #review(peer: Peer, nowMs: number): void {
    peer.selected = select(peer.selected, peer.ways, nowMs);
    const { kind, state, reason } = peer.selected;
    const shown = `${kind} ${state} ${reason} ${PATH_KINDS.map((each) => peer.ways[each].mtu.mtu).join()}`;
    if (shown !== peer.shown) this.#revision++;
    peer.shown = shown;
    this.#plan(peer, nowMs);
  }

  #plan({ ways, selected, busy }: Peer, nowMs: number): void {
    for (const kind of PATH_KINDS) {
      const path = ways[kind];
      if (!path.candidate.possible) {
        path.dueMs = Number.POSITIVE_INFINITY;
        continue;
      }
      path.pace = paceOf({ kind, ways, selected, addedMs: path.addedMs, busy }, nowMs);
      const stretch = path.pace.urgent ? 1 : busy ? this.#stretch.busy : this.#stretch.idle;
      path.dueMs =
        path.sentMs === null ? path.addedMs : path.sentMs + path.pace.everyMs * stretch * path.jitter;
    }
  }

  #due(
    nowMs: number,
  ): readonly { readonly peer: Peer; readonly path: ProbedPath; readonly length: number | null }[] {
    const due: { peer: Peer; path: ProbedPath; length: number | null }[] = [];
    for (const peer of this.#peers.values())
      for (const kind of PATH_KINDS) {
        const path = peer.ways[kind];
        if (path.dueMs <= nowMs) due.push({ peer, path, length: null });
        if (isLengthDue(peer, path, nowMs)) due.push({ peer, path, length: path.mtu.next });
      }
    const rank = ({ peer, path }: (typeof due)[number]): number =>
      (path.pace.urgent ? 0 : 2) + (peer.busy ? 0 : 1);
    return due.sort((a, b) => rank(a) - rank(b) || a.path.dueMs - b.path.dueMs);
  }

  #sent(peer: Peer, path: ProbedPath, length: number | null, nowMs: number): Probe {
    const id = this.#nextId++;
    const kind = peer.ways.direct === path ? 'direct' : 'vxlan';
    const probe = { id, subnet: peer.target.subnet, kind, length } as const;
    this.#outstanding.set(id, { ...probe, evidence: path.evidence, sentMs: nowMs, lost: false });
    if (length === null) {
      path.sentMs = nowMs;
      path.jitter = 1 + JITTER * (2 * this.#random() - 1);
      this.#plan(peer, nowMs);
    } else path.lengthIsAsked = true;
    return probe;
  }

  /** Spreads the regular probes over what a host may send. */
  #setStretch(nowMs: number): void {
    this.#stretchedAtMs = nowMs;
    const wanted = { busy: 0, idle: 0 };
    for (const peer of this.#peers.values())
      for (const kind of PATH_KINDS) {
        const { candidate, pace } = peer.ways[kind];
        if (candidate.possible && !pace.urgent) wanted[peer.busy ? 'busy' : 'idle'] += 1_000 / pace.everyMs;
      }
    const left = Math.max(IDLE_PER_SECOND_MIN, REGULAR_PER_SECOND - wanted.busy);
    const idle = Math.max(1, wanted.idle / left);
    const busy = Math.max(1, wanted.busy / (REGULAR_PER_SECOND - Math.min(wanted.idle, left)));
    this.#stretch = { busy, idle };
    for (const peer of this.#peers.values()) this.#plan(peer, nowMs);
  }

  #wakeAtMs(nowMs: number): number {
    let wakeAtMs = this.#stretchedAtMs + STRETCH_MS;
    for (const { lost, sentMs, evidence } of this.#outstanding.values())
      if (!lost) wakeAtMs = Math.min(wakeAtMs, sentMs + evidence.timeoutMs);
    for (const { ways } of this.#peers.values())
      wakeAtMs = Math.min(wakeAtMs, ways.direct.dueMs, ways.vxlan.dueMs);
    return Math.max(nowMs + STEP_MS_MIN, wakeAtMs);
  }
}

/** Of a path that is proven, and one at a time. */
function isLengthDue({ ways, selected, busy }: Peer, path: ProbedPath, nowMs: number): boolean {
  if (!path.candidate.possible || path.lengthIsAsked || path.evidence.state !== 'proven') return false;
  const used = selected.kind !== null && ways[selected.kind] === path;
  return nowMs >= path.mtu.dueMs + (busy ? (used ? 0 : SPARE_LOOK_MS) : IDLE_LOOK_MS);
}
