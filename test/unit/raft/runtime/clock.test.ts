import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DeadlineTimer, monotonicMs } from '../../../../raft/runtime/clock.ts';

describe('deadline timer', () => {
  let fired = 0;
  beforeEach(() => {
    vi.useFakeTimers();
    fired = 0;
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const timer = (): DeadlineTimer => new DeadlineTimer(() => fired++);

  it('announces the earliest deadline that was set', () => {
    const deadlines = timer();
    const now = monotonicMs();
    deadlines.set(now + 500);
    deadlines.set(now + 100);
    deadlines.set(now + 300);
    vi.advanceTimersByTime(99);
    expect(fired).toBe(0);
    vi.advanceTimersByTime(2);
    expect(fired).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(fired).toBe(1);
  });

  it('announces a deadline in the past at once, and none that never comes', () => {
    const deadlines = timer();
    deadlines.set(Number.POSITIVE_INFINITY);
    vi.advanceTimersByTime(100_000);
    expect(fired).toBe(0);
    deadlines.set(monotonicMs() - 50);
    vi.advanceTimersByTime(1);
    expect(fired).toBe(1);
  });

  it('is silent once closed, also when the deadline has just passed', () => {
    const deadlines = timer();
    deadlines.set(monotonicMs() + 100);
    deadlines.close();
    deadlines.set(monotonicMs());
    vi.advanceTimersByTime(1_000);
    expect(fired).toBe(0);
  });
});

describe('after the event loop stood still', () => {
  it('what has arrived is heard before the deadline is announced', async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const order: string[] = [];
    socket.on('message', () => order.push('message'));
    const done = new Promise<void>((resolve) => {
      const deadlines = new DeadlineTimer(() => {
        order.push('deadline');
        resolve();
      });
      deadlines.set(monotonicMs() + 20);
    });
    socket.send('heartbeat', socket.address().port, '127.0.0.1');
    const until = monotonicMs() + 60;
    while (monotonicMs() < until);
    await done;
    socket.close();
    expect(order).toEqual(['message', 'deadline']);
  });
});
