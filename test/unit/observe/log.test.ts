import { expect, test } from 'vitest';
import { createLog } from '../../../src/observe/log.ts';
import type { LogFormat, LogLevel } from '../../../src/observe/log-level.ts';
import { prettyLine } from '../../../src/observe/log-pretty.ts';

function recorder(format: LogFormat, level: LogLevel = 'info') {
  const lines: string[] = [];
  const log = createLog({ format, level, colours: false }, { write: (line) => lines.push(line) });
  return { log, lines };
}

test('JSON: stable event, sentence, fields, level by name, time in ISO 8601', () => {
  const { log, lines } = recorder('json');
  log.warn('lease-renewed', 'lease renewed', { subnet: '10.5.42.0/24' });
  expect(lines).toHaveLength(1);
  const { time, ...entry } = JSON.parse(lines[0] ?? '');
  expect(entry).toEqual({
    level: 'warn',
    event: 'lease-renewed',
    text: 'lease renewed',
    subnet: '10.5.42.0/24',
  });
  expect(new Date(time).toISOString()).toBe(time);
});

test('pretty: one line for people', () => {
  const { log, lines } = recorder('pretty');
  log.info('lease-acquired', 'lease 10.5.42.0/24 acquired', { previous: null, from: 'host a' });
  expect(lines[0]).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} info {2}lease 10\.5\.42\.0\/24 acquired {2}previous=null from="host a"\n$/,
  );
});

test('pretty passes on what is no entry', () => {
  expect(prettyLine('not json\n', false)).toBe('not json\n');
});

test('a level hides what is below', () => {
  const { log, lines } = recorder('json', 'warn');
  log.info('quiet', 'quiet');
  log.debug('quiet', 'quiet');
  log.error('loud', 'loud');
  expect(lines.map((line) => JSON.parse(line).event)).toEqual(['loud']);
});

test('an error carries its type, message and stack', () => {
  const { log, lines } = recorder('json');
  log.error('failed', 'it failed', { err: new RangeError('too far') });
  expect(JSON.parse(lines[0] ?? '').err).toMatchObject({ type: 'RangeError', message: 'too far' });
});

test.each(['secret', 'token', 'caKey', 'privateKey', 'key'])('%s is never written', (name) => {
  const { log, lines } = recorder('json');
  log.info('event', 'text', { [name]: 'hidden-1', nested: { [name]: 'hidden-2', shown: 1 } });
  expect(lines[0]).not.toContain('hidden');
  expect(JSON.parse(lines[0] ?? '').nested).toEqual({ shown: 1 });
});
