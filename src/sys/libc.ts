/**
 * The system calls that Node does not offer, through koffi; found in the running program, so glibc and musl alike.
 * Calls never wait (sockets are non-blocking) and take about a microsecond. Nothing here knows what they are used for.
 */
import koffi from 'koffi';

const libc = koffi.load(null);

export const socket: (domain: number, type: number, protocol: number) => number = libc.func(
  'int socket(int domain, int type, int protocol)',
);
export const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  'int bind(int fd, const uint8_t *address, uint32_t length)',
);
export const getsockname: (fd: number, address: Uint8Array, length: [number]) => number = libc.func(
  'int getsockname(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)',
);
export const setsockopt: (
  fd: number,
  level: number,
  option: number,
  value: Uint8Array,
  length: number,
) => number = libc.func(
  'int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)',
);
/** What the kernel answers stands in `value`, its length in `length`; both go in as well. */
export const getsockopt: (
  fd: number,
  level: number,
  option: number,
  value: Uint8Array,
  length: [number],
) => number = libc.func(
  'int getsockopt(int fd, int level, int option, _Inout_ uint8_t *value, _Inout_ uint32_t *length)',
);
/** setsockopt for a classic packet filter: eight bytes an instruction. */
export function attachFilter(fd: number, level: number, option: number, program: Uint8Array): number {
  return setFilter(fd, level, option, { length: program.length / 8, program }, koffi.sizeof(filterType));
}
const filterType = koffi.struct('FilterProgram', { length: 'uint16_t', program: 'const uint8_t *' });
const setFilter: (
  fd: number,
  level: number,
  option: number,
  filter: { readonly length: number; readonly program: Uint8Array },
  length: number,
) => number = libc.func(
  'int setsockopt(int fd, int level, int option, const FilterProgram *filter, uint32_t length)',
);
export const send: (fd: number, data: Uint8Array, length: number, flags: number) => number = libc.func(
  'long send(int fd, const uint8_t *data, size_t length, int flags)',
);
export const sendto: (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number = libc.func(
  'long sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t addressLength)',
);
export const recvfrom: (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: [number],
) => number = libc.func(
  'long recvfrom(int fd, _Out_ uint8_t *data, size_t length, int flags, _Out_ uint8_t *address, _Inout_ uint32_t *addressLength)',
);
export const fcntl: (fd: number, command: number, argument: number) => number = libc.func(
  'int fcntl(int fd, int command, int argument)',
);
/** An ioctl about an interface: its name, and a buffer that the kernel reads and writes. */
export function interfaceIoctl(fd: number, request: number, name: Uint8Array, data: Uint8Array): number {
  return ioctl(fd, request, { name, data, rest: IFREQ_REST });
}
const IFREQ_REST = new Uint8Array(16);
const ifreqType = koffi.struct('InterfaceRequest', {
  name: koffi.array('uint8_t', 16),
  data: 'uint8_t *',
  rest: koffi.array('uint8_t', 16),
});
const ioctl: (
  fd: number,
  request: number,
  ifreq: { readonly name: Uint8Array; readonly data: Uint8Array; readonly rest: Uint8Array },
) => number = libc.func('ioctl', 'int', ['int', 'unsigned long', koffi.pointer(ifreqType)]);
export const close: (fd: number) => number = libc.func('int close(int fd)');

/** Of the last call. */
export function errno(): number {
  return koffi.errno();
}
