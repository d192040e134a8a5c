import { expect, test } from 'vitest';
import { type DirectProof, selectPath } from '../../../src/path/selection.ts';
import { lease, networkConfig } from '../../support/leases.ts';

const far: DirectProof = { direct: false, reason: '10.98.0.2 is behind the router 10.99.1.1' };
const near: DirectProof = { direct: true };

function select(backend: object, proof: DirectProof | undefined, peerBackend: object = backend) {
  const peer = lease({ number: 2, address: '10.98.0.2' }, networkConfig(peerBackend).Backend);
  return selectPath(networkConfig(backend).Backend, peer, proof);
}

test.each([
  [{ Type: 'host-gw' }, near, 'direct', null],
  [{ Type: 'host-gw' }, far, 'vxlan', far.reason],
  [{ Type: 'host-gw' }, undefined, 'vxlan', 'the way to it is not known yet'],
  [{ Type: 'host-gw', Fallback: 'none' }, near, 'direct', null],
  [
    { Type: 'host-gw', Fallback: 'none' },
    far,
    'down',
    `${far.reason}, and the configuration has no fallback`,
  ],
  [{ Type: 'vxlan' }, near, 'vxlan', null],
  [{ Type: 'vxlan' }, far, 'vxlan', null],
  [{ Type: 'vxlan', DirectRouting: true }, near, 'direct', null],
  [{ Type: 'vxlan', DirectRouting: true }, far, 'vxlan', far.reason],
  [{ Type: 'alloc' }, near, 'down', 'the alloc backend sets up no paths'],
])('%j with %j is %s', (backend, proof, kind, reason) => {
  expect(select(backend, proof)).toEqual({ kind, reason, directPossible: kind === 'direct' });
});

test('a peer that publishes no device cannot be reached by vxlan', () => {
  expect(select({ Type: 'vxlan' }, near, { Type: 'alloc' })).toMatchObject({
    kind: 'down',
    reason: 'it publishes no vxlan device',
  });
  expect(select({ Type: 'host-gw' }, far, { Type: 'alloc' }).reason).toBe(
    `${far.reason}, and it publishes no vxlan device`,
  );
});
