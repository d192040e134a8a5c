import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { authorize } from '../../../src/subnet/authority.ts';
import { command } from './arbitraries.ts';

/** Many runs, and the machine may have other work. */
vi.setConfig({ testTimeout: 60_000 });

import { acquireCommand, joinCommand, node } from './samples.ts';

const FOR_ITSELF = ['acquire', 'renew', 'update-attributes', 'release', 'member-update', 'member-remove'];

it('lets a voter propose anything', () => {
  fc.assert(
    fc.property(command, (one) => void expect(authorize(one, { nodeId: node(9), role: 'voter' })).toBeNull()),
  );
});

it('lets a learner act for itself only', () => {
  const sender = { nodeId: node(1), role: 'learner' } as const;
  fc.assert(
    fc.property(command, (one) => {
      const own = FOR_ITSELF.includes(one.kind) && 'nodeId' in one && one.nodeId === sender.nodeId;
      const refusal = authorize(one, sender);
      expect(refusal === null, one.kind).toBe(own);
      if (refusal !== null) expect(refusal.exitCode).toBe(6);
    }),
    { numRuns: 500 },
  );
  expect(authorize(acquireCommand(1), sender)).toBeNull();
  expect(authorize(acquireCommand(2), sender)?.code).toBe('not-yours');
  expect(authorize(joinCommand(1), sender)?.code, 'not even its own join').toBe('not-a-voter');
});
