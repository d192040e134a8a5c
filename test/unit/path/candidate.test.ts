import { expect, test } from 'vitest';
import { type DirectProof, type PathTarget, pathTarget } from '../../../src/path/candidate.ts';
import { leaseSide } from '../../../src/subnet/lease.ts';
import { lease, networkConfig } from '../../support/leases.ts';

const far: DirectProof = { direct: false, reason: '10.98.0.2 is behind the router 10.99.1.1' };
const near: DirectProof = { direct: true };
const mtus = { direct: 1500, vxlan: 1450 };
const direct = { possible: true, via: '10.98.0.2', mtu: 1500 };
const vxlan = { possible: true, via: '10.98.0.2', mtu: 1450 };

function target(backend: object, proof: DirectProof | undefined, peerBackend: object = backend): PathTarget {
  const peer = lease({ number: 2, address: '10.98.0.2' }, networkConfig(peerBackend).Backend);
  const side = leaseSide(peer, 4);
  if (side === null) throw new Error('no IPv4');
  return pathTarget(networkConfig(backend).Backend, side, proof, mtus);
}

function impossible(reason: string, wanted = true): object {
  return { possible: false, wanted, reason };
}

test('what the configuration wants and the lookup allows', () => {
  const inTunnel = impossible('the configuration wants every packet in the tunnel', false);
  const noFallback = impossible('the configuration has no fallback', false);
  const none = impossible('the alloc backend sets up no paths', false);
  const behind = impossible(far.direct ? '' : far.reason);
  expect(target({ Type: 'host-gw' }, near)).toEqual({ subnet: '10.5.2.0/24', direct, vxlan });
  expect(target({ Type: 'host-gw' }, far)).toMatchObject({ direct: behind, vxlan });
  expect(target({ Type: 'host-gw' }, undefined).direct).toEqual(impossible('the way to it is not known yet'));
  expect(target({ Type: 'host-gw', Fallback: 'none' }, near)).toMatchObject({ direct, vxlan: noFallback });
  expect(target({ Type: 'vxlan' }, near)).toMatchObject({ direct: inTunnel, vxlan });
  expect(target({ Type: 'vxlan', DirectRouting: true }, near)).toMatchObject({ direct, vxlan });
  expect(target({ Type: 'alloc' }, near)).toMatchObject({ direct: none, vxlan: none });
});

test('a peer that publishes no device cannot be reached by vxlan', () => {
  expect(target({ Type: 'vxlan' }, near, { Type: 'alloc' }).vxlan).toEqual(
    impossible('it publishes no vxlan device'),
  );
});
