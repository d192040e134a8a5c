import { describe, expect, it } from 'vitest';
import type { HeartbeatRequest, Message } from '../../../../raft/core/messages.ts';
import { toLogIndex, toReplicaId, toTerm } from '../../../../raft/core/types.ts';
import { type NetworkParameters, SimulatedNetwork } from '../../../../raft/sim/network.ts';
import { Random } from '../../../../raft/sim/random.ts';
import { CALM_NETWORK } from '../../../../raft/sim/swarm.ts';
import { Timeline } from '../../../../raft/sim/timeline.ts';

function heartbeat(sequence: number): HeartbeatRequest {
  const [from, to] = [toReplicaId(1), toReplicaId(2)];
  return { kind: 'heartbeat-request', from, to, term: toTerm(1), commit: toLogIndex(0), sequence };
}

/** The sequences that arrive of 200 messages. */
function transmit(
  parameters: Partial<NetworkParameters>,
  prepare: (network: SimulatedNetwork<null>) => void,
): number[] {
  const timeline = new Timeline();
  const arrived: number[] = [];
  const deliver = (message: Message): void => {
    if (message.kind === 'heartbeat-request') arrived.push(message.sequence);
  };
  const network = new SimulatedNetwork<null>({
    timeline,
    random: new Random(9),
    parameters: { ...CALM_NETWORK, ...parameters },
    deliver,
  });
  prepare(network);
  for (let i = 0; i < 200; i++) timeline.at(i, () => network.send(heartbeat(i), null));
  timeline.runUntil(10_000);
  return arrived;
}

const inOrder = (sequences: number[]): number[] => sequences.toSorted((a, b) => a - b);

describe('SimulatedNetwork', () => {
  it('delivers everything once when it is calm', () => {
    expect(inOrder(transmit({}, () => {}))).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  it('loses', () => {
    const arrived = transmit({ dropProbability: 0.5 }, () => {});
    expect(arrived.length).toBeGreaterThan(50);
    expect(arrived.length).toBeLessThan(150);
  });

  it('duplicates', () => {
    expect(transmit({ duplicateProbability: 1 }, () => {})).toHaveLength(400);
  });

  it('reorders', () => {
    const arrived = transmit({ slowProbability: 0.2, slowMsMax: 500 }, () => {});
    expect(arrived).toHaveLength(200);
    expect(arrived).not.toEqual(inOrder(arrived));
  });

  it('cuts one way and heals', () => {
    expect(transmit({}, (network) => network.cut((from) => from === 1))).toEqual([]);
    expect(transmit({}, (network) => network.cut((from) => from === 2))).toHaveLength(200);
    const healed = transmit({}, (network) => {
      network.cut(() => true);
      network.heal();
    });
    expect(healed).toHaveLength(200);
  });

  it('lets an older cut end without ending a newer one', () => {
    const older = (): boolean => true;
    const arrived = transmit({}, (network) => {
      network.cut(older);
      network.cut(() => true);
      expect(network.heal(older)).toBe(false);
    });
    expect(arrived).toEqual([]);
  });

  it('hands on what nobody can change any more', () => {
    const message = heartbeat(0);
    transmit({}, (network) => network.send(message, null));
    expect(Object.isFrozen(message)).toBe(true);
  });
});
