import fc from 'fast-check';
import { parseMessages } from 'netlink/dist/structs.js';
import { describe, expect, test } from 'vitest';
import type { Route } from '../../../src/dataplane/desired-state.ts';
import type { Op } from '../../../src/dataplane/kernel.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import { type Message, MessageWriter, verdict } from '../../../src/netlink/codec.ts';
import { decodeAddress, decodeLink, decodeNeighbour, decodeRoute } from '../../../src/netlink/messages.ts';
import { requestsOf } from '../../../src/netlink/requests.ts';

const device = {
  ...{ name: 'flannel.1', vni: 77, port: 4789, local: toIp('10.99.1.11'), mtu: 1450 },
  ...{ mac: localMac(Uint8Array.of(2, 1, 2, 3, 4, 5)), learning: true, gbp: true },
};

/** What the kernel would read of an operation. */
function messagesOf(op: Op): readonly Message[] {
  const writer = new MessageWriter();
  for (const { type, flags, write } of requestsOf(op, () => 7) ?? []) {
    writer.begin(type, flags, 1);
    write(writer);
    writer.end();
  }
  return parseMessages(writer.bytes());
}

function first(op: Op): Buffer {
  const [message] = messagesOf(op);
  if (message === undefined) throw new Error('no message');
  return message.data;
}

describe('what we write, read back', () => {
  test('a device that is made, then marked and set up', () => {
    const [made, setUp] = messagesOf({ kind: 'device-create', device, alias: 'tsflannel:x' }).map(
      ({ data }) => data,
    );
    if (made === undefined || setUp === undefined) throw new Error('two messages');
    const { name, vni, port, local, mtu, mac, learning, gbp } = device;
    const vxlan = { vni, port, local, learning, gbp, plain: true };
    expect(decodeLink(made)).toMatchObject({ name, mtu, mac, kind: 'vxlan', up: false, alias: null, vxlan });
    expect(decodeLink(setUp)).toMatchObject({
      name,
      mtu,
      mac: null,
      kind: null,
      up: true,
      alias: 'tsflannel:x',
    });
  });

  test('a change of vxlan’s options says nothing that the kernel refuses to change', () => {
    const [changed] = messagesOf({ kind: 'device-change', device, alias: 'x', setMac: false });
    expect(changed === undefined ? null : decodeLink(changed.data).vxlan).toMatchObject({
      port: 0,
      gbp: false,
      vni: 77,
    });
  });

  test('an address with its label', () => {
    const address = { iface: 'lo', address: toCidr('10.5.1.0/32') };
    expect(decodeAddress(first({ kind: 'address-add', address, marked: true }))).toMatchObject({
      ...{ index: 7, ip: '10.5.1.0', prefixLength: 32, label: 'lo:tsflannel', scope: 'global' },
    });
  });

  test('a route with everything', () => {
    const route: Route = {
      ...{ table: 254, dst: toCidr('10.5.2.0/24'), type: 'unicast', via: toIp('10.5.2.0') },
      ...{ iface: 'flannel.1', onlink: true, src: toIp('10.5.1.0'), mtu: 1400, metric: 6473 },
    };
    expect(decodeRoute(first({ kind: 'route-add', route }))).toEqual({
      ...{ family: 4, table: 254, protocol: 139, type: 1, flags: 4, dst: '10.5.2.0/24', gateway: '10.5.2.0' },
      ...{ index: 7, src: '10.5.1.0', metric: 6473, mtu: 1400, plain: true },
    });
  });

  test('a neighbour and an FDB entry', () => {
    const neighbour = { iface: 'flannel.1', ip: toIp('10.5.2.0'), mac: device.mac };
    expect(decodeNeighbour(first({ kind: 'neighbour-set', neighbour }))).toMatchObject({
      ...{ family: 2, index: 7, state: 0x80, ip: '10.5.2.0', mac: device.mac, plain: true },
    });
    const entry = { iface: 'flannel.1', dst: toIp('10.99.2.14'), mac: device.mac };
    expect(decodeNeighbour(first({ kind: 'fdb-set', entry }))).toMatchObject({
      ...{ family: 7, index: 7, state: 0x80, flags: 2, ip: '10.99.2.14', mac: device.mac },
    });
  });

  test('an operation on an interface that is not there is none', () => {
    const neighbour = { iface: 'gone0', ip: toIp('10.5.2.0'), mac: device.mac };
    expect(requestsOf({ kind: 'neighbour-set', neighbour }, () => undefined)).toBeNull();
  });
});

describe('what is not as we know it', () => {
  const decoders = [decodeLink, decodeAddress, decodeRoute, decodeNeighbour];

  test('throws an Error or gives a value, and never reads past the end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...decoders), (bytes, decode) => {
        try {
          decode(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('a route that was cut anywhere gives no wrong destination', () => {
    const route: Route = {
      ...{ table: 254, dst: toCidr('10.5.2.0/24'), type: 'unicast', via: toIp('10.5.2.0') },
      ...{ iface: 'flannel.1', onlink: true, src: toIp('10.5.1.0'), mtu: 1400, metric: 6473 },
    };
    const whole = first({ kind: 'route-add', route });
    // Behind the header and its first attributes, table and destination, the rest may be missing.
    for (let length = 21; length < 28; length++)
      expect(() => decodeRoute(whole.subarray(0, length))).toThrow();
    expect(decodeRoute(whole.subarray(0, 28))?.dst).toBe('10.5.2.0/24');
  });

  test('a link with an attribute of ours in another length is refused, one we do not read is passed over', () => {
    const link = (type: number, bytes: number): Buffer => {
      const writer = new MessageWriter();
      writer.begin(16, 0, 1);
      writer.zeros(16);
      writer.attribute(type, new Uint8Array(bytes));
      writer.end();
      const [message] = parseMessages(writer.bytes());
      return message?.data ?? Buffer.alloc(0);
    };
    expect(() => decodeLink(link(4, 8))).toThrow();
    expect(decodeLink(link(23, 500))).toMatchObject({ name: '', mtu: 0 });
    expect(decodeLink(link(1, 20))).toMatchObject({ mac: null });
  });

  test.each([
    ['several next hops', 9],
    ['an encapsulation', 22],
    ['a next hop object', 30],
  ])('a route with %s is not plain', (_, type) => {
    const writer = new MessageWriter();
    writer.begin(24, 0, 1);
    writer.u8x4(2, 0, 0, 0);
    writer.u8x4(254, 139, 0, 1);
    writer.u32(0);
    writer.attributeU32(type, 1);
    writer.end();
    const [message] = parseMessages(writer.bytes());
    expect(decodeRoute(message?.data ?? Buffer.alloc(0))).toMatchObject({ dst: '0.0.0.0/0', plain: false });
  });
});

describe('an error of the kernel', () => {
  function answer(flags: number, echoed: number, write: (writer: MessageWriter) => void): Message {
    const writer = new MessageWriter();
    writer.begin(2, flags, 1);
    writer.u32(0x1_0000_0000 - 101);
    writer.u32(16 + echoed);
    writer.zeros(12);
    write(writer);
    writer.end();
    const [message] = parseMessages(writer.bytes());
    if (message === undefined) throw new Error('no message');
    return message;
  }

  test('has its number and, where it is there, its text', () => {
    expect(verdict(answer(0, 0, () => undefined))).toEqual({ errno: 101, text: null });
    const capped = answer(0x300, 40, (writer) => writer.attributeText(1, 'Nexthop has invalid gateway'));
    expect(verdict(capped)).toEqual({ errno: 101, text: 'Nexthop has invalid gateway' });
  });

  test('is found behind a request that is echoed whole', () => {
    const whole = answer(0x200, 40, (writer) => {
      writer.zeros(40);
      writer.attributeText(1, 'no');
    });
    expect(verdict(whole)).toEqual({ errno: 101, text: 'no' });
  });

  test('that is cut is refused', () => {
    expect(() => verdict({ type: 2, flags: 0, seq: 1, port: 0, data: Buffer.alloc(10) })).toThrow();
  });
});

test('a pack of many messages is read back message by message', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 60 }), (payloads) => {
      const writer = new MessageWriter();
      for (const [seq, payload] of payloads.entries()) {
        writer.begin(24, 1, seq);
        writer.attribute(5, payload);
        writer.end();
      }
      const read = parseMessages(writer.bytes());
      expect(read.map(({ seq }) => seq)).toEqual(payloads.map((_, seq) => seq));
      expect(read.map(({ data }) => [...data.subarray(4, 4 + data.readUInt16LE(0) - 4)])).toEqual(
        payloads.map((payload) => [...payload]),
      );
    }),
  );
});
