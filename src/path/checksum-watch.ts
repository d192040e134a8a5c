/**
 * Finds out once for each tunnel device whether the NIC below spoils its checksums, and switches the offload off where
 * it does: then TCP through the tunnel works, which ping never showed to be broken. Asks only through tunnels that are
 * in use and answer, one trial at a time, and leaves the device as it was unless the trial proves it broken.
 */
import type { Ip } from '../net/ip.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import { nextStep, type Tried, type Verdict } from './checksum-trial.ts';

/** Asked at the same time before a trial switches anything: one answer is enough. */
const FIRST_ASKED = 3;
/** Peers that stay silent either way, after which we stop asking: a policy of the site. */
const ASKED_MAX = 12;

/** A peer's way through a device of ours, from base to base. */
export interface Tunnel {
  readonly device: string;
  readonly from: Ip;
  readonly to: Ip;
}

export interface Offload {
  /** Null where there is no such device. */
  checksumOffload(device: string): boolean | null;
  setChecksumOffload(device: string, on: boolean): boolean;
}

export interface ChecksumWatchOptions {
  readonly offload: Offload;
  readonly answersSyn: (from: Ip, to: Ip, signal: AbortSignal) => Promise<boolean>;
  readonly log: Log;
}

/** `found-off`: before we looked. */
type State = Verdict | 'found-off';

export class ChecksumWatch implements AsyncDisposable {
  readonly #options: ChecksumWatchOptions;
  readonly #states = new Map<string, State>();
  readonly #asked = new Map<string, Set<Ip>>();
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;

  constructor(options: ChecksumWatchOptions) {
    this.#options = options;
  }

  get problems(): readonly Problem[] {
    return [...this.#states].flatMap(([device, state]) => problemOf(device, state));
  }

  /** Those whose probes are answered now. Cheap when nothing is new. */
  setTunnels(tunnels: readonly Tunnel[]): void {
    if (this.#running !== null || this.#stop.signal.aborted) return;
    for (const device of new Set(tunnels.map((tunnel) => tunnel.device))) {
      if (!this.#needsTrial(device)) continue;
      const asked = this.#asked.get(device) ?? new Set();
      this.#asked.set(device, asked);
      const news = tunnels.filter((tunnel) => tunnel.device === device && !asked.has(tunnel.to));
      if (news.length === 0 || asked.size >= ASKED_MAX) continue;
      const chosen = news.slice(0, FIRST_ASKED);
      for (const { to } of chosen) asked.add(to);
      this.#running = this.#find(device, chosen).finally(() => {
        this.#running = null;
      });
      return;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #needsTrial(device: string): boolean {
    const { offload } = this.#options;
    const on = offload.checksumOffload(device);
    const state = this.#states.get(device);
    // Made anew, or somebody switched it on; the NIC is the same.
    if (on === true && state === 'broken') offload.setChecksumOffload(device, false);
    if (on === true && state === 'found-off') this.#states.delete(device);
    if (on === false && (state === undefined || state === 'unknown')) this.#states.set(device, 'found-off');
    const now = this.#states.get(device);
    return on === true && (now === undefined || now === 'unknown');
  }

  async #find(device: string, tunnels: readonly Tunnel[]): Promise<void> {
    const first = await Promise.all(tunnels.map((tunnel) => this.#ask(tunnel)));
    const [tunnel] = tunnels;
    if (this.#stop.signal.aborted) return;
    const verdict = first.includes(true) || tunnel === undefined ? 'good' : await this.#trial(tunnel);
    if (this.#stop.signal.aborted) return;
    this.#states.set(device, verdict);
    if (verdict !== 'broken') return;
    const { text, fix } = broken(device);
    this.#options.log.warn('checksum-offload-broken', text, { fix });
  }

  async #trial(tunnel: Tunnel): Promise<Verdict> {
    const { offload } = this.#options;
    const tried: Tried[] = [{ offload: true, answered: false }];
    try {
      for (;;) {
        const step = nextStep(tried);
        if (step.kind === 'over') return step.verdict;
        if (!offload.setChecksumOffload(tunnel.device, step.offload)) return 'unknown';
        tried.push({ offload: step.offload, answered: await this.#ask(tunnel) });
      }
    } finally {
      const step = nextStep(tried);
      const isBroken = step.kind === 'over' && step.verdict === 'broken';
      offload.setChecksumOffload(tunnel.device, !isBroken);
    }
  }

  #ask({ from, to }: Tunnel): Promise<boolean> {
    return this.#options.answersSyn(from, to, this.#stop.signal);
  }
}

function problemOf(device: string, state: State): readonly Problem[] {
  if (state === 'broken') return [broken(device)];
  if (state !== 'found-off') return [];
  return [
    {
      code: 'checksum-offload-off',
      severity: 'warning',
      text: `${device} computes its checksums itself: the offload to the network card is off, by hand or by an earlier run that found it broken.`,
      fix: `To have it tried again, run "ethtool -K ${device} tx-checksum-ip-generic on".`,
    },
  ];
}

function broken(device: string): Problem {
  return {
    code: 'checksum-offload-broken',
    severity: 'warning',
    text: `The network card of this host spoils the checksums of TCP through ${device}, so the agent has switched that offload off (tx-checksum-ip-generic).`,
    fix: 'TCP works, with more work for the processor; a newer driver or hypervisor may do it right.',
  };
}
