/**
 * A signal that aborts when a time is over, or with another signal. Not AbortSignal.any with AbortSignal.timeout: in Node
 * 20 `any` holds its parts weakly, so a timeout that nobody else holds is collected, and the signal never aborts.
 */
export function deadline(ms: number, parent?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => {
    clearTimeout(timer);
    controller.abort(parent?.reason);
  };
  const timer = setTimeout(() => {
    parent?.removeEventListener('abort', abort);
    controller.abort(new DOMException(`${ms} ms are over`, 'TimeoutError'));
  }, ms);
  // Whoever waits for it keeps the process alive.
  timer.unref();
  if (parent?.aborted === true) abort();
  else parent?.addEventListener('abort', abort, { once: true });
  return controller.signal;
}
