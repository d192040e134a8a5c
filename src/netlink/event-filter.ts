/**
 * The packet filters on event sockets: classic BPF programs by which the kernel itself drops what cannot concern us,
 * so that a routing daemon or a busy ARP table costs this process nothing and fills no buffer. It reads one message a
 * packet, as the kernel sends events; what it does not know it lets through. Pure.
 */
import { endianness } from 'node:os';
import { AF, RT_TABLE, RTA, RTM } from './constants.ts';
import type { Span } from './span.ts';

export interface EventFilter {
  /** Of the socket whose changes are not told. */
  readonly ownPort: number;
  /** Whose routes are always told. */
  readonly protocol: number;
  /** Indexes of the interfaces whose neighbours are told. */
  readonly neighboursOn: readonly number[];
  /** Where others' routes of the main and local table are told; null: everywhere. */
  readonly routesIn: readonly Span[] | null;
}

/** What fits a program of 4,096 instructions with room to spare. */
export const SPANS_MAX = 64;

/** Jumps count the instructions that are left out. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** struct nlmsghdr, then rtmsg or ndmsg. */
const AT = { type: 4, port: 12, family: 16, dstLength: 17, table: 20, protocol: 21, index: 20, route: 28 };
/** SKF_AD_OFF + SKF_AD_NLATTR: finds the attribute that X names from A on, and gives 0 where there is none. */
const FIND_ATTRIBUTE = 0xffff_f000 + 12;

const loadWord = (at: number): Instruction => [0x20, 0, 0, at];
const loadHalf = (at: number): Instruction => [0x28, 0, 0, at];
const loadByte = (at: number): Instruction => [0x30, 0, 0, at];
const loadWordBehindX = (at: number): Instruction => [0x40, 0, 0, at];
const loadConstant = (value: number): Instruction => [0x00, 0, 0, value];
const loadX = (value: number): Instruction => [0x01, 0, 0, value];
const store = (slot: number): Instruction => [0x02, 0, 0, slot];
const recall = (slot: number): Instruction => [0x60, 0, 0, slot];
const recallX = (slot: number): Instruction => [0x61, 0, 0, slot];
const xor = (value: number): Instruction => [0xa4, 0, 0, value];
const shiftRight = (bits: number): Instruction => [0x74, 0, 0, bits];
const shiftRightByX: Instruction = [0x7c, 0, 0, 0];
const subtractX: Instruction = [0x1c, 0, 0, 0];
const aToX: Instruction = [0x07, 0, 0, 0];
const xToA: Instruction = [0x87, 0, 0, 0];
const jump = (over: number): Instruction => [0x05, 0, 0, over];
const ifEqual = (value: number, over: number, otherwise = 0): Instruction => [0x15, over, otherwise, value];
const ifAtLeast = (value: number, over: number, otherwise = 0): Instruction => [0x35, over, otherwise, value];
const tell: Instruction = [0x06, 0, 0, 0xffff_ffff];
const drop: Instruction = [0x06, 0, 0, 0];
/** Only where A is this, the next one. */
const onlyIf = (value: number): Instruction => ifEqual(value, 0, 1);

export function eventProgram(filter: EventFilter): Buffer {
  const routes = routeProgram(filter);
  return assemble([
    ...[loadWord(AT.port), onlyIf(host32(filter.ownPort)), drop],
    loadHalf(AT.type),
    ifEqual(host16(RTM.newNeighbour), 4),
    ifEqual(host16(RTM.delNeighbour), 3),
    ifEqual(host16(RTM.newRoute), 3),
    ifEqual(host16(RTM.delRoute), 2),
    tell,
    jump(routes.length),
    ...routes,
    ...neighbourProgram(filter),
  ]);
}

/** Lets through nothing but messages of a type. */
export function onlyProgram(type: number): Buffer {
  return assemble([loadHalf(AT.type), onlyIf(host16(type)), tell, drop]);
}

function neighbourProgram({ neighboursOn }: EventFilter): readonly Instruction[] {
  return [loadWord(AT.index), ...neighboursOn.flatMap((index) => [onlyIf(host32(index)), tell]), drop];
}

function routeProgram({ protocol, routesIn }: EventFilter): readonly Instruction[] {
  const start = [
    ...[loadByte(AT.protocol), onlyIf(protocol), tell],
    ...[loadByte(AT.table), ifEqual(RT_TABLE.main, 2), ifEqual(RT_TABLE.local, 1), drop],
  ];
  if (routesIn === null || routesIn.some(({ length }) => length === 0)) return [...start, tell];
  const inet = spanProgram(routesIn.filter(({ family }) => family === 4));
  const inet6 = spanProgram(routesIn.filter(({ family }) => family === 6));
  return [
    ...start,
    ...[loadByte(AT.dstLength), onlyIf(0), tell],
    // How many of its first 32 bits say nothing.
    ...[ifAtLeast(32, 0, 1), loadConstant(32), aToX, loadConstant(32), subtractX, store(SHIFT)],
    ...[loadX(RTA.dst), loadConstant(AT.route), loadWord(FIND_ATTRIBUTE), onlyIf(0), tell],
    ...[aToX, loadWordBehindX(4), store(WORD)],
    ...[loadByte(AT.family), ifEqual(AF.inet, 3), ifEqual(AF.inet6, 1), tell],
    jump(inet.length),
    ...inet,
    ...inet6,
  ];
}

const SHIFT = 0;
const WORD = 1;

/** Two networks overlap when they agree in as many bits as the wider one has. */
function spanProgram(spans: readonly Span[]): readonly Instruction[] {
  return [
    ...spans.flatMap(({ word, length }) => [
      ...[recall(WORD), xor(word), aToX, shiftRight(32 - length), onlyIf(0), tell],
      ...[xToA, recallX(SHIFT), shiftRightByX, onlyIf(0), tell],
    ]),
    drop,
  ];
}

function assemble(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(8 * instructions.length);
  for (const [place, [code, ifTrue, ifFalse, operand]] of instructions.entries()) {
    const at = 8 * place;
    if (isLittle) {
      program.writeUInt16LE(code, at);
      program.writeUInt32LE(operand, at + 4);
    } else {
      program.writeUInt16BE(code, at);
      program.writeUInt32BE(operand, at + 4);
    }
    program[at + 2] = ifTrue;
    program[at + 3] = ifFalse;
  }
  return program;
}

/** A filter loads in network order, wherever it runs, and messages are in the host's. */
const isLittle = endianness() === 'LE';

function host16(value: number): number {
  return isLittle ? ((value & 0xff) << 8) | (value >> 8) : value;
}

function host32(value: number): number {
  if (!isLittle) return value;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.readUInt32BE(0);
}
